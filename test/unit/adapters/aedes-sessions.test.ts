import { EventEmitter } from 'node:events';
import type { Client } from 'aedes';
import aedesPersistence from 'aedes-persistence';
import { beforeEach, describe, expect, test } from 'vitest';
import { isPersistence, type Persistence } from '../../../src/adapters/aedes-persistence.js';
import { StoredSessions } from '../../../src/adapters/aedes-sessions.js';
import type { Cancel } from '../../../src/core/ports.js';
import { FakeDisk } from '../../fixtures/fake-disk.js';
import { lastingOn } from '../../fixtures/lasting.js';
import { quietLog } from '../../fixtures/supervisor-world.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';
import { waitFor } from '../../fixtures/wait-for.js';

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;

const message = { cmd: 'publish', topic: 'x', payload: Buffer.from('kept'), qos: 1, brokerId: 'b', brokerCounter: 1 };

describe('stored sessions', () => {
  let clock: VirtualClock;
  let broker: EventEmitter;
  let dropped: string[];

  beforeEach(() => {
    clock = new VirtualClock();
    broker = new EventEmitter();
    dropped = [];
  });

  function watch(persistence: Persistence, options: { sessionsMax?: number; expiryMs?: number } = {}): Cancel {
    const { sessionsMax = 3, expiryMs = WEEK_MS } = options;
    return new StoredSessions({
      ...{ broker: broker as never, persistence, clock, log: quietLog(dropped), sessionsMax, expiryMs },
      dropped: (id, why, messages) => dropped.push(`${id} ${why} ${messages}`),
    }).start();
  }
  const comes = (id: string, clean = false) => broker.emit('client', { id, clean } as Client);
  const goes = (id: string, clean = false) => broker.emit('clientDisconnect', { id, clean } as Client);
  const isKept = async (persistence: Persistence, id: string) => {
    const subscribed = (await persistence.subscriptionsByTopic('x')).some(({ clientId }) => clientId === id);
    let messages = 0;
    for await (const _ of persistence.outgoingStream({ id })) messages++;
    return { subscribed, messages };
  };
  const told = (text: string) => waitFor(() => dropped.includes(text));
  /** Comes, subscribes to x, gets a message, and goes. */
  async function leaves(persistence: Persistence, id: string): Promise<void> {
    comes(id);
    await (persistence as unknown as { addSubscriptions(...args: unknown[]): Promise<void> }).addSubscriptions({ id }, [
      { topic: 'x', qos: 1 },
    ]);
    await persistence.outgoingEnqueueCombi([{ clientId: id, topic: 'x', qos: 1 }], message);
    goes(id);
  }

  const PERSISTENCES: [string, () => Promise<unknown>][] = [
    ['in the memory of a host', async () => Reflect.apply(aedesPersistence as never, undefined, [])],
    ['on disk', () => lastingOn(new FakeDisk())],
  ];
  describe.each(PERSISTENCES)('%s', (_name, open) => {
    let persistence: Persistence;
    beforeEach(async () => {
      const opened = await open();
      if (!isPersistence(opened)) throw new Error('expected a persistence');
      persistence = opened;
    });

    test('are forgotten with their messages when the client is away for too long, and not before', async () => {
      watch(persistence);
      await leaves(persistence, 'a');
      clock.advance(WEEK_MS - 60_000);
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
      clock.advance(120_000);
      await told('a expired 1');
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: false, messages: 0 });
    });

    test('stay while the client is there, and its time begins anew when it goes', async () => {
      watch(persistence);
      await leaves(persistence, 'a');
      clock.advance(6 * DAY_MS);
      comes('a');
      clock.advance(30 * DAY_MS);
      goes('a');
      clock.advance(6 * DAY_MS);
      expect(dropped).toEqual([]);
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
    });

    test('of which there are too many: the one that is away for longest goes, never one whose client is there', async () => {
      watch(persistence);
      await leaves(persistence, 'a');
      await leaves(persistence, 'b');
      comes('a');
      clock.advance(1_000);
      await leaves(persistence, 'c');
      expect(dropped).toEqual([]);
      comes('d');
      await told('b too_many 1');
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
    });

    test('a client without one takes no place', async () => {
      watch(persistence);
      await leaves(persistence, 'a');
      for (let n = 0; n < 10; n++) {
        comes(`clean-${n}`, true);
        goes(`clean-${n}`, true);
      }
      clock.advance(DAY_MS);
      expect(dropped).toEqual([]);
    });

    test('with an expiry of 0 stay for ever', async () => {
      watch(persistence, { expiryMs: 0 });
      await leaves(persistence, 'a');
      clock.advance(365 * DAY_MS);
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
    });

    test('nothing is looked at after the end', async () => {
      const stop = watch(persistence);
      await leaves(persistence, 'a');
      stop();
      clock.advance(2 * WEEK_MS);
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
      expect(broker.eventNames()).toEqual([]);
    });
  });

  describe('on disk, after a restart', () => {
    async function restart(disk: FakeDisk) {
      const persistence = await lastingOn(disk.survivor(false));
      if (!isPersistence(persistence)) throw new Error('expected a persistence');
      return persistence;
    }
    async function left(...ids: string[]): Promise<FakeDisk> {
      const disk = new FakeDisk();
      const persistence = await lastingOn(disk);
      if (!isPersistence(persistence)) throw new Error('expected a persistence');
      watch(persistence);
      for (const id of ids) {
        await leaves(persistence, id);
        clock.advance(1_000);
      }
      await persistence.flushed();
      broker.removeAllListeners();
      return disk;
    }

    test('their age goes on', async () => {
      const disk = await left('a');
      clock.advance(6 * DAY_MS);
      const persistence = await restart(disk);
      watch(persistence);
      clock.advance(DAY_MS - 60_000);
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
      clock.advance(120_000);
      await told('a expired 1');
    });

    test('what is too old by then goes at once, what is too many by its age', async () => {
      const disk = await left('a', 'b', 'c');
      clock.advance(DAY_MS);
      watch(await restart(disk), { sessionsMax: 2 });
      await told('a too_many 1');
      clock.advance(WEEK_MS);
      watch(await restart(disk));
      await Promise.all([told('a expired 1'), told('b expired 1'), told('c expired 1')]);
    });

    test('a wall clock that was wrong, and is set, makes nothing older', async () => {
      const disk = await left('a');
      clock.jumpWall(-50 * 365 * DAY_MS);
      const persistence = await restart(disk);
      watch(persistence);
      clock.advance(DAY_MS);
      clock.jumpWall(50 * 365 * DAY_MS);
      clock.advance(DAY_MS);
      expect(await isKept(persistence, 'a')).toEqual({ subscribed: true, messages: 1 });
      // Written down anew, by the clock that is right now.
      const [session] = persistence.storedSessions();
      expect(clock.wallNow() - (session?.offlineSinceMs ?? 0)).toBe(2 * DAY_MS);
    });

    test('a client that was there when the node was killed is away from then on', async () => {
      const disk = new FakeDisk();
      const first = await lastingOn(disk);
      await first.addSubscriptions({ id: 'a' }, [{ topic: 'x', qos: 1 }]);
      await first.flushed();
      clock.advance(30 * DAY_MS);
      const persistence = await restart(disk);
      watch(persistence);
      clock.advance(WEEK_MS - 120_000);
      expect(dropped).toEqual([]);
      clock.advance(240_000);
      await told('a expired 0');
    });
  });
});

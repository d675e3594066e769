import { describe, expect, test } from 'vitest';
import type { LastingPersistence } from '../../../src/adapters/lasting-persistence.js';
import { FakeDisk } from '../../fixtures/fake-disk.js';
import { lastingOn } from '../../fixtures/lasting.js';

const client = { id: 'logger' };
const message = (topic: string, payload: string, brokerCounter: number, qos = 1) => ({
  ...{ cmd: 'publish', topic, payload: Buffer.from(payload), qos, retain: false, dup: false },
  ...{ brokerId: 'first', brokerCounter },
});
const to = (clientId: string) => [{ clientId }];

async function outgoing(persistence: LastingPersistence): Promise<string[]> {
  const found: string[] = [];
  for await (const { cmd, payload, messageId, qos } of persistence.outgoingStream(client)) {
    found.push(cmd === 'pubrel' ? `pubrel ${messageId}` : `${payload} ${qos} ${messageId}`);
  }
  return found;
}
async function retained(persistence: LastingPersistence): Promise<string[]> {
  const found: string[] = [];
  for await (const { topic, payload } of persistence.createRetainedStream('#')) found.push(`${topic} ${payload}`);
  return found.sort();
}

describe('what the broker tells about itself', () => {
  test('is retained in memory, and never written to the disk', async () => {
    const disk = new FakeDisk();
    const persistence = await lastingOn(disk);
    const own = '$SYS/broker/uptime';
    await persistence.flushed();
    const { size, batches } = disk;
    for (const uptime of ['1 seconds', '2 seconds']) await persistence.storeRetained(message(own, uptime, 1, 0));
    expect([persistence.flushed(), disk.size, disk.batches]).toEqual([undefined, size, batches]);
    const found: string[] = [];
    for await (const { topic, payload } of persistence.createRetainedStream('$SYS/#'))
      found.push(`${topic} ${payload}`);
    expect(found).toEqual([`${own} 2 seconds`]);
    await persistence.storeRetained(message('tele/x', 'kept', 2, 0));
    await persistence.flushed();
    expect(disk.size).toBe(size + 1);
  });
});

describe('a persistence that is opened again', () => {
  test('has subscriptions, messages in their order with their ids, QoS 2 flows both ways, and wills', async () => {
    const disk = new FakeDisk();
    const first = await lastingOn(disk);
    await first.setup({ id: 'first' });
    await first.addSubscriptions(client, [
      { topic: 'tele/#', qos: 1 },
      { topic: 'gone', qos: 2 },
    ]);
    await first.removeSubscriptions(client, ['gone']);
    for (const counter of [1, 2, 3, 4]) {
      await first.outgoingEnqueueCombi(to('logger'), message('tele/x', `m${counter}`, counter, counter > 1 ? 2 : 1));
    }
    await first.outgoingUpdate(client, { ...message('tele/x', 'm1', 1), messageId: 7 });
    await first.outgoingUpdate(client, { ...message('tele/x', 'm2', 2, 2), messageId: 8 });
    await first.outgoingUpdate(client, { ...message('tele/x', 'm3', 3, 2), messageId: 9 });
    await first.outgoingUpdate(client, { cmd: 'pubrel', messageId: 8 });
    await first.outgoingUpdate(client, { cmd: 'pubrel', messageId: 9 });
    await first.outgoingClearMessageId(client, { messageId: 7 });
    await first.incomingStorePacket(client, { ...message('a', 'in', 5, 2), messageId: 31 });
    await first.incomingStorePacket(client, { ...message('a', 'in', 6, 2), messageId: 32 });
    first.incomingPublished('logger', 31);
    await first.putWill(client, message('will', 'dead', 0));
    await first.flushed();

    const again = await lastingOn(disk.survivor(false));
    expect(await again.subscriptionsByClient(client)).toMatchObject([{ topic: 'tele/#', qos: 1 }]);
    expect(await again.subscriptionsByTopic('tele/y')).toMatchObject([{ clientId: 'logger', topic: 'tele/#', qos: 1 }]);
    expect(await outgoing(again)).toEqual(['pubrel 8', 'pubrel 9', 'm4 2 undefined']);
    expect(again.inFlight('logger')).toMatchObject([
      { cmd: 'pubrel', messageId: 8 },
      { cmd: 'pubrel', messageId: 9 },
    ]);
    expect(await again.incomingGetPacket(client, { messageId: 31 })).toBeDefined();
    // It was not kept for anybody yet: its client's second try must be published.
    await expect(again.incomingGetPacket(client, { messageId: 32 })).rejects.toThrow('no such packet');
    const wills = await again.streamWill({ second: Date.now() }).toArray();
    expect(wills).toMatchObject([{ topic: 'will', clientId: 'logger', brokerId: 'first' }]);
  });

  test('has the last of what was retained, and nothing that was cleared', async () => {
    const disk = new FakeDisk();
    const first = await lastingOn(disk);
    const retain = (topic: string, payload: string) =>
      first.storeRetained({ ...message(topic, payload, 1), payload: Buffer.from(payload), retain: true });
    const long = `t/${'x'.repeat(60_000)}`;
    await retain('a', '1');
    await retain('a', '2');
    await retain('b', '1');
    await retain(long, 'long\nwith a line end');
    await first.flushed();
    await retain('b', '');
    await first.flushed();
    const again = await lastingOn(disk.survivor(false));
    expect(await retained(again)).toEqual(['a 2', `${long} long\nwith a line end`]);
  });

  test('gives new messages keys behind the old ones', async () => {
    const disk = new FakeDisk();
    const first = await lastingOn(disk);
    await first.outgoingEnqueueCombi(to('logger'), message('x', 'old', 1));
    await first.flushed();
    const second = await lastingOn(disk);
    await second.outgoingEnqueueCombi(to('logger'), message('x', 'new', 1));
    await second.flushed();
    expect(await outgoing(second)).toEqual(['old 1 undefined', 'new 1 undefined']);
    expect(await outgoing(await lastingOn(disk.survivor(false)))).toEqual(['old 1 undefined', 'new 1 undefined']);
  });

  test('keeps nothing of a session that is over', async () => {
    const disk = new FakeDisk();
    const first = await lastingOn(disk);
    await first.addSubscriptions(client, [{ topic: 'x', qos: 1 }]);
    await first.outgoingEnqueueCombi(to('logger'), message('x', 'm', 1));
    await first.incomingStorePacket(client, { ...message('a', 'in', 5, 2), messageId: 31 });
    first.incomingPublished('logger', 31);
    expect(first.noteSession('logger', 5_000)).toBe(true);
    await first.flushed();
    await first.cleanSubscriptions(client);
    await first.outgoingClearMessageId(client, { messageId: undefined });
    await first.cleanIncoming(client);
    expect(first.noteSession('logger', 6_000)).toBe(false);
    await first.flushed();
    // What says whose store it is stays.
    expect(disk.size).toBe(1);
  });

  test('a PUBREL is on the disk before it is sent, and so is the id of a message at QoS 2', async () => {
    const disk = new FakeDisk();
    const first = await lastingOn(disk);
    await first.outgoingEnqueueCombi(to('logger'), message('x', 'm', 1, 2));
    await first.flushed();
    await first.outgoingUpdate(client, { ...message('x', 'm', 1, 2), messageId: 4 });
    expect(await outgoing(await lastingOn(disk.survivor(false)))).toEqual(['m 2 4']);
    await first.outgoingUpdate(client, { cmd: 'pubrel', messageId: 4 });
    expect(await outgoing(await lastingOn(disk.survivor(false)))).toEqual(['pubrel 4']);
  });

  test('a store of something else, or of a later format, is refused', async () => {
    for (const [key, value] of [
      ['about', '{"format":"super-node broker 2"}\n'],
      ['about', 'not json'],
      ['x', 'y'],
    ] as const) {
      const disk = new FakeDisk(new Map([[key, Buffer.from(value)]]));
      await expect(lastingOn(disk)).rejects.toThrow('expected a store of format super-node broker 1');
    }
  });

  test('a record that is none is left where it is, and told', async () => {
    const disk = new FakeDisk();
    const first = await lastingOn(disk);
    await first.outgoingEnqueueCombi(to('logger'), message('x', 'm', 1));
    await first.flushed();
    const size = disk.size;
    await disk.write((batch) => batch.put(Buffer.from('o00000000ffff'), Buffer.from('{"session":5}\n')));
    const errors: unknown[] = [];
    const left = disk.survivor(false);
    const again = await lastingOn(left, undefined, errors);
    expect(await outgoing(again)).toEqual(['m 1 undefined']);
    expect(errors).toMatchObject([{ kind: 'o', records: 1 }]);
    await again.outgoingEnqueueCombi(to('logger'), message('x', 'n', 1));
    await again.flushed();
    expect(left.size).toBe(size + 2);
    expect(String(left.get(Buffer.from('o00000000ffff')))).toBe('{"session":5}\n');
  });
});

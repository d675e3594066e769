import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEAD_GROUP, DEFAULT_GROUP, taskIdOf } from '../../../src/core/topics.js';
import type { Fetched } from '../../../src/queues/fetched.js';
import { boundsOf, newQueues, type StoredQueues } from '../../fixtures/queues.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** Queues on a disk against a plain memory of what they promised, under puts, takes, words about leases, evictions,
 *  writes that fail, and crashes at any moment: before a batch has reached the disk, after it has but nobody was told. */

const TASK = taskIdOf('a');
const GROUPS = [DEFAULT_GROUP, 'g'] as const;
const LENGTH = 8;

const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ op: fc.constant('put' as const), pick: fc.nat(3) }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('fetch' as const), pick: fc.nat(7) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('settle' as const), pick: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('giveBack' as const), pick: fc.nat() }) },
  { weight: 8, arbitrary: fc.record({ op: fc.constant('flush' as const), pick: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constantFrom(
        'fail' as const,
        'crash' as const,
        'crashFlushed' as const,
        'restart' as const,
        'purge' as const,
      ),
      pick: fc.nat(),
    }),
  },
);

interface Promised {
  readonly id: number;
  /** Its put was acknowledged, and nobody is done with it. */
  acknowledged: boolean;
}

interface Settled {
  readonly key: string;
  /** Nobody else needs it. */
  readonly leaves: number | undefined;
  readonly group: string;
}

class World {
  readonly clock = new VirtualClock();
  stored: StoredQueues;
  /** Entries that were put and are not known to be settled, purged or evicted. One that was not acknowledged before a
   *  crash may have its place all the same. */
  readonly promised = new Map<number, Promised>();
  /** Settled, and since flushed. */
  readonly settled = new Set<string>();
  #settling: Settled[] = [];
  /** Which payload each place in the queue had. */
  readonly seen = new Map<string, number>();
  #open: { fetched: Fetched; group: string }[] = [];
  #lastId = 0;
  #run = 0;

  constructor() {
    this.stored = this.#reopen();
  }

  async act({ op, pick }: { op: string; pick: number }): Promise<void> {
    if (op === 'put') this.#put(pick);
    else if (op === 'fetch') await this.#fetch(GROUPS[pick % 2] ?? DEFAULT_GROUP, 1 + (pick % 3));
    else if (op === 'settle' || op === 'giveBack') this.#end(op, pick);
    else if (op === 'flush') await this.flush();
    else if (op === 'fail') await this.#fail();
    else if (op === 'purge') this.#purge();
    else if (op === 'restart') await this.restart();
    else await this.#crash(op === 'crashFlushed');
  }

  /** All that was done is on the disk. */
  async flush(): Promise<void> {
    const settling = this.#settling;
    for (let turn = 0; turn < 6; turn += 1) {
      this.clock.advance(turn < 4 ? 0 : 1_000);
      this.stored.disk.finish();
      await ticks();
    }
    for (const { key, group, leaves } of settling) {
      this.settled.add(`${group} ${key}`);
      if (leaves !== undefined) this.promised.delete(leaves);
    }
    this.#settling = this.#settling.filter((one) => !settling.includes(one));
  }

  async restart(): Promise<void> {
    await this.flush();
    this.#begin(this.stored.disk.survivor(true));
  }

  /** Everything that a group can still get. */
  async drain(group: string): Promise<number[]> {
    const all: number[] = [];
    for (;;) {
      const fetched = await this.#take(group, 100);
      if (fetched.entries.length === 0) return all;
      all.push(...fetched.entries.map(({ payload }) => idOf(payload)));
    }
  }

  #put(pick: number): void {
    const queue = this.stored.queues.get(TASK);
    if (queue === undefined) throw new Error('no queue');
    const id = ++this.#lastId;
    const promised = { id, acknowledged: false };
    const outcome = this.stored.queues.put(queue, Buffer.from(`${id} ${'x'.repeat(pick)}`));
    if (outcome === 'full' || outcome === 'dropped') return;
    this.promised.set(id, promised);
    const run = this.#run;
    void Promise.resolve(outcome).then(() => {
      if (run === this.#run) promised.acknowledged = true;
    });
    this.#forgetEvicted();
  }

  /** drop_oldest: of what is acknowledged only the newest are still promised. */
  #forgetEvicted(): void {
    for (const id of this.promised.keys()) {
      if (this.promised.size <= LENGTH) return;
      this.promised.delete(id);
    }
  }

  async #fetch(group: string, max: number): Promise<void> {
    const fetched = await this.#take(group, max);
    if (fetched.entries.length > 0) this.#open.push({ fetched, group });
  }

  async #take(group: string, max: number): Promise<Fetched> {
    const fetched = await this.stored.queues.fetch({
      taskId: TASK,
      group,
      max,
      maxBytes: 1e6,
      waitMs: 0,
      leaseMs: undefined,
      signal: undefined,
    });
    let last = 0;
    for (const { seq, payload } of fetched.entries) {
      const key = `${fetched.epoch} ${seq}`;
      const id = idOf(payload);
      if (seq <= last) throw new Error(`${key} after ${last}`);
      last = seq;
      if ((this.seen.get(key) ?? id) !== id) throw new Error(`${key} was ${this.seen.get(key)} and is ${id}`);
      this.seen.set(key, id);
      if (this.settled.has(`${group} ${key}`)) throw new Error(`${key} was settled and comes again`);
    }
    return fetched;
  }

  #end(how: 'settle' | 'giveBack', pick: number): void {
    const at = pick % Math.max(1, this.#open.length);
    const [one] = this.#open.splice(at, 1);
    if (one === undefined) return;
    const { fetched, group } = one;
    fetched[how]();
    if (how === 'giveBack') return;
    for (const { seq, payload } of fetched.entries) {
      const id = idOf(payload);
      const leaves = this.#groupsNeed(id) ? undefined : id;
      this.#settling.push({ key: `${fetched.epoch} ${seq}`, group, leaves });
      const promised = leaves === undefined ? undefined : this.promised.get(leaves);
      if (promised !== undefined) promised.acknowledged = false;
    }
  }

  /** Whether somebody else is still to see it. */
  #groupsNeed(id: number): boolean {
    const queue = this.stored.queues.get(TASK);
    return queue?.readFrom({ seq: 0 }, 1e6, 1e9).some(({ payload }) => idOf(payload) === id) ?? false;
  }

  #purge(): void {
    void this.stored.queues.purge(TASK, 'all');
    this.promised.clear();
    this.#open = [];
  }

  async #fail(): Promise<void> {
    this.clock.advance(0);
    this.stored.disk.fail();
    await ticks();
  }

  async #crash(isFlushed: boolean): Promise<void> {
    this.clock.advance(0);
    const survivor = this.stored.disk.survivor(isFlushed);
    await ticks();
    this.#begin(survivor);
  }

  #begin(disk: StoredQueues['disk']): void {
    this.#run += 1;
    this.#open = [];
    this.#settling = [];
    this.stored = this.#reopen(disk);
  }

  #reopen(disk?: StoredQueues['disk']): StoredQueues {
    const stored = newQueues(this.clock, 'disk', { seed: this.#run + 1, ...(disk && { disk }) });
    stored.disk.byHand = true;
    stored.queues.open(TASK, boundsOf({ length: LENGTH, bytes: 1e6, storage: 'disk' }));
    return stored;
  }
}

const idOf = (payload: Uint8Array) => Number.parseInt(Buffer.from(payload).toString(), 10);
const ticks = () => new Promise<void>((resolve) => setImmediate(resolve));

test('what was acknowledged outlives any crash, what was settled and flushed does not come again, no place is given twice', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
      const world = new World();
      for (const one of steps) await world.act(one);
      await world.restart();
      const queue = world.stored.queues.get(TASK);
      const groups = queue?.groups().map(({ name }) => name) ?? [];
      const left = new Set<number>();
      for (const group of [...groups, DEAD_GROUP]) for (const id of await world.drain(group)) left.add(id);
      for (const { id, acknowledged } of world.promised.values()) {
        if (acknowledged && !left.has(id)) throw new Error(`${id} was acknowledged and is lost`);
      }
      expect(queue?.length).toBeGreaterThanOrEqual(left.size);
    }),
    { numRuns: Number(process.env.SN_CRASH_RUNS ?? 400) },
  );
}, 60_000);

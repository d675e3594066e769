import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLmdbDisk } from '../../../src/adapters/lmdb-disk.js';
import type { OrderedDisk } from '../../../src/core/ordered-disk.js';
import type { QueueBounds } from '../../../src/core/task-record.js';
import { DEAD_GROUP, DEFAULT_GROUP, taskIdOf } from '../../../src/core/topics.js';
import type { Fetched, FetchOptions } from '../../../src/queues/fetched.js';
import type { HeldPut } from '../../../src/queues/held-puts.js';
import { boundsOf, newQueues, type StoredQueues } from '../../fixtures/queues.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** The promises of a queue, whatever keeps its entries. */

const [A, B] = [taskIdOf('a'), taskIdOf('b')];

describe.each(['memory', 'disk'] as const)('a queue in a store: %s', (storage) => {
  let dir: string;
  let clock: VirtualClock;
  let stored: StoredQueues<OrderedDisk>;

  const openStore = (): void => {
    stored = newQueues<OrderedDisk>(clock, storage, { disk: openLmdbDisk(dir), bytesMax: 1e9 });
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sn-store-'));
    clock = new VirtualClock();
    openStore();
  });

  afterEach(async () => {
    await stored.store.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const open = (over: Partial<QueueBounds> = {}, taskId = A) =>
    stored.queues.open(taskId, boundsOf({ length: 100, bytes: 100_000, storage, ...over }));

  /** Puts each word, and lets all be flushed. */
  async function put(words: readonly string[], taskId = A): Promise<unknown[]> {
    const queue = stored.queues.get(taskId) ?? open({}, taskId);
    const outcomes = words.map((word) => stored.queues.put(queue, Buffer.from(word)));
    await stored.flushed();
    return Promise.all(outcomes);
  }

  const fetch = (over: Partial<FetchOptions> = {}) =>
    stored.queues.fetch({
      taskId: A,
      group: DEFAULT_GROUP,
      max: 100,
      maxBytes: 1e6,
      waitMs: 0,
      leaseMs: undefined,
      signal: undefined,
      ...over,
    });
  const texts = ({ entries }: Pick<Fetched, 'entries'>) =>
    entries.map(({ payload }) => Buffer.from(payload).toString());
  const places = ({ entries }: Fetched) => entries.map(({ seq, attempts }) => [seq, attempts]);
  const yes = { ok: true, seqs: undefined };
  const no = { ok: false, seqs: undefined };

  async function acknowledge(leaseId: string | undefined, word: Parameters<typeof stored.queues.acknowledge>[1]) {
    const count = stored.queues.acknowledge(leaseId ?? 'none', word);
    count.catch(() => undefined);
    await stored.flushed();
    return count;
  }

  test('gives entries in the order in which they came, counted from 1, with their bytes, time and topic', async () => {
    const queue = open();
    stored.queues.put(queue, Buffer.from([0, 255, 10]), 'plant/line');
    clock.advance(5);
    stored.queues.put(queue, Buffer.alloc(0));
    await stored.flushed();
    const { entries } = await fetch();
    expect(entries.map(({ seq, attempts, topic }) => [seq, attempts, topic])).toEqual([
      [1, 1, 'plant/line'],
      [2, 1, undefined],
    ]);
    expect(entries.map(({ payload }) => [...payload])).toEqual([[0, 255, 10], []]);
    expect((entries[1]?.tsMs ?? 0) - (entries[0]?.tsMs ?? 0)).toBe(5);
  });

  test('what was put is kept as it was, whatever becomes of the bytes that were handed in', async () => {
    const bytes = Buffer.from('first');
    stored.queues.put(open(), bytes);
    bytes.fill('x');
    await stored.flushed();
    expect(texts(await fetch())).toEqual(['first']);
  });

  test('evicts the oldest, refuses the newest, or takes none, as its policy says, and counts what is lost', async () => {
    open({ length: 2 });
    await put(['a', 'b', 'c']);
    const evicted = await fetch();
    expect([texts(evicted), evicted.dropped]).toEqual([['b', 'c'], 1]);
    evicted.settle();
    open({ length: 2, overflow: 'drop_newest' });
    expect(await put(['d', 'e', 'f'])).toEqual([undefined, undefined, 'dropped']);
    const refused = await fetch();
    expect([texts(refused), refused.dropped]).toEqual([['d', 'e'], 2]);
    refused.settle();
    open({ length: 2, overflow: 'block' });
    expect(await put(['g', 'h', 'i'])).toEqual([undefined, undefined, 'full']);
    expect(stored.queues.get(A)?.dropped).toBe(2);
  });

  test('a blocked put goes in when there is room, before what came after it', async () => {
    const queue = open({ length: 1, overflow: 'block' });
    await put(['a']);
    const held = ['b', 'c'].map((word) => stored.queues.hold(A, Buffer.from(word), undefined, () => undefined));
    const done: string[] = [];
    held.forEach(({ done: settled }, at) => void settled.then(() => done.push('bc'[at] ?? '')));
    expect(stored.queues.put(queue, Buffer.from('d'))).toBe('full');
    (await fetch()).settle();
    await stored.flushed();
    clock.advance(0);
    await stored.flushed();
    expect(done).toEqual(['b']);
    expect((held[1] as HeldPut).giveUp()).toBe(true);
    expect((held[0] as HeldPut).giveUp()).toBe(false);
    expect(texts(await fetch())).toEqual(['b']);
  });

  test('what is too old leaves, leased or not, and is counted', async () => {
    open({ ttlMs: 100 });
    await put(['a']);
    clock.advance(60);
    await put(['b']);
    await fetch({ max: 1 });
    clock.advance(40);
    const left = await fetch();
    expect([texts(left), left.dropped, stored.queues.get(A)?.length]).toEqual([['b'], 1, 1]);
  });

  test('many that are all too old leave at once, and each group counts what it had not done with', async () => {
    open({
      length: 5_000,
      ttlMs: 100,
      groups: [
        { name: 'g', from: 'first' },
        { name: 'h', from: 'first' },
      ],
    });
    await put(Array.from({ length: 3_000 }, () => 'x'));
    (await fetch({ group: 'g', max: 10 })).settle();
    await fetch({ group: 'g', max: 5, leaseMs: 60_000 });
    stored.queues.put(stored.queues.get(A) ?? open(), Buffer.from('hidden'));
    clock.advance(100);
    await stored.flushed();
    const { dropped, length, bytes } = stored.queues.get(A) ?? open();
    expect([dropped, length, bytes, stored.queues.bytes]).toEqual([3_001, 0, 0, 0]);
    expect([(await fetch({ group: 'g' })).dropped, (await fetch({ group: 'h' })).dropped]).toEqual([2_991, 3_001]);
    await put(['new']);
    expect(places(await fetch({ group: 'g' }))).toEqual([[3_002, 1]]);
  });

  test('one that is made smaller gets there step by step, and takes what comes meanwhile', async () => {
    open({ length: 10_000 });
    await put(Array.from({ length: 4_500 }, (_, index) => `${index}`));
    open({ length: 10 });
    expect(stored.queues.get(A)?.length).toBe(3_500);
    await put(['new']);
    for (let turn = 0; turn < 6; turn += 1) clock.advance(0);
    const left = await fetch();
    expect([left.entries.length, texts(left).at(-1), left.dropped]).toEqual([10, 'new', 4_491]);
  });

  test('returned entries go to the front in their old order, with one attempt more; settled ones are gone', async () => {
    await put(['a', 'b', 'c', 'd']);
    const first = await fetch({ max: 2 });
    const second = await fetch({ max: 1 });
    second.giveBack();
    first.giveBack();
    const again = await fetch();
    expect(places(again)).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
      [4, 1],
    ]);
    again.settle();
    expect([stored.queues.get(A)?.length, stored.queues.bytes]).toEqual([0, 0]);
  });

  test('every active group sees every entry, and it leaves when all are done with it', async () => {
    open();
    await fetch({ group: 'one' });
    await fetch({ group: 'two' });
    await put(['a', 'b']);
    (await fetch({ group: 'one' })).settle();
    expect(stored.queues.get(A)?.length).toBe(2);
    const two = await fetch({ group: 'two', max: 1 });
    expect(texts(two)).toEqual(['a']);
    two.settle();
    expect(stored.queues.get(A)?.length).toBe(1);
    const removed = stored.queues.removeGroup(A, 'two');
    await stored.flushed();
    expect([await removed, stored.queues.get(A)?.length]).toEqual([true, 0]);
  });

  test('a group of the config is there from the start: from the first entry, or from what comes', async () => {
    open();
    await put(['a']);
    open({
      groups: [
        { name: 'all', from: 'first' },
        { name: 'late', from: 'new' },
      ],
    });
    await put(['b']);
    expect(texts(await fetch({ group: 'late' }))).toEqual(['b']);
    expect(texts(await fetch({ group: 'all' }))).toEqual(['a', 'b']);
  });

  test('a group from now on that takes the place of the default one leaves nothing that nobody needs', async () => {
    open({ length: 2, overflow: 'block' });
    await put(['a', 'b']);
    open({ length: 2, overflow: 'block', groups: [{ name: 'late', from: 'new' }] });
    expect(await put(['c'])).toEqual([undefined]);
    expect(texts(await fetch({ group: 'late' }))).toEqual(['c']);
  });

  test('a lease is settled, returned, in part, extended, or runs out', async () => {
    await put(['a', 'b', 'c']);
    const { leaseId } = await fetch({ leaseMs: 1_000 });
    expect(await acknowledge(leaseId, { ok: true, seqs: [2] })).toBe(1);
    expect(await acknowledge(leaseId, { leaseMs: 5_000 })).toBe(2);
    clock.advance(4_999);
    expect(texts(await fetch())).toEqual([]);
    clock.advance(1);
    const again = await fetch({ leaseMs: 1_000 });
    expect(places(again)).toEqual([
      [1, 2],
      [3, 2],
    ]);
    await expect(acknowledge(leaseId, yes)).rejects.toMatchObject({ code: 'SN_ERR_LEASE_UNKNOWN' });
    expect(await acknowledge(again.leaseId, no)).toBe(2);
    expect(places(await fetch())).toEqual([
      [1, 3],
      [3, 3],
    ]);
  });

  test('what came back too often is dead: it can be fetched, requeued and purged', async () => {
    open({ maxAttempts: 2 });
    await put(['poison', 'fine']);
    for (let round = 0; round < 2; round += 1) (await fetch({ max: 1 })).giveBack();
    expect(texts(await fetch())).toEqual(['fine']);
    expect(texts(await fetch({ group: DEAD_GROUP }))).toEqual(['poison']);
    const dead = stored.queues.get(A)?.find(DEAD_GROUP);
    expect(dead?.leasedLength).toBe(1);
    const purged = stored.queues.purge(A, 'dead');
    await stored.flushed();
    expect([await purged, stored.queues.get(A)?.length]).toEqual([1, 1]);
  });

  test('entries of all tasks come in order of arrival', async () => {
    open({}, B);
    open();
    for (const [word, taskId] of [
      ['1', A],
      ['2', B],
      ['3', B],
      ['4', A],
    ] as const) {
      await put([word], taskId);
    }
    expect(texts(await fetch({ taskId: undefined }))).toEqual(['1', '2', '3', '4']);
  });

  test('reads from a place or a time on, without taking', async () => {
    for (const word of ['a', 'b', 'c']) {
      await put([word]);
      clock.advance(10);
    }
    const read = async (from: { seq: number } | { tsMs: number }) => {
      const entries = stored.queues.read(A, from, 10, 1e6);
      await Promise.resolve();
      clock.advance(0);
      return texts({ entries: await entries });
    };
    expect(await read({ seq: 2 })).toEqual(['b', 'c']);
    expect(await read({ tsMs: clock.wallNow() - 15 })).toEqual(['c']);
    expect(texts(await fetch())).toEqual(['a', 'b', 'c']);
  });

  test('purge empties it and ends leases; seq goes on in the same epoch', async () => {
    await put(['a', 'b']);
    const before = await fetch({ leaseMs: 1_000 });
    const purged = stored.queues.purge(A, 'all');
    await stored.flushed();
    expect(await purged).toBe(2);
    await expect(acknowledge(before.leaseId, yes)).rejects.toMatchObject({ code: 'SN_ERR_LEASE_UNKNOWN' });
    await put(['c']);
    const after = await fetch();
    expect([places(after), after.epoch]).toEqual([[[3, 1]], before.epoch]);
  });

  test('a queue that is made anew has another epoch', async () => {
    await put(['a']);
    const { epoch } = await fetch();
    stored.queues.drop(A);
    await put(['b']);
    const after = await fetch();
    expect([places(after), after.epoch === epoch]).toEqual([[[1, 1]], false]);
  });

  test('a large backlog goes out as it came in, though it does not fit into memory', async () => {
    open({ length: 100_000, bytes: 200_000_000 });
    const words = Array.from({ length: 400 }, (_, index) => `${index}`.padStart(80_000, '0'));
    for (let at = 0; at < words.length; at += 40) await put(words.slice(at, at + 40));
    if (storage === 'disk') expect(stored.store.cachedBytes).toBeLessThan(20_000_000);
    const seen: string[] = [];
    for (let round = 0; seen.length < words.length && round < 100; round += 1) {
      const some = await fetch({ max: 7, maxBytes: 1e9 });
      seen.push(...texts(some));
      some.settle();
      if (round % 10 === 0) await stored.flushed();
    }
    expect(seen.map(Number)).toEqual(words.map(Number));
    expect(stored.queues.get(A)?.length).toBe(0);
  });

  if (storage === 'memory') return;

  /** The node is started again. */
  async function restart(): Promise<void> {
    await stored.store.close();
    openStore();
  }

  test('entries, places, groups, attempts, drops and the dead outlive a restart; leases are returned', async () => {
    open({ length: 5, maxAttempts: 2 });
    await fetch({ group: 'one' });
    await put(['a', 'b', 'c', 'd', 'e', 'f']);
    const first = await fetch({ group: 'one', max: 1 });
    first.giveBack();
    (await fetch({ group: 'one', max: 1 })).giveBack();
    const some = await fetch({ group: 'one', max: 2 });
    const [leased, settled] = some.entries;
    expect([leased?.seq, settled?.seq]).toEqual([3, 4]);
    const lease = await fetch({ group: 'one', max: 1, leaseMs: 60_000 });
    await acknowledge(lease.leaseId, yes);
    const { epoch } = first;
    await restart();
    open({ length: 5, maxAttempts: 2 });
    const after = await fetch({ group: 'one' });
    expect(places(after)).toEqual([
      [3, 2],
      [4, 2],
      [6, 1],
    ]);
    expect([after.epoch, after.dropped]).toEqual([epoch, 1]);
    expect(texts(await fetch({ group: DEAD_GROUP }))).toEqual(['b']);
    await put(['g']);
    expect(places(await fetch({ group: 'one' }))).toEqual([[7, 1]]);
  });

  test('a purge and a removal outlive it as well, and what they left on the disk goes little by little', async () => {
    await put(Array.from({ length: 50 }, (_, index) => `${index}`));
    await put(['x', 'y'], B);
    const purged = stored.queues.purge(A, 'all');
    stored.queues.drop(B);
    await stored.flushed();
    await purged;
    await restart();
    expect(stored.store.unopened()).toMatchObject([{ taskId: A, length: 0 }]);
    open();
    open({}, B);
    expect([texts(await fetch()), texts(await fetch({ taskId: B }))]).toEqual([[], []]);
    await put(['new']);
    expect(places(await fetch())).toEqual([[51, 1]]);
  });

  test('a queue that nobody opens stays, and is found by its task', async () => {
    await put(['kept']);
    await restart();
    await restart();
    expect(stored.queues.leftBehind()).toEqual([A]);
    open();
    expect(stored.queues.leftBehind()).toEqual([]);
    expect(texts(await fetch())).toEqual(['kept']);
  });

  test('an empty one that nobody opens is forgotten, unless a group is to see what comes', async () => {
    await put(['a']);
    (await fetch()).settle();
    open({ groups: [{ name: 'g', from: 'first' }] }, B);
    await stored.flushed();
    await restart();
    expect(stored.queues.leftBehind()).toEqual([]);
    expect(stored.store.unopened().map(({ taskId }) => taskId)).toEqual([B]);
    await put(['b'], B);
    expect(stored.queues.get(B)?.find('g')?.readyLength).toBe(1);
  });

  test('a queue that goes from memory to the disk takes along what it holds', async () => {
    open({ storage: 'memory' });
    await put(['a', 'b']);
    open();
    await put(['c']);
    await restart();
    open();
    expect(texts(await fetch())).toEqual(['a', 'b', 'c']);
  });

  test('one that is to go from the disk to memory keeps its word until the next start', async () => {
    await put(['a']);
    open({ storage: 'memory' });
    await put(['b']);
    await restart();
    open();
    expect(texts(await fetch())).toEqual(['a', 'b']);
  });

  test('what died in two groups comes back to both, also after a restart', async () => {
    const groups = ['g', 'h'].map((name) => ({ name, from: 'first' as const }));
    open({ maxAttempts: 1, groups });
    await put(['x']);
    for (const { name: group } of groups) {
      (await fetch({ group })).giveBack();
      await stored.flushed();
      clock.advance(200);
    }
    await restart();
    open({ maxAttempts: 1, groups });
    void stored.queues.requeue(A);
    await stored.flushed();
    for (const { name: group } of groups) expect(texts(await fetch({ group }))).toEqual(['x']);
  });

  test('many purges leave nothing on the disk for long', async () => {
    for (let round = 0; round < 20; round += 1) {
      await put(['x']);
      void stored.queues.purge(A, 'all');
      void stored.queues.purge(A, 'all');
      await stored.flushed();
    }
    for (let turn = 0; turn < 4; turn += 1) {
      clock.advance(200);
      await stored.flushed();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { disk } = stored;
    expect(disk.keys(Buffer.alloc(13), Buffer.alloc(13, 255), 100)).toHaveLength(2);
  });

  test('a wall clock that was not set when entries came does not make them old', async () => {
    await stored.store.close();
    clock = new VirtualClock(3_600_000);
    openStore();
    open({ ttlMs: 60_000 });
    await put(['from 1970']);
    await stored.store.close();
    clock = new VirtualClock();
    openStore();
    open({ ttlMs: 60_000 });
    expect(texts(await fetch())).toEqual(['from 1970']);
  });

  test('entries of before a restart are as old as they are', async () => {
    open({ ttlMs: 1_000 });
    await put(['old']);
    clock.advance(600);
    await restart();
    open({ ttlMs: 1_000 });
    expect(stored.queues.get(A)?.length).toBe(1);
    clock.advance(400);
    expect(stored.queues.get(A)?.length).toBe(0);
  });

  test('arrival goes on over a restart, so that the order between tasks does', async () => {
    await put(['1']);
    await put(['2'], B);
    await restart();
    open();
    open({}, B);
    await put(['3']);
    expect(texts(await fetch({ taskId: undefined }))).toEqual(['1', '2', '3']);
  });
});

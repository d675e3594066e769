import { describe, expect, test } from 'vitest';
import { DEAD_GROUP } from '../../../src/core/topics.js';
import type { HeldPut } from '../../../src/queues/held-puts.js';
import { STORAGES } from '../../fixtures/queues.js';
import { NO, placesOf, TASK_A, TASK_B, textsOf, useStoreWorld, YES } from '../../fixtures/store-world.js';

/** The promises of a queue, whatever keeps its entries. */

describe.each(STORAGES)('a queue in a store: %s', (storage) => {
  const world = useStoreWorld(storage);
  const { open, put, fetch, acknowledge } = world;

  test('gives entries in the order in which they came, counted from 1, with their bytes, time and topic', async () => {
    const queue = open();
    world.stored.queues.put(queue, Buffer.from([0, 255, 10]), 'plant/line');
    world.clock.advance(5);
    world.stored.queues.put(queue, Buffer.alloc(0));
    await world.stored.flushed();
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
    world.stored.queues.put(open(), bytes);
    bytes.fill('x');
    await world.stored.flushed();
    expect(textsOf(await fetch())).toEqual(['first']);
  });

  test('evicts the oldest, refuses the newest, or takes none, as its policy says, and counts what is lost', async () => {
    open({ length: 2 });
    await put(['a', 'b', 'c']);
    const evicted = await fetch();
    expect([textsOf(evicted), evicted.dropped]).toEqual([['b', 'c'], 1]);
    evicted.settle();
    open({ length: 2, overflow: 'drop_newest' });
    expect(await put(['d', 'e', 'f'])).toEqual([undefined, undefined, 'dropped']);
    const refused = await fetch();
    expect([textsOf(refused), refused.dropped]).toEqual([['d', 'e'], 2]);
    refused.settle();
    open({ length: 2, overflow: 'block' });
    expect(await put(['g', 'h', 'i'])).toEqual([undefined, undefined, 'full']);
    expect(world.stored.queues.get(TASK_A)?.dropped).toBe(2);
  });

  test('a blocked put goes in when there is room, before what came after it', async () => {
    const queue = open({ length: 1, overflow: 'block' });
    await put(['a']);
    const held = ['b', 'c'].map((word) =>
      world.stored.queues.hold(TASK_A, Buffer.from(word), undefined, () => undefined),
    );
    const done: string[] = [];
    held.forEach(({ done: settled }, at) => void settled.then(() => done.push('bc'[at] ?? '')));
    expect(world.stored.queues.put(queue, Buffer.from('d'))).toBe('full');
    (await fetch()).settle();
    await world.stored.flushed();
    world.clock.advance(0);
    await world.stored.flushed();
    expect(done).toEqual(['b']);
    expect((held[1] as HeldPut).giveUp()).toBe(true);
    expect((held[0] as HeldPut).giveUp()).toBe(false);
    expect(textsOf(await fetch())).toEqual(['b']);
  });

  test('what is too old leaves, leased or not, and is counted', async () => {
    open({ ttlMs: 100 });
    await put(['a']);
    world.clock.advance(60);
    await put(['b']);
    await fetch({ max: 1 });
    world.clock.advance(40);
    const left = await fetch();
    expect([textsOf(left), left.dropped, world.stored.queues.get(TASK_A)?.length]).toEqual([['b'], 1, 1]);
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
    world.stored.queues.put(world.stored.queues.get(TASK_A) ?? open(), Buffer.from('hidden'));
    world.clock.advance(100);
    await world.stored.flushed();
    const { dropped, length, bytes } = world.stored.queues.get(TASK_A) ?? open();
    expect([dropped, length, bytes, world.stored.queues.bytes]).toEqual([3_001, 0, 0, 0]);
    expect([(await fetch({ group: 'g' })).dropped, (await fetch({ group: 'h' })).dropped]).toEqual([2_991, 3_001]);
    await put(['new']);
    expect(placesOf(await fetch({ group: 'g' }))).toEqual([[3_002, 1]]);
  });

  test('one that is made smaller gets there step by step, and takes what comes meanwhile', async () => {
    open({ length: 10_000 });
    await put(Array.from({ length: 4_500 }, (_, index) => `${index}`));
    open({ length: 10 });
    expect(world.stored.queues.get(TASK_A)?.length).toBe(3_500);
    await put(['new']);
    for (let turn = 0; turn < 6; turn += 1) world.clock.advance(0);
    const left = await fetch();
    expect([left.entries.length, textsOf(left).at(-1), left.dropped]).toEqual([10, 'new', 4_491]);
  });

  test('returned entries go to the front in their old order, with one attempt more; settled ones are gone', async () => {
    await put(['a', 'b', 'c', 'd']);
    const first = await fetch({ max: 2 });
    const second = await fetch({ max: 1 });
    second.giveBack();
    first.giveBack();
    const again = await fetch();
    expect(placesOf(again)).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
      [4, 1],
    ]);
    again.settle();
    expect([world.stored.queues.get(TASK_A)?.length, world.stored.queues.bytes]).toEqual([0, 0]);
  });

  test('every active group sees every entry, and it leaves when all are done with it', async () => {
    open();
    await fetch({ group: 'one' });
    await fetch({ group: 'two' });
    await put(['a', 'b']);
    (await fetch({ group: 'one' })).settle();
    expect(world.stored.queues.get(TASK_A)?.length).toBe(2);
    const two = await fetch({ group: 'two', max: 1 });
    expect(textsOf(two)).toEqual(['a']);
    two.settle();
    expect(world.stored.queues.get(TASK_A)?.length).toBe(1);
    const removed = world.stored.queues.removeGroup(TASK_A, 'two');
    await world.stored.flushed();
    expect([await removed, world.stored.queues.get(TASK_A)?.length]).toEqual([true, 0]);
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
    expect(textsOf(await fetch({ group: 'late' }))).toEqual(['b']);
    expect(textsOf(await fetch({ group: 'all' }))).toEqual(['a', 'b']);
  });

  test('a group from now on that takes the place of the default one leaves nothing that nobody needs', async () => {
    open({ length: 2, overflow: 'block' });
    await put(['a', 'b']);
    open({ length: 2, overflow: 'block', groups: [{ name: 'late', from: 'new' }] });
    expect(await put(['c'])).toEqual([undefined]);
    expect(textsOf(await fetch({ group: 'late' }))).toEqual(['c']);
  });

  test('a lease is settled, returned, in part, extended, or runs out', async () => {
    await put(['a', 'b', 'c']);
    const { leaseId } = await fetch({ leaseMs: 1_000 });
    expect(await acknowledge(leaseId, { ok: true, seqs: [2] })).toBe(1);
    expect(await acknowledge(leaseId, { leaseMs: 5_000 })).toBe(2);
    world.clock.advance(4_999);
    expect(textsOf(await fetch())).toEqual([]);
    world.clock.advance(1);
    const again = await fetch({ leaseMs: 1_000 });
    expect(placesOf(again)).toEqual([
      [1, 2],
      [3, 2],
    ]);
    await expect(acknowledge(leaseId, YES)).rejects.toMatchObject({ code: 'SN_ERR_LEASE_UNKNOWN' });
    expect(await acknowledge(again.leaseId, NO)).toBe(2);
    expect(placesOf(await fetch())).toEqual([
      [1, 3],
      [3, 3],
    ]);
  });

  test('what came back too often is dead: it can be fetched, requeued and purged', async () => {
    open({ maxAttempts: 2 });
    await put(['poison', 'fine']);
    for (let round = 0; round < 2; round += 1) (await fetch({ max: 1 })).giveBack();
    expect(textsOf(await fetch())).toEqual(['fine']);
    expect(textsOf(await fetch({ group: DEAD_GROUP }))).toEqual(['poison']);
    const dead = world.stored.queues.get(TASK_A)?.find(DEAD_GROUP);
    expect(dead?.leasedLength).toBe(1);
    const purged = world.stored.queues.purge(TASK_A, 'dead');
    await world.stored.flushed();
    expect([await purged, world.stored.queues.get(TASK_A)?.length]).toEqual([1, 1]);
  });

  test('entries of all tasks come in order of arrival', async () => {
    open({}, TASK_B);
    open();
    for (const [word, taskId] of [
      ['1', TASK_A],
      ['2', TASK_B],
      ['3', TASK_B],
      ['4', TASK_A],
    ] as const) {
      await put([word], taskId);
    }
    expect(textsOf(await fetch({ taskId: undefined }))).toEqual(['1', '2', '3', '4']);
  });

  test('reads from a place or a time on, without taking', async () => {
    for (const word of ['a', 'b', 'c']) {
      await put([word]);
      world.clock.advance(10);
    }
    const read = async (from: { seq: number } | { tsMs: number }) => {
      const entries = world.stored.queues.read(TASK_A, from, 10, 1e6);
      await Promise.resolve();
      world.clock.advance(0);
      return textsOf({ entries: await entries });
    };
    expect(await read({ seq: 2 })).toEqual(['b', 'c']);
    expect(await read({ tsMs: world.clock.wallNow() - 15 })).toEqual(['c']);
    expect(textsOf(await fetch())).toEqual(['a', 'b', 'c']);
  });

  test('purge empties it and ends leases; seq goes on in the same epoch', async () => {
    await put(['a', 'b']);
    const before = await fetch({ leaseMs: 1_000 });
    const purged = world.stored.queues.purge(TASK_A, 'all');
    await world.stored.flushed();
    expect(await purged).toBe(2);
    await expect(acknowledge(before.leaseId, YES)).rejects.toMatchObject({ code: 'SN_ERR_LEASE_UNKNOWN' });
    await put(['c']);
    const after = await fetch();
    expect([placesOf(after), after.epoch]).toEqual([[[3, 1]], before.epoch]);
  });

  test('a queue that is made anew has another epoch', async () => {
    await put(['a']);
    const { epoch } = await fetch();
    world.stored.queues.drop(TASK_A);
    await put(['b']);
    const after = await fetch();
    expect([placesOf(after), after.epoch === epoch]).toEqual([[[1, 1]], false]);
  });

  test('a large backlog goes out as it came in, though it does not fit into memory', async () => {
    open({ length: 100_000, bytes: 200_000_000 });
    const words = Array.from({ length: 400 }, (_, index) => `${index}`.padStart(80_000, '0'));
    for (let at = 0; at < words.length; at += 40) await put(words.slice(at, at + 40));
    if (storage === 'disk') expect(world.stored.store.cachedBytes).toBeLessThan(20_000_000);
    const seen: string[] = [];
    for (let round = 0; seen.length < words.length && round < 100; round += 1) {
      const some = await fetch({ max: 7, maxBytes: 1e9 });
      seen.push(...textsOf(some));
      some.settle();
      if (round % 10 === 0) await world.stored.flushed();
    }
    expect(seen.map(Number)).toEqual(words.map(Number));
    expect(world.stored.queues.get(TASK_A)?.length).toBe(0);
  });
});

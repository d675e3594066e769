import { describe, expect, test, vi } from 'vitest';
import { DEAD_GROUP } from '../../../src/core/topics.js';
import { placesOf, TASK_A, TASK_B, textsOf, useStoreWorld, YES } from '../../fixtures/store-world.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** What a queue on a disk is after the node was started again. */

describe('a queue on a disk', () => {
  const world = useStoreWorld('disk');
  const { open, put, fetch, acknowledge, restart } = world;

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
    await acknowledge(lease.leaseId, YES);
    const { epoch } = first;
    await restart();
    open({ length: 5, maxAttempts: 2 });
    const after = await fetch({ group: 'one' });
    expect(placesOf(after)).toEqual([
      [3, 2],
      [4, 2],
      [6, 1],
    ]);
    expect([after.epoch, after.dropped]).toEqual([epoch, 1]);
    expect(textsOf(await fetch({ group: DEAD_GROUP }))).toEqual(['b']);
    await put(['g']);
    expect(placesOf(await fetch({ group: 'one' }))).toEqual([[7, 1]]);
  });

  test('a purge and a removal outlive it as well, and what they left on the disk goes little by little', async () => {
    await put(Array.from({ length: 50 }, (_, index) => `${index}`));
    await put(['x', 'y'], TASK_B);
    const purged = world.stored.queues.purge(TASK_A, 'all');
    world.stored.queues.drop(TASK_B);
    await world.stored.flushed();
    await purged;
    await restart();
    expect(world.stored.store.unopened()).toMatchObject([{ taskId: TASK_A, length: 0 }]);
    open();
    open({}, TASK_B);
    expect([textsOf(await fetch()), textsOf(await fetch({ taskId: TASK_B }))]).toEqual([[], []]);
    await put(['new']);
    expect(placesOf(await fetch())).toEqual([[51, 1]]);
  });

  test('a queue that nobody opens stays, and is found by its task', async () => {
    await put(['kept']);
    await restart();
    await restart();
    expect(world.stored.queues.leftBehind()).toEqual([TASK_A]);
    open();
    expect(world.stored.queues.leftBehind()).toEqual([]);
    expect(textsOf(await fetch())).toEqual(['kept']);
  });

  test('an empty one that nobody opens is forgotten, unless a group is to see what comes', async () => {
    await put(['a']);
    (await fetch()).settle();
    open({ groups: [{ name: 'g', from: 'first' }] }, TASK_B);
    await world.stored.flushed();
    await restart();
    expect(world.stored.queues.leftBehind()).toEqual([]);
    expect(world.stored.store.unopened().map(({ taskId }) => taskId)).toEqual([TASK_B]);
    await put(['b'], TASK_B);
    expect(world.stored.queues.get(TASK_B)?.find('g')?.readyLength).toBe(1);
  });

  test('a queue that goes from memory to the disk takes along what it holds', async () => {
    open({ storage: 'memory' });
    await put(['a', 'b']);
    open();
    await put(['c']);
    await restart();
    open();
    expect(textsOf(await fetch())).toEqual(['a', 'b', 'c']);
  });

  test('one that is to go from the disk to memory keeps its word until the next start', async () => {
    await put(['a']);
    open({ storage: 'memory' });
    await put(['b']);
    await restart();
    open();
    expect(textsOf(await fetch())).toEqual(['a', 'b']);
  });

  test('what died in two groups comes back to both, also after a restart', async () => {
    const groups = ['g', 'h'].map((name) => ({ name, from: 'first' as const }));
    open({ maxAttempts: 1, groups });
    await put(['x']);
    for (const { name: group } of groups) {
      (await fetch({ group })).giveBack();
      await world.stored.flushed();
      world.clock.advance(200);
    }
    await restart();
    open({ maxAttempts: 1, groups });
    void world.stored.queues.requeue(TASK_A);
    await world.stored.flushed();
    for (const { name: group } of groups) expect(textsOf(await fetch({ group }))).toEqual(['x']);
  });

  test('many purges leave nothing on the disk for long', async () => {
    for (let round = 0; round < 20; round += 1) {
      await put(['x']);
      void world.stored.queues.purge(TASK_A, 'all');
      void world.stored.queues.purge(TASK_A, 'all');
      await world.stored.flushed();
    }
    const { disk } = world.stored;
    // The last of them nobody waits for.
    await vi.waitFor(
      () => {
        world.clock.advance(200);
        expect(disk.keys(Buffer.alloc(13), Buffer.alloc(13, 255), 100)).toHaveLength(2);
      },
      { timeout: 10_000 },
    );
  });

  test('a wall clock that was not set when entries came does not make them old', async () => {
    await world.stored.store.close();
    world.clock = new VirtualClock(3_600_000);
    world.openStore();
    open({ ttlMs: 60_000 });
    await put(['from 1970']);
    await world.stored.store.close();
    world.clock = new VirtualClock();
    world.openStore();
    open({ ttlMs: 60_000 });
    expect(textsOf(await fetch())).toEqual(['from 1970']);
  });

  test('entries of before a restart are as old as they are', async () => {
    open({ ttlMs: 1_000 });
    await put(['old']);
    world.clock.advance(600);
    await restart();
    open({ ttlMs: 1_000 });
    expect(world.stored.queues.get(TASK_A)?.length).toBe(1);
    world.clock.advance(400);
    expect(world.stored.queues.get(TASK_A)?.length).toBe(0);
  });

  test('arrival goes on over a restart, so that the order between tasks does', async () => {
    await put(['1']);
    await put(['2'], TASK_B);
    await restart();
    open();
    open({}, TASK_B);
    await put(['3']);
    expect(textsOf(await fetch({ taskId: undefined }))).toEqual(['1', '2', '3']);
  });
});

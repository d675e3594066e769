import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { DEFAULT_GROUP, taskIdOf } from '../../../src/core/topics.js';
import { DiskStore } from '../../../src/queues/disk-store.js';
import { Queues } from '../../../src/queues/queues.js';
import { FakeDisk } from '../../fixtures/fake-disk.js';
import { boundsOf, newQueues } from '../../fixtures/queues.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** A disk that fails below the queues. */

const TASK = taskIdOf('a');
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function world(disk = new FakeDisk()) {
  const clock = new VirtualClock();
  const stored = newQueues(clock, 'disk', { disk, bytesMax: 1e9 });
  const queue = stored.queues.open(TASK, boundsOf({ length: 2, storage: 'disk' }));
  const put = (text: string) => stored.queues.put(queue, Buffer.from(text));
  const fetch = () =>
    stored.queues.fetch({
      taskId: TASK,
      group: DEFAULT_GROUP,
      max: 10,
      maxBytes: 1e6,
      waitMs: 0,
      leaseMs: undefined,
      signal: undefined,
    });
  return { ...stored, clock, queue, put, fetch };
}

test('a batch that cannot be written is tried each second, and whoever waits for it waits; others are not taken', async () => {
  const { disk, clock, put, troubles, fetch, queues } = world();
  disk.byHand = true;
  let isFlushed = false;
  void Promise.resolve(put('a') as Promise<void>).then(() => {
    isFlushed = true;
  });
  clock.advance(0);
  disk.fail();
  await turn();
  expect([troubles.length, put('b'), (await fetch()).entries]).toEqual([1, 'full', []]);
  const held = queues.hold(TASK, Buffer.from('b'), undefined, () => undefined);
  clock.advance(999);
  expect(disk.isWriting).toBe(false);
  clock.advance(1);
  expect(disk.isWriting).toBe(true);
  expect(isFlushed).toBe(false);
  disk.finish();
  await turn();
  expect([isFlushed, troubles]).toEqual([true, [expect.any(Error), undefined]]);
  disk.byHand = false;
  clock.advance(0);
  await held.done;
  expect((await fetch()).entries.map(({ payload }) => Buffer.from(payload).toString())).toEqual(['a', 'b']);
});

test('what cannot be read is told once, nothing more is written, and nobody who asked for something else ends', async () => {
  const before = world();
  for (const text of ['a', 'b']) before.put(text);
  await before.flushed();
  const disk = before.disk.survivor(true);
  const { put, fetch, troubles, clock } = world(disk);
  disk.isBroken = true;
  expect(put('c')).toBe('full');
  expect((await fetch()).entries).toEqual([]);
  expect(put('d')).toBe('full');
  clock.advance(10_000);
  await turn();
  expect(troubles).toEqual([expect.objectContaining({ message: 'a page is damaged' })]);
  expect(disk.batches).toBe(0);
});

test('so much may wait for a flush, then puts wait as for room', async () => {
  const { disk, clock, queues, put } = world();
  const queue = queues.open(TASK, boundsOf({ length: 1_000, bytes: 1e9, storage: 'disk' }));
  disk.byHand = true;
  put('first');
  clock.advance(0);
  const piece = Buffer.alloc(1_000_000);
  let taken = 0;
  while (queues.put(queue, piece) !== 'full' && taken < 100) taken += 1;
  expect(taken).toBe(Math.ceil(LIMITS.unflushedBytesMax / (piece.length + 40)));
  const held = queues.hold(TASK, Buffer.from('last'), undefined, () => undefined);
  for (let turn_ = 0; turn_ < 4; turn_ += 1) {
    disk.finish();
    await turn();
    clock.advance(0);
  }
  await held.done;
  expect(queue.length).toBe(taken + 2);
});

test('a task that is removed while its disk is not there is gone when it is', async () => {
  const before = world();
  before.put('old');
  await before.flushed();
  const clock = new VirtualClock();
  const queues = new Queues({ clock, random: new SeededRandom(2), bytesMax: 1e6 });
  const bounds = boundsOf({ storage: 'disk' });
  expect(queues.put(queues.open(TASK, bounds), Buffer.from('x'))).toBe('full');
  queues.drop(TASK);
  const disk = before.disk.survivor(true);
  queues.useDisk(DiskStore.open({ disk, clock, trouble: () => undefined, recovered: () => undefined }));
  expect([queues.leftBehind(), queues.open(TASK, bounds).length]).toEqual([[], 0]);
});

test('a store of another format, or with a record that is none, is not opened', () => {
  const { clock } = world();
  const open = (disk: FakeDisk) =>
    DiskStore.open({ disk, clock, trouble: () => undefined, recovered: () => undefined });
  for (const kind of [0, 1]) {
    const key = Buffer.alloc(13);
    key[4] = kind;
    key[12] = kind;
    expect(() => open(new FakeDisk(new Map([[key.toString('latin1'), Buffer.from('nonsense')]])))).toThrow('expected');
  }
});

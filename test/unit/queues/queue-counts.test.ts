import { expect, test } from 'vitest';
import { DEFAULT_GROUP } from '../../../src/core/topics.js';
import type { FetchOptions } from '../../../src/queues/fetched.js';
import { boundsOf, newQueues, STORAGES } from '../../fixtures/queues.js';
import { TASK_A, TASK_B } from '../../fixtures/store-world.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** What is counted of queues for the metrics. */

const NONE = { drop_oldest: 0, drop_newest: 0, block: 0, no_room: 0, ttl: 0, stopped: 0 };

function world(storage: (typeof STORAGES)[number] = 'memory') {
  const clock = new VirtualClock();
  const stored = newQueues(clock, storage);
  const { queues } = stored;
  const open = (over: Parameters<typeof boundsOf>[0] = {}, taskId = TASK_A) =>
    queues.open(taskId, boundsOf({ storage, ...over }));
  const put = (text: string, taskId = TASK_A) => queues.put(queues.get(taskId) ?? open({}, taskId), Buffer.from(text));
  const fetch = (over: Partial<FetchOptions> = {}) =>
    queues.fetch({
      ...{ taskId: TASK_A, group: DEFAULT_GROUP, max: 10, maxBytes: 1e6, waitMs: 0 },
      ...{ leaseMs: undefined, signal: undefined, ...over },
    });
  return { ...stored, clock, open, put, fetch };
}

test.each([
  ['drop_oldest', { overflow: 'drop_oldest', length: 2 }, 1],
  ['drop_newest', { overflow: 'drop_newest', length: 2 }, 1],
  ['no_room', { overflow: 'drop_oldest', bytes: 1 }, 3],
] as const)('a put over the bounds counts as %s', (policy, bounds, count) => {
  const { queues, open, put } = world();
  const queue = open(bounds);
  for (const text of ['aa', 'bb', 'cc']) put(text);
  expect(queue.counts.dropped).toEqual({ ...NONE, [policy]: count });
  expect(queues.counts.dropped).toEqual({ ...NONE, [policy]: count });
});

test('what is too old counts as ttl, whether one leaves or all leave together', () => {
  const { queues, clock, open, put } = world();
  open({ length: 5_000, bytes: 1e6, ttlMs: 100 });
  put('one');
  clock.advance(100);
  for (let n = 0; n < 2_000; n += 1) put('many');
  expect(queues.counts.dropped.ttl).toBe(1);
  clock.advance(100);
  put('fresh');
  expect(queues.counts.dropped).toEqual({ ...NONE, ttl: 2_001 });
});

test('a put to a stopped task counts as stopped, one that could not wait for room as block', () => {
  const { queues, open, put } = world();
  const queue = open({ overflow: 'block', length: 1 });
  put('a');
  expect(put('b')).toBe('full');
  queue.refuse();
  queue.accepting = false;
  put('c');
  expect(queues.counts.dropped).toEqual({ ...NONE, block: 1, stopped: 1 });
});

test.each(STORAGES)('hand-outs, what became of them, and bytes are counted once each, in %s', async (storage) => {
  const { queues, open, put, fetch, flushed } = world(storage);
  open({ length: 10 });
  for (const text of ['a', 'bb', 'ccc']) put(text);
  await flushed();
  const first = await fetch({ max: 2 });
  first.giveBack();
  first.settle();
  const second = await fetch({ max: 3 });
  second.settle();
  expect(queues.counts).toMatchObject({ puts: 3, putBytes: 6, taken: 5, settled: 3, returned: 2 });
});

test('what a taker by subscription got and lost is counted likewise', async () => {
  const { queues, open, put, clock } = world();
  open();
  const done: ((arrived: boolean) => void)[] = [];
  queues.consume({
    ...{ taskId: TASK_A, group: DEFAULT_GROUP, prefetch: 1, failed: () => undefined },
    push: (_entry, end) => void done.push(end),
  });
  put('a');
  clock.advance(0);
  done.shift()?.(false);
  clock.advance(0);
  done.shift()?.(true);
  expect(queues.counts).toMatchObject({ puts: 1, taken: 2, settled: 1, returned: 1 });
});

test('what a removed task counted stays in the sum of all', () => {
  const { queues, open, put } = world();
  open({ length: 1 });
  for (const text of ['a', 'b']) put(text);
  put('x', TASK_B);
  queues.drop(TASK_A);
  expect(queues.counts).toMatchObject({ puts: 3, dropped: { ...NONE, drop_oldest: 1 } });
  expect(open().counts).toMatchObject({ puts: 0, dropped: NONE });
});

test('entries that go over to a queue on the disk are not put once more', async () => {
  const { queues, open, put, flushed } = world();
  const before = open({ storage: 'memory' });
  for (const text of ['a', 'b']) put(text);
  const queue = open({ storage: 'disk' });
  await flushed();
  expect(queue).not.toBe(before);
  expect([queue.length, queue.counts.puts, queues.counts.puts]).toEqual([2, 2, 2]);
  put('c');
  expect([queue.counts.puts, queues.counts.puts]).toEqual([3, 3]);
});

test.each(STORAGES)('the oldest entry is known with its time, and none when there is none, in %s', async (storage) => {
  const { clock, open, put, fetch, flushed } = world(storage);
  const queue = open();
  expect(queue.oldestPutMs).toBeUndefined();
  clock.advance(500);
  const putMs = clock.now();
  put('a');
  clock.advance(500);
  put('b');
  await flushed();
  expect(queue.oldestPutMs).toBe(putMs);
  (await fetch({ max: 10 })).settle();
  expect(queue.oldestPutMs).toBeUndefined();
});

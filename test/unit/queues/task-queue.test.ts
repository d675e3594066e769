import fc from 'fast-check';
import { expect, test } from 'vitest';
import { taskIdOf } from '../../../src/core/topics.js';
import { takeInOrder } from '../../../src/queues/take.js';
import { type Entry, TaskQueue } from '../../../src/queues/task-queue.js';

const BOUNDS = { length: 3, bytes: 1_000, overflow: 'drop_oldest' } as const;

function newQueue(bounds: TaskQueue['bounds'] = BOUNDS, id = 'q', budget = { bytes: 0, bytesMax: 1e6 }) {
  return new TaskQueue(taskIdOf(id), 'epoch', bounds, budget);
}

function put(queue: TaskQueue, text: string, arrival = 0): boolean {
  return queue.put(Buffer.from(text), 1_000, arrival, undefined);
}

const text = (entry: Entry | undefined) => entry && Buffer.from(entry.payload).toString();

test('entries come out in the order in which they came, counted from 1', () => {
  const queue = newQueue();
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const taken = [queue.take(), queue.take(), queue.take(), queue.take()];
  expect(taken.map(text)).toEqual(['a', 'b', 'c', undefined]);
  expect(taken.map((entry) => entry?.seq)).toEqual([1, 2, 3, undefined]);
});

test('a full queue evicts the oldest, leased or not, and counts it', () => {
  const queue = newQueue();
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const leased = queue.take();
  put(queue, 'd');
  expect(queue.dropped).toBe(1);
  expect(queue.length).toBe(3);
  if (leased) queue.giveBack(leased);
  expect(text(queue.take())).toBe('b');
});

test('drop_newest gives the new entry no seq', () => {
  const queue = newQueue({ ...BOUNDS, overflow: 'drop_newest' });
  for (const word of ['a', 'b', 'c']) put(queue, word);
  expect(put(queue, 'd')).toBe(false);
  expect([queue.seq, queue.dropped]).toEqual([3, 1]);
});

test('bytes bound the queue as well, and what can never fit is dropped without evicting anything', () => {
  const queue = newQueue({ length: 100, bytes: 10, overflow: 'drop_oldest' });
  put(queue, '12345');
  put(queue, '67890');
  put(queue, 'abc');
  expect([queue.length, queue.bytes, queue.dropped]).toEqual([2, 8, 1]);
  expect(put(queue, 'far too much for it')).toBe(false);
  expect([queue.length, queue.dropped]).toEqual([2, 2]);
});

test('queues share a budget of bytes: a put over it evicts from its own queue, or is dropped', () => {
  const budget = { bytes: 0, bytesMax: 10 };
  const [a, b] = [newQueue(BOUNDS, 'a', budget), newQueue(BOUNDS, 'b', budget)];
  put(a, '12345');
  put(b, '67890');
  expect(put(a, 'abc')).toBe(true);
  expect([a.length, a.dropped, b.length, budget.bytes]).toEqual([1, 1, 1, 8]);
  a.clear();
  expect([a.length, budget.bytes]).toEqual([0, 5]);
  put(a, '12345');
  b.clear();
  put(a, '123456789');
  expect([a.length, budget.bytes]).toEqual([1, 9]);
  expect(put(b, 'no room')).toBe(false);
  expect([b.dropped, b.seq]).toEqual([1, 1]);
});

test('what is given back is the next again, with one attempt more', () => {
  const queue = newQueue();
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const [a, b] = [queue.take(), queue.take()];
  if (b) queue.giveBack(b);
  if (a) queue.giveBack(a);
  const again = queue.take();
  expect([text(again), again?.attempts]).toEqual(['a', 2]);
  expect(text(queue.take())).toBe('b');
});

test('ts never falls, also when the clock does', () => {
  const queue = newQueue();
  queue.put(Buffer.from('a'), 2_000, 1, undefined);
  queue.put(Buffer.from('b'), 1_000, 2, undefined);
  expect([queue.take()?.tsMs, queue.take()?.tsMs]).toEqual([2_000, 2_000]);
});

test('a stopped task takes nothing and counts it', () => {
  const queue = newQueue();
  queue.accepting = false;
  expect(put(queue, 'a')).toBe(false);
  expect([queue.length, queue.discarded, queue.dropped]).toEqual([0, 1, 0]);
});

test('the bytes are copied', () => {
  const queue = newQueue();
  const bytes = Buffer.from('abc');
  queue.put(bytes, 0, 1, undefined);
  bytes.fill('x');
  expect(text(queue.take())).toBe('abc');
});

test('several queues are taken from in order of arrival, up to the bytes asked for, the first whatever its size', () => {
  const [a, b, c] = [newQueue(BOUNDS, 'a'), newQueue(BOUNDS, 'b'), newQueue(BOUNDS, 'c')];
  put(a, 'one', 1);
  put(b, 'two', 2);
  put(c, 'three', 3);
  put(a, 'four', 4);
  put(b, 'five', 5);
  expect(takeInOrder([c, b, a], 4, 100).map(text)).toEqual(['one', 'two', 'three', 'four']);
  expect(takeInOrder([c, b, a], 4, 1).map(text)).toEqual(['five']);
  expect(takeInOrder([c, b, a], 4, 100)).toEqual([]);
});

/** The plainest thing that could be right: an array. */
class Model {
  entries: { seq: number; leased: boolean; attempts: number }[] = [];
  seq = 0;
  dropped = 0;
  put(length: number) {
    if (this.entries.length >= length) {
      this.entries.shift();
      this.dropped++;
    }
    this.entries.push({ seq: ++this.seq, leased: false, attempts: 0 });
  }
  take() {
    const entry = this.entries.find(({ leased }) => !leased);
    if (entry) {
      entry.leased = true;
      entry.attempts++;
    }
    return entry;
  }
}

test('put, take, settle, give back and evict agree with a plain list, in any order', () => {
  const step = fc.record({ what: fc.constantFrom('put', 'put', 'take', 'settle', 'giveBack'), pick: fc.nat() });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 200 }), (length, steps) => {
      const queue = newQueue({ length, bytes: 10_000, overflow: 'drop_oldest' });
      const model = new Model();
      const leased: Entry[] = [];
      for (const { what, pick } of steps) {
        if (what === 'put') {
          put(queue, 'x');
          model.put(length);
        } else if (what === 'take') {
          const entry = queue.take();
          const wanted = model.take();
          expect([entry?.seq, entry?.attempts]).toEqual([wanted?.seq, wanted?.attempts]);
          if (entry) leased.push(entry);
        } else {
          const [entry] = leased.splice(pick % Math.max(1, leased.length), 1);
          if (!entry) continue;
          queue[what === 'settle' ? 'settle' : 'giveBack'](entry);
          const held = model.entries.find(({ seq }) => seq === entry.seq);
          if (held && what === 'settle') model.entries = model.entries.filter((other) => other !== held);
          if (held && what === 'giveBack') held.leased = false;
        }
        expect(queue.length).toBe(model.entries.length);
        expect(queue.bytes).toBe(model.entries.length);
        expect(queue.readyLength).toBe(model.entries.filter((entry) => !entry.leased).length);
        expect(queue.dropped).toBe(model.dropped);
      }
    }),
    { numRuns: 300 },
  );
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEAD_GROUP, DEFAULT_GROUP } from '../../../src/core/topics.js';
import type { Entry } from '../../../src/queues/entry.js';
import { takeInOrder } from '../../../src/queues/take.js';
import type { TaskQueue } from '../../../src/queues/task-queue.js';
import { newQueue } from '../../fixtures/queues.js';

function put(queue: TaskQueue, text: string, arrival = 0, nowMs = 0, wallMs = 1_000): boolean {
  return queue.put(Buffer.from(text), { wallMs, nowMs, arrival }, undefined) === 'stored';
}

/** Somebody who takes one entry after the other. */
const holder = {};

function take(queue: TaskQueue, name: string = DEFAULT_GROUP): Entry | undefined {
  const group = queue.group(name);
  const seq = queue.next(group);
  return seq === undefined ? undefined : queue.take(group, seq, holder);
}
const settle = (queue: TaskQueue, entry: Entry | undefined, name: string = DEFAULT_GROUP) =>
  entry !== undefined && queue.settle(name, entry.seq, holder);
const giveBack = (queue: TaskQueue, entry: Entry | undefined, name: string = DEFAULT_GROUP) =>
  entry !== undefined && queue.giveBack(name, entry.seq, holder);
const text = (entry: Entry | undefined) => entry && Buffer.from(entry.payload).toString();
const taken = (queue: TaskQueue, name?: string) => text(take(queue, name));

test('entries come out in the order in which they came, counted from 1', () => {
  const queue = newQueue();
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const taken = [take(queue), take(queue), take(queue), take(queue)];
  expect(taken.map(text)).toEqual(['a', 'b', 'c', undefined]);
  expect(taken.map((entry) => entry?.seq)).toEqual([1, 2, 3, undefined]);
});

test('a full queue evicts the oldest, leased or not, and counts it', () => {
  const queue = newQueue();
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const leased = take(queue);
  put(queue, 'd');
  expect(queue.dropped).toBe(1);
  expect(queue.length).toBe(3);
  expect(giveBack(queue, leased)).toBe(false);
  expect(text(take(queue))).toBe('b');
});

test('drop_newest gives the new entry no seq', () => {
  const queue = newQueue({ overflow: 'drop_newest' });
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
  const [a, b] = [newQueue({}, 'a', budget), newQueue({}, 'b', budget)];
  put(a, '12345');
  put(b, '67890');
  expect(put(a, 'abc')).toBe(true);
  expect([a.length, a.dropped, b.length, budget.bytes]).toEqual([1, 1, 1, 8]);
  a.purge();
  expect([a.length, budget.bytes]).toEqual([0, 5]);
  put(a, '12345');
  b.purge();
  put(a, '123456789');
  expect([a.length, budget.bytes]).toEqual([1, 9]);
  expect(put(b, 'no room')).toBe(false);
  expect([b.dropped, b.seq]).toEqual([1, 1]);
});

test('what is given back is the next again, with one attempt more', () => {
  const queue = newQueue();
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const [a, b] = [take(queue), take(queue)];
  giveBack(queue, b);
  giveBack(queue, a);
  const again = take(queue);
  expect([text(again), again?.attempts]).toEqual(['a', 2]);
  expect(text(take(queue))).toBe('b');
});

test('ts never falls, also when the clock does', () => {
  const queue = newQueue();
  put(queue, 'a', 1, 0, 2_000);
  put(queue, 'b', 2, 0, 1_000);
  expect([take(queue)?.tsMs, take(queue)?.tsMs]).toEqual([2_000, 2_000]);
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
  queue.put(bytes, { wallMs: 0, nowMs: 0, arrival: 1 }, undefined);
  bytes.fill('x');
  expect(text(take(queue))).toBe('abc');
});

test('several queues are taken from in order of arrival, up to the bytes asked for, the first whatever its size', () => {
  const [a, b, c] = [newQueue({}, 'a'), newQueue({}, 'b'), newQueue({}, 'c')];
  put(a, 'one', 1);
  put(b, 'two', 2);
  put(c, 'three', 3);
  put(a, 'four', 4);
  put(b, 'five', 5);
  expect(takeInOrder([c, b, a], DEFAULT_GROUP, 4, 100, holder).map(text)).toEqual(['one', 'two', 'three', 'four']);
  expect(takeInOrder([c, b, a], DEFAULT_GROUP, 4, 1, holder).map(text)).toEqual(['five']);
  expect(takeInOrder([c, b, a], DEFAULT_GROUP, 4, 100, holder)).toEqual([]);
});

test('what is older than its time is evicted, leased or not, and counted', () => {
  const queue = newQueue({ ttlMs: 100 });
  put(queue, 'a', 1, 0);
  put(queue, 'b', 2, 60);
  const leased = take(queue);
  expect(queue.expire(99)).toBe(100);
  expect(queue.expire(100)).toBe(160);
  expect(settle(queue, leased)).toBe(false);
  expect([queue.length, queue.dropped, queue.group(DEFAULT_GROUP).dropped]).toEqual([1, 1, 1]);
  expect(put(queue, 'c', 3, 200)).toBe(true);
  expect([queue.length, queue.dropped, taken(queue)]).toEqual([1, 2, 'c']);
  expect(queue.expire(10_000)).toBeUndefined();
});

test('every active group sees every entry, and one leaves when all are done with it', () => {
  const queue = newQueue({ length: 10 });
  for (const word of ['a', 'b']) put(queue, word);
  expect(taken(queue, 'one')).toBe('a');
  const [a, b] = [take(queue, 'two'), take(queue, 'two')];
  expect([a, b].map(text)).toEqual(['a', 'b']);
  settle(queue, a, 'two');
  expect(queue.length).toBe(2);
  settle(queue, a, 'one');
  expect(queue.length).toBe(1);
  put(queue, 'c');
  expect([taken(queue, 'one'), taken(queue, 'two')]).toEqual(['b', 'c']);
  expect(queue.groups().map(({ name }) => name)).toEqual(['one', 'two']);
});

test('the default group counts while there is no other, or once it was used', () => {
  const unused = newQueue();
  put(unused, 'a');
  settle(unused, take(unused, 'one'), 'one');
  expect(unused.length).toBe(0);
  const used = newQueue();
  put(used, 'a');
  giveBack(used, take(used));
  settle(used, take(used, 'one'), 'one');
  expect([used.length, taken(used)]).toEqual([1, 'a']);
});

test('a group that is removed holds nothing back, and the last one leaves the default behind', () => {
  const queue = newQueue();
  for (const word of ['a', 'b']) put(queue, word);
  settle(queue, take(queue, 'one'), 'one');
  take(queue, 'two');
  queue.removeGroup('two');
  expect(queue.length).toBe(1);
  queue.removeGroup('one');
  expect([queue.length, taken(queue)]).toEqual([1, 'b']);
});

test('a task has so many groups and no more', () => {
  const queue = newQueue();
  expect(() => {
    for (let index = 0; index < 100; index += 1) queue.group(`g${index}`);
  }).toThrow(expect.objectContaining({ code: 'SN_ERR_LIMIT' }));
  expect(queue.groups().length).toBeLessThan(100);
});

test('what was given back too often is dead: it can be taken as such, requeued and purged', () => {
  const queue = newQueue({ length: 10, maxAttempts: 2 });
  for (const word of ['a', 'b', 'c']) put(queue, word);
  const [a, b] = [take(queue), take(queue)];
  for (const entry of [a, b]) giveBack(queue, entry);
  for (const entry of [take(queue), take(queue)]) giveBack(queue, entry);
  expect([queue.deadLength, queue.length, taken(queue)]).toEqual([2, 3, 'c']);
  const dead = take(queue, DEAD_GROUP);
  expect([text(dead), dead?.attempts]).toEqual(['a', 3]);
  giveBack(queue, dead, DEAD_GROUP);
  settle(queue, take(queue, DEAD_GROUP), DEAD_GROUP);
  expect([queue.deadLength, queue.length]).toEqual([1, 2]);
  expect(queue.requeue()).toBe(1);
  const again = take(queue);
  expect([text(again), again?.attempts, queue.deadLength]).toEqual(['b', 1, 0]);
  giveBack(queue, again);
  giveBack(queue, take(queue));
  expect([queue.purge('dead'), queue.deadLength, queue.length]).toEqual([1, 0, 1]);
});

test('the dead of a group that is gone go to those that are left', () => {
  const queue = newQueue({ length: 10, maxAttempts: 1 });
  put(queue, 'a');
  giveBack(queue, take(queue, 'one'), 'one');
  settle(queue, take(queue, 'two'), 'two');
  queue.removeGroup('one');
  expect([queue.requeue(), queue.length, taken(queue, 'two')]).toEqual([1, 1, 'a']);
});

test('an entry that a group still has ahead does not come to it twice by a requeue', () => {
  const queue = newQueue({ length: 3, maxAttempts: 1 });
  put(queue, 'a');
  giveBack(queue, take(queue));
  queue.removeGroup(DEFAULT_GROUP);
  expect([queue.requeue(), queue.readyLength]).toEqual([1, 1]);
  for (const word of ['b', 'c', 'd']) put(queue, word);
  expect([taken(queue), taken(queue), taken(queue), taken(queue)]).toEqual(['b', 'c', 'd', undefined]);
});

test('what can never fit evicts nothing, also where other queues have the room', () => {
  const budget = { bytes: 0, bytesMax: 10 };
  const [a, b] = [newQueue({}, 'a', budget), newQueue({}, 'b', budget)];
  put(b, '1234567');
  put(a, '12');
  expect([put(a, '1234'), a.length, a.dropped]).toEqual([false, 1, 1]);
});

test('a hundred thousand that came back are taken, requeued and purged without a look at all for each', () => {
  const count = 100_000;
  const queue = newQueue({ length: count, bytes: 1e9, maxAttempts: 1 }, 'q', { bytes: 0, bytesMax: 1e9 });
  for (let index = 0; index < count; index += 1) put(queue, 'x');
  const all = (name: string = DEFAULT_GROUP) => Array.from({ length: count }, () => take(queue, name));
  for (const entry of all()) giveBack(queue, entry);
  expect(queue.deadLength).toBe(count);
  expect(queue.requeue()).toBe(count);
  for (const entry of all()) giveBack(queue, entry);
  for (const entry of all(DEAD_GROUP)) giveBack(queue, entry, DEAD_GROUP);
  expect([take(queue, DEAD_GROUP)?.seq, queue.purge(), queue.bytes]).toEqual([1, count, 0]);
});

test('reading takes nothing, from a seq or from a time on', () => {
  const queue = newQueue({ length: 10 });
  for (const [at, word] of ['a', 'b', 'c', 'd'].entries()) put(queue, word, at, 0, 1_000 * at);
  settle(queue, take(queue));
  const read = (...args: Parameters<TaskQueue['readFrom']>) => queue.readFrom(...args).map(text);
  expect(read({ seq: 0 }, 10, 100)).toEqual(['b', 'c', 'd']);
  expect(read({ seq: 3 }, 10, 100)).toEqual(['c', 'd']);
  expect(read({ tsMs: 1_500 }, 1, 100)).toEqual(['c']);
  expect(read({ seq: 0 }, 10, 2)).toEqual(['b', 'c']);
  expect([queue.readFrom({ seq: 0 }, 1, 1)[0]?.attempts, taken(queue)]).toEqual([0, 'b']);
});

/** The plainest thing that could be right: lists, and for each group a word about each entry. */
class Model {
  entries: number[] = [];
  seq = 0;
  dropped = 0;
  readonly groups = new Map<string, Map<number, { word: 'ready' | 'leased' | 'done' | 'dead'; attempts: number }>>();
  readonly dead: number[] = [];

  constructor(names: readonly string[]) {
    for (const name of names) this.groups.set(name, new Map());
  }

  put(length: number): void {
    while (this.entries.length >= length) {
      const [oldest] = this.entries;
      if (oldest !== undefined) this.#remove(oldest);
      this.dropped += 1;
    }
    this.seq += 1;
    this.entries.push(this.seq);
    for (const group of this.groups.values()) group.set(this.seq, { word: 'ready', attempts: 0 });
  }
  take(name: string): { seq: number; attempts: number } | undefined {
    for (const [seq, state] of this.groups.get(name) ?? []) {
      if (state.word !== 'ready') continue;
      state.word = 'leased';
      state.attempts += 1;
      return { seq, attempts: state.attempts };
    }
    return undefined;
  }
  end(name: string, seq: number, how: 'settle' | 'giveBack', maxAttempts: number): void {
    const state = this.groups.get(name)?.get(seq);
    if (state?.word !== 'leased') return;
    if (how === 'settle') state.word = 'done';
    else state.word = maxAttempts > 0 && state.attempts >= maxAttempts ? 'dead' : 'ready';
    if ([...this.groups.values()].every((group) => group.get(seq)?.word === 'done')) this.#remove(seq);
  }
  requeue(): void {
    for (const group of this.groups.values()) {
      for (const state of group.values()) {
        if (state.word !== 'dead') continue;
        state.word = 'ready';
        state.attempts = 0;
      }
    }
  }
  count(word: string, name: string): number {
    return [...(this.groups.get(name)?.values() ?? [])].filter((state) => state.word === word).length;
  }
  deadLength(): number {
    return this.entries.filter((seq) => [...this.groups.values()].some((group) => group.get(seq)?.word === 'dead'))
      .length;
  }
  #remove(seq: number): void {
    this.entries = this.entries.filter((other) => other !== seq);
    for (const group of this.groups.values()) group.delete(seq);
  }
}

test('put, take, settle, give back, requeue and evict agree with plain lists, for several groups in any order', () => {
  const NAMES = ['one', 'two', 'three'];
  const step = fc.record({
    what: fc.constantFrom('put', 'put', 'put', 'take', 'take', 'settle', 'giveBack', 'giveBack', 'requeue'),
    pick: fc.nat(),
    name: fc.constantFrom(...NAMES),
  });
  const settings = fc.record({ length: fc.integer({ min: 1, max: 8 }), maxAttempts: fc.constantFrom(0, 1, 2) });
  fc.assert(
    fc.property(settings, fc.array(step, { maxLength: 200 }), ({ length, maxAttempts }, steps) => {
      const queue = newQueue({ length, bytes: 10_000, maxAttempts });
      const model = new Model(NAMES);
      for (const name of NAMES) queue.group(name);
      const leased: { name: string; entry: Entry }[] = [];
      for (const { what, pick, name } of steps) {
        if (what === 'put') {
          put(queue, 'x');
          model.put(length);
        } else if (what === 'take') {
          const entry = take(queue, name);
          expect(entry && { seq: entry.seq, attempts: entry.attempts }).toEqual(model.take(name));
          if (entry) leased.push({ name, entry });
        } else if (what === 'requeue') {
          queue.requeue();
          model.requeue();
        } else {
          const [one] = leased.splice(pick % Math.max(1, leased.length), 1);
          if (!one) continue;
          (what === 'settle' ? settle : giveBack)(queue, one.entry, one.name);
          model.end(one.name, one.entry.seq, what as 'settle', maxAttempts);
        }
        expect([queue.length, queue.bytes, queue.dropped]).toEqual([
          model.entries.length,
          model.entries.length,
          model.dropped,
        ]);
        for (const group of queue.groups()) {
          expect([group.name, group.readyLength]).toEqual([group.name, model.count('ready', group.name)]);
          expect(group.leasedLength).toBe(model.count('leased', group.name));
        }
        expect(queue.deadLength).toBe(model.deadLength());
      }
      queue.purge();
      expect([queue.length, queue.bytes, queue.deadLength]).toEqual([0, 0, 0]);
      expect(queue.groups().map(({ readyLength, leasedLength }) => readyLength + leasedLength)).toEqual([0, 0, 0]);
    }),
    { numRuns: 500 },
  );
});

import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/core/ports.js';
import { Timers } from '../../../src/supervisor/timers.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** A clock whose cancelled timers fire all the same. */
function deafClock(clock: VirtualClock): Clock {
  return {
    now: () => clock.now(),
    wallNow: () => clock.wallNow(),
    after: (ms, run) => {
      clock.after(ms, run);
      return () => undefined;
    },
    every: (ms, run) => clock.every(ms, run),
    soon: (run) => clock.soon(run),
  };
}

test('a timer that is set again fires once, at its new time', () => {
  const clock = new VirtualClock();
  const timers = new Timers<'a'>(clock);
  const fired: number[] = [];
  timers.set('a', 10, () => fired.push(clock.now()));
  clock.advance(5);
  timers.set('a', 10, () => fired.push(clock.now()));
  clock.advance(100);
  expect(fired).toEqual([15]);
});

test('one that fires although it was cleared is not taken for the one set in its place', () => {
  const clock = new VirtualClock();
  const timers = new Timers<'a'>(deafClock(clock));
  const fired: string[] = [];
  timers.set('a', 10, () => fired.push('old'));
  timers.clear('a');
  timers.set('a', 20, () => fired.push('new'));
  clock.advance(10);
  timers.clearAll();
  clock.advance(100);
  expect(fired).toEqual([]);
});

describe('a patient timer', () => {
  const clock = new VirtualClock();
  const timers = new Timers<'a'>(clock, new Set(['a'] as const));
  const fired: number[] = [];
  const set = () => timers.set('a', 1_000, () => fired.push(clock.now()));

  test('fires a turn after it is due, unless what came in that turn took it back', () => {
    set();
    clock.advance(1_000);
    expect(fired).toEqual([1_000]);
    clock.after(1_000, () => clock.soon(() => timers.clear('a')));
    set();
    clock.advance(5_000);
    expect(fired).toEqual([1_000]);
  });

  test('waits as long again as the node stood still', () => {
    set();
    clock.stall(3_000);
    clock.advance(1_999);
    expect(fired).toEqual([1_000]);
    clock.advance(1);
    expect(fired).toEqual([1_000, 11_000]);
  });
});

import { describe, expect, test } from 'vitest';
import { knownOf, LateLines, lateOnes } from '../../../src/cli/commands/late-lines.js';

function known(history: readonly string[], live: readonly string[]): boolean[] {
  const late = new LateLines(history, 0);
  return live.map((line) => late.has(line, 0));
}

describe('late lines', () => {
  test('are the end of the history, from wherever they begin', () => {
    expect(known(['a', 'b', 'c'], ['b', 'c', 'd'])).toEqual([true, true, false]);
    expect(known(['a', 'b', 'c'], ['a', 'b', 'c', 'a'])).toEqual([true, true, true, false]);
  });

  test('come in their order: after a line that is new, all are', () => {
    expect(known(['a', 'b', 'c'], ['a', 'c', 'b', 'c'])).toEqual([true, false, false, false]);
    expect(known(['a', 'b'], ['x', 'a', 'b'])).toEqual([false, false, false]);
  });

  test('may repeat: they are known while one of the places fits', () => {
    expect(known(['}', 'x', '}', 'y', '}'], ['}', 'y', '}', '}'])).toEqual([true, true, true, false]);
    expect(known(['}', 'x', '}', 'y', '}'], ['}', 'z'])).toEqual([true, false]);
  });

  test('come within a second', () => {
    const late = new LateLines(['a', 'b', 'c'], 5_000);
    expect([late.has('a', 5_999), late.has('b', 6_000), late.has('c', 6_000)]).toEqual([true, false, false]);
  });

  test('were written since we listen, whatever the clock of the node says', () => {
    const history = [100, 149, 150, 200].map((ts) => ({ ts, line: `at ${ts}` }));
    expect(lateOnes(history, 50)).toEqual(['at 149', 'at 150', 'at 200']);
    expect(lateOnes(history, 49)).toEqual(['at 150', 'at 200']);
    expect(lateOnes([], 50)).toEqual([]);
  });
});

describe('lines that came before a history on a way of their own', () => {
  const history = ['a', 'b', 'c', 'd'];

  test.each([
    ['none came', [], 4, 0],
    ['all are in it', ['c', 'd'], 4, 2],
    ['all are in it, and its last one comes late', ['b', 'c'], 4, 2],
    ['they begin before it', ['y', 'z', 'a', 'b', 'c', 'd'], 4, 6],
    ['some are newer', ['c', 'd', 'e', 'f'], 4, 2],
    ['some are older, some newer', ['z', 'a', 'b', 'c', 'd', 'e'], 4, 5],
    ['all are newer', ['e', 'f'], 4, 0],
    ['a newer one looks like an old one', ['b'], 2, 0],
    ['none of the history can have come', ['d'], 0, 0],
  ])('%s', (_name, early, recent, expected) => {
    expect(knownOf(early, history, recent)).toBe(expected);
  });
});

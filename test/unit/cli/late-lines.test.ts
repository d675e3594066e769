import { describe, expect, test } from 'vitest';
import { LateLines, lateOnes } from '../../../src/cli/commands/late-lines.js';

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

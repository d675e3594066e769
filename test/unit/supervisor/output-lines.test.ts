import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { LineBudget, LineSplitter, lineText } from '../../../src/supervisor/output-lines.js';

function linesOf(chunks: readonly Uint8Array[], lineBytesMax = 1_000): { lines: string[]; cut: number } {
  const splitter = new LineSplitter(lineBytesMax);
  const lines: string[] = [];
  const keep = (line: Uint8Array) => lines.push(lineText(line));
  for (const chunk of chunks) splitter.push(chunk, keep);
  splitter.flush(keep);
  return { lines, cut: splitter.cut };
}

const bytes = (text: string) => Buffer.from(text);

describe('a line splitter', () => {
  test('joins what chunks tear apart, and ends the last line on flush', () => {
    expect(linesOf(['ab', 'c\nde', 'f\n\ng'].map(bytes)).lines).toEqual(['abc', 'def', '', 'g']);
  });

  test('takes CR LF as one line end', () => {
    expect(linesOf([bytes('a\r'), bytes('\nb\r\n')]).lines).toEqual(['a', 'b']);
  });

  test('cuts a line at its limit, drops the rest of it and counts it', () => {
    expect(linesOf([bytes('12345'), bytes('678\nok\n')], 6)).toEqual({ lines: ['123456', 'ok'], cut: 1 });
    expect(linesOf([bytes('12345678\nok\n')], 6)).toEqual({ lines: ['123456', 'ok'], cut: 1 });
    expect(linesOf([bytes('123456\n')], 6)).toEqual({ lines: ['123456'], cut: 0 });
  });

  test('does not keep the chunk it was given', () => {
    const chunk = bytes('half');
    const splitter = new LineSplitter(100);
    splitter.push(chunk, () => undefined);
    chunk.fill('x');
    const lines: string[] = [];
    splitter.push(bytes(' line\n'), (line) => lines.push(lineText(line)));
    expect(lines).toEqual(['half line']);
  });

  test('replaces what is not UTF-8, also a character torn by a chunk only when it is torn in the line', () => {
    expect(linesOf([Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xac, 0x0a, 0xff, 0x0a)]).lines).toEqual(['€', '\ufffd']);
  });

  test('gives the same lines however the bytes are cut into chunks', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'é', '\n', '\r\n', '€') });
    fc.assert(
      fc.property(texts, fc.array(fc.nat(40)), fc.integer({ min: 1, max: 8 }), (text, cuts, max) => {
        const whole = bytes(text);
        const places = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
        const chunks = places.slice(1).map((end, at) => whole.subarray(places[at], end));
        expect(linesOf(chunks, max)).toEqual(linesOf([whole], max));
      }),
    );
  });
});

describe('a line budget', () => {
  const ample = { linesPerSecond: 1_000, linesBurst: 1_000, bytesPerSecond: 1_000, bytesBurst: 1_000 };

  test('lets a burst of lines through at once, then as many as its rate, and counts the rest', () => {
    const budget = new LineBudget({ ...ample, linesPerSecond: 2, linesBurst: 3 });
    expect([0, 0, 0, 0].map((ms) => budget.admit(ms, 1))).toEqual([true, true, true, false]);
    expect([499, 500, 500, 1_000].map((ms) => budget.admit(ms, 1))).toEqual([false, true, false, true]);
    expect(budget.takeDropped()).toBe(3);
    expect(budget.takeDropped()).toBe(0);
  });

  test('is full again after a quiet time, and no fuller than that', () => {
    const budget = new LineBudget({ ...ample, linesPerSecond: 2, linesBurst: 3 });
    for (const ms of [0, 0, 0]) budget.admit(ms, 1);
    expect([60_000, 60_000, 60_000, 60_000].map((ms) => budget.admit(ms, 1))).toEqual([true, true, true, false]);
  });

  test('holds bytes in the same way', () => {
    const budget = new LineBudget({ ...ample, bytesPerSecond: 100, bytesBurst: 150 });
    expect([100, 60, 50].map((bytes) => budget.admit(0, bytes))).toEqual([true, false, true]);
    expect([101, 100].map((bytes) => budget.admit(1_000, bytes))).toEqual([false, true]);
  });

  test('lets a line through that is larger than its burst when it is full, and then keeps to the rate', () => {
    const budget = new LineBudget({ ...ample, bytesPerSecond: 100, bytesBurst: 150 });
    expect(budget.admit(0, 250)).toBe(true);
    expect([1_000, 1_010].map((ms) => budget.admit(ms, 1))).toEqual([false, true]);
    expect([2_500, 2_520].map((ms) => budget.admit(ms, 250))).toEqual([false, true]);
  });

  test('loses nothing of the dump of a dying worker, as the node sets it', () => {
    const budget = new LineBudget({
      linesPerSecond: LIMITS.outputLinesPerSecond,
      linesBurst: LIMITS.outputLinesBurst,
      bytesPerSecond: LIMITS.outputBytesPerSecond,
      bytesBurst: LIMITS.outputBytesBurst,
    });
    for (let line = 0; line < 2_050; line += 1) budget.admit(0, 120);
    expect(budget.takeDropped()).toBe(50);
  });
});

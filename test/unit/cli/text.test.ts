import { expect, test } from 'vitest';
import { byteCount, cut, duration, jsonLine, oneLine, stripControls } from '../../../src/cli/text.js';

test.each([
  ['a colour', '\u001b[31mred\u001b[0m', '[31mred[0m'],
  ['a window title', '\u001b]0;owned\u0007x', ']0;ownedx'],
  ['an 8-bit control sequence', '\u009b31mred', '31mred'],
  ['a carriage return that would overwrite the line', 'safe\rrm -rf', 'saferm -rf'],
  ['marks that reorder text', 'a\u202eb\u2066c', 'abc'],
  ['backspaces and DEL', 'ab\b\u007fc', 'abc'],
])('%s loses what a terminal obeys', (_name, hostile, clean) => {
  expect(stripControls(hostile)).toBe(clean);
});

test('tabs, line feeds and every other script stay', () => {
  expect(stripControls('a\tb\nGrüße 温度 🌡')).toBe('a\tb\nGrüße 温度 🌡');
});

test('a table cell has one line', () => {
  expect(oneLine('a\r\nb\tc\nd')).toBe('a b c d');
});

test('JSON shows control characters as escapes and stays the same value', () => {
  const value = { text: 'x\u009b31m\u001b\u202e\u007f' };
  const line = jsonLine(value);
  expect(line).toBe('{"text":"x\\u009b31m\\u001b\\u202e\\u007f"}');
  expect(JSON.parse(line)).toEqual(value);
});

test.each([
  ['cam', 3, 'cam'],
  ['camera', 4, 'cam…'],
  ['🌡🌡🌡', 2, '🌡…'],
  ['camera', 0, '…'],
])('%j cut to %i is %j', (text, width, result) => {
  expect(cut(text, width)).toBe(result);
});

test.each([
  [0, '0.0s'],
  [9_960, '9.9s'],
  [10_000, '10s'],
  [61_000, '1m 1s'],
  [3_600_000, '1h 0m'],
  [93_600_000, '1d 2h'],
])('%i ms reads %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test.each([
  [999, '999 B'],
  [1_536, '1.5 KiB'],
  [16_777_216, '16.0 MiB'],
])('%i bytes read %s', (bytes, text) => {
  expect(byteCount(bytes)).toBe(text);
});

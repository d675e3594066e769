import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { keyboardOf } from '../../../src/cli/keyboard.js';

const screen = { write: () => true, isTTY: true };

function terminal() {
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => void modes.push(raw) });
  return { input, modes };
}

test('keys come one by one while somebody listens, and the terminal is as before after that', () => {
  const { input, modes } = terminal();
  const keys: string[] = [];
  const release = keyboardOf(input, screen)?.listen((key) => void keys.push(key));
  expect(modes).toEqual([true]);
  input.emit('data', Buffer.from('cm'));
  input.emit('data', Buffer.from('\u0003'));
  release?.();
  expect(modes).toEqual([true, false]);
  expect(input.isPaused()).toBe(true);
  input.emit('data', Buffer.from('q'));
  expect(keys).toEqual(['c', 'm', '\u0003']);
});

test('an arrow is not taken for the letters of its escape sequence', () => {
  const { input } = terminal();
  const keys: string[] = [];
  keyboardOf(input, screen)?.listen((key) => void keys.push(key));
  input.emit('data', Buffer.from('\u001b[C'));
  expect(keys).toEqual([]);
});

test('a terminal that is gone is no fault of ours', () => {
  const { input } = terminal();
  keyboardOf(input, screen)?.listen(() => undefined);
  expect(() => input.emit('error', new Error('read EIO'))).not.toThrow();
});

test('without a terminal on both sides there are no keys', () => {
  const { input } = terminal();
  expect(keyboardOf(input, { write: () => true })).toBeUndefined();
  expect(keyboardOf(new PassThrough(), screen)).toBeUndefined();
});

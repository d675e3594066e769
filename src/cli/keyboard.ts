import type { Keyboard, Output } from './io.js';

/** What of a terminal's stdin reads keys (tty(4), node:tty). */
interface KeyInput {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  on(event: 'data' | 'error', listener: (chunk: Uint8Array) => void): unknown;
  off(event: 'data' | 'error', listener: (chunk: Uint8Array) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

/** The keyboard before a terminal. Undefined where stdin or stdout is none: then a key answers nothing on the screen. */
export function keyboardOf(input: KeyInput, output: Output): Keyboard | undefined {
  return input.isTTY === true && output.isTTY === true ? new TerminalKeyboard(input) : undefined;
}

class TerminalKeyboard implements Keyboard {
  readonly #input: KeyInput;

  constructor(input: KeyInput) {
    this.#input = input;
  }

  listen(press: (key: string) => void): () => void {
    const input = this.#input;
    const read = (chunk: Uint8Array) => {
      for (const key of keysIn(Buffer.from(chunk).toString('utf8'))) press(key);
    };
    input.setRawMode?.(true);
    input.on('data', read);
    input.on('error', unreadable);
    input.resume();
    return () => {
      input.off('data', read);
      // A paused stdin does not keep the process. Its errors have a listener until the end.
      input.pause();
      input.setRawMode?.(false);
    };
  }
}

/** The arrows and their like come as one chunk that begins with ESC (ECMA-48 §5.3); they mean nothing here. */
function keysIn(chunk: string): string[] {
  return chunk.startsWith('\u001b') ? [] : [...chunk];
}

function unreadable(): void {
  // A terminal that is gone has no keys any more; SIGHUP tells of it.
}

import { execFileSync } from 'node:child_process';
import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { scratch } from './processes.mjs';

const WAIT_MS = 10_000;

/** Named pipes can be written by any program, a shell's `echo` included, as its first act and without a process of its
 *  own. One line each.
 *  @returns {{ path: string, line: () => Promise<{ text: string, atMs: number }>, close: () => void }} */
export function openFifo() {
  const path = join(scratch(), 'fifo');
  execFileSync('/usr/bin/mkfifo', [path]);
  // Reading and writing, so that it neither blocks nor ends when a writer goes.
  const socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK), readable: true });
  const lines = [];
  let taker;
  socket.on('data', (chunk) => {
    const atMs = performance.now();
    for (const text of chunk.toString().split('\n').filter(Boolean)) lines.push({ text, atMs });
    taker?.();
  });
  const line = () =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nobody started within ${WAIT_MS} ms`)), WAIT_MS);
      taker = () => {
        if (lines.length === 0) return;
        clearTimeout(timer);
        taker = undefined;
        resolve(lines.shift());
      };
      taker();
    });
  return { path, line, close: () => socket.destroy() };
}

import type { Io } from './io.js';
import { lookOf } from './table.js';
import { cut } from './text.js';

const EVERY_MS = 200;
/** Back to the first column, and nothing on the line (ECMA-48 §8.3.41, EL). */
const CLEAR = '\r\u001b[K';

/** A line on stderr that is drawn anew while something runs; nothing where that is no terminal.
 *  @returns Takes it away */
export function showProgress(io: Io, text: () => string): () => void {
  const { stderr, env } = io;
  if (stderr.isTTY !== true || env.TERM === 'dumb') return () => undefined;
  const draw = () => void stderr.write(`${CLEAR}${cut(text(), (lookOf(stderr, env).width ?? 80) - 1)}`);
  const timer = setInterval(draw, EVERY_MS);
  return () => {
    clearInterval(timer);
    stderr.write(CLEAR);
  };
}

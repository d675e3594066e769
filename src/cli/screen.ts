import { type Io, write } from './io.js';
import { lookOf, type TableLook } from './table.js';

/** The terminal's second screen, the cursor hidden: what stood there before comes back at the end
 *  (xterm control sequences, DECSET 1049 and DECTCEM). */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** Draws again and again until `ended` rejects, and leaves the terminal as it was. Without a terminal each drawing
 *  follows the last one. */
export async function watchScreen(
  io: Io,
  everyMs: number,
  ended: Promise<never>,
  draw: (look: TableLook) => Promise<string[]>,
): Promise<never> {
  const isTTY = io.stdout.isTTY === true;
  if (isTTY) await write(io.stdout, ENTER);
  try {
    for (;;) {
      const lines = await draw(lookOf(io.stdout, io.env));
      await write(io.stdout, isTTY ? page(lines, io.stdout.rows ?? 24) : `${lines.join('\n')}\n\n`);
      await pause(everyMs, ended);
    }
  } finally {
    if (isTTY) await write(io.stdout, LEAVE);
  }
}

/** One drawing over the last one, without a flicker: lines are overwritten, and only what is left is cleared. */
function page(lines: readonly string[], rows: number): string {
  const fits = lines.length < rows;
  const shown = fits ? lines : [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} more lines`];
  return `${HOME}${shown.map((line) => `${line}${CLEAR_LINE}\r\n`).join('')}${CLEAR_BELOW}`;
}

async function pause(ms: number, ended: Promise<never>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([over, ended]);
  } finally {
    clearTimeout(timer);
  }
}

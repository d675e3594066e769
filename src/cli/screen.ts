import { EXIT, Failure } from './failure.js';
import { type Io, write } from './io.js';
import { lookOf, type TableLook } from './table.js';

/** The terminal's second screen, the cursor hidden: what stood there before comes back at the end
 *  (xterm control sequences, DECSET 1049 and DECTCEM). */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
/** ETX. */
const CTRL_C = '\u0003';

interface Drawing {
  readonly lines: readonly string[];
  /** Stands at the bottom of a terminal, whatever the lines leave out. */
  readonly footer?: string | undefined;
}

interface Watch<T> {
  /** Pause after a drawing, ms. */
  readonly everyMs: number;
  /** Rejects when there is nothing to watch any more. */
  readonly ended: Promise<never>;
  sample(): Promise<T>;
  draw(sample: T, look: TableLook): Drawing;
  /** What a key does: another drawing of the same sample, the end, or nothing. Without it no keys are read. */
  press?(key: string): 'redraw' | 'quit' | undefined;
}

/** Draws samples again and again until a key or `ended` ends it, and leaves the terminal as it was. Without a terminal
 *  each drawing follows the last one.
 *  @throws Failure with exit code 130 for Ctrl-C while keys are read */
export async function watchScreen<T>(io: Io, watch: Watch<T>): Promise<void> {
  const isTTY = io.stdout.isTTY === true;
  const turns = new Turns();
  watch.ended.catch((thrown) => turns.end(thrown));
  const redraw = () => turns.redraw();
  const releaseKeys = watch.press && io.keyboard?.listen((key) => pressed(key, watch, turns));
  try {
    if (isTTY) await write(io.stdout, ENTER);
    io.stdout.on?.('resize', redraw);
    for (;;) {
      const sample = await turns.take(watch.sample());
      const dueMs = performance.now() + watch.everyMs;
      do {
        const { lines, footer } = watch.draw(sample, lookOf(io.stdout, io.env));
        await write(io.stdout, isTTY ? page(lines, footer, io.stdout.rows ?? 24) : `${lines.join('\n')}\n\n`);
      } while (await turns.redrawBefore(dueMs));
    }
  } catch (thrown) {
    if (thrown !== QUIT) throw thrown;
  } finally {
    io.stdout.off?.('resize', redraw);
    releaseKeys?.();
    if (isTTY) await write(io.stdout, LEAVE);
  }
}

function pressed(key: string, watch: Pick<Watch<never>, 'press'>, turns: Turns): void {
  if (key === CTRL_C) turns.end(new Failure(EXIT.interrupted, 'interrupted', { silent: true }));
  const effect = watch.press?.(key);
  if (effect === 'quit') turns.end(QUIT);
  if (effect === 'redraw') turns.redraw();
}

/** Why a screen that the user left has ended. */
const QUIT = Symbol('quit');

/** Whose turn it is: the next sample, the next drawing, or the end. */
class Turns {
  #redraw = false;
  #ended: { readonly why: unknown } | undefined;
  #wake: () => void = nothing;

  redraw(): void {
    this.#redraw = true;
    this.#wake();
  }

  end(why: unknown): void {
    this.#ended ??= { why };
    this.#wake();
  }

  /** What the work gives. Throws why it ended, should that come first. */
  take<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#wake = () => this.#ended && reject(this.#ended.why);
      this.#wake();
      work.then(resolve, reject);
    });
  }

  /** Waits until `dueMs` of the monotonic clock, and gives true when another drawing is wanted before it. */
  async redrawBefore(dueMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const pause = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, dueMs - performance.now());
      this.#wake = resolve;
      if (this.#redraw || this.#ended) resolve();
    });
    await pause;
    clearTimeout(timer);
    if (this.#ended) throw this.#ended.why;
    const wanted = this.#redraw;
    this.#redraw = false;
    return wanted;
  }
}

function nothing(): void {
  // Nobody waits yet.
}

/** One drawing over the last one, without a flicker: each line is cleared just before it is written, since a full one
 *  leaves the cursor upon its last character. */
function page(lines: readonly string[], footer: string | undefined, rows: number): string {
  const room = Math.max(1, rows - 1);
  const shown = lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`];
  const drawn = `${HOME}${shown.map((line) => `${CLEAR_LINE}${line}\r\n`).join('')}${CLEAR_BELOW}`;
  return footer === undefined ? drawn : `${drawn}\u001b[${rows};1H${footer}`;
}

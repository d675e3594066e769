import { type Fields, textOf } from '../reply-data.js';

/** How long after the history a live line may still be one of it. */
const LATE_MS = 1_000;
/** The node tells whole milliseconds. */
const ROUNDING_MS = 1;

/** Lines of a history that also come live: its reply is written to us directly, a live line takes its way through the
 *  broker and can come after it. They come in their order, and before any new one.
 *
 *  ```
 *  history   … a  b  c
 *  live            b  c  d      b and c are known, d and all that follows is new
 *  ``` */
export class LateLines {
  readonly #lines: readonly string[];
  readonly #endMs: number;
  /** Where in the history the next live line may be: several places when lines repeat. */
  #places: readonly number[];

  constructor(lines: readonly string[], nowMs: number) {
    this.#lines = lines;
    this.#endMs = nowMs + LATE_MS;
    this.#places = [...lines.keys()];
  }

  /** Whether a live line was in the history. After one that was not, none is. */
  has(line: string, nowMs: number): boolean {
    const places = nowMs < this.#endMs ? this.#places.filter((place) => this.#lines[place] === line) : [];
    this.#places = places.map((place) => place + 1);
    return places.length > 0;
  }
}

/** The lines of a history that can come live as well: those written since we listen, so not longer before the newest.
 *  @param listenedMs From before the subscription to after the reply, by our clock */
export function lateOnes(history: readonly Fields[], listenedMs: number): string[] {
  const sinceMs = Number(history.at(-1)?.ts) - listenedMs - ROUNDING_MS;
  return history.filter(({ ts }) => Number(ts) >= sinceMs).map(({ line }) => textOf(line));
}

/** How many of the lines that came live before a history are in it, where the two came on ways of their own: a line may
 *  have been written after the history was told, and still come before it.
 *
 *  ```
 *  history   … a  b  c
 *  early        a  b  c  d      three are known, d is new
 *  early        a  b            both are known, c comes late
 *  ```
 *  @param recent How many of the history can have come live */
export function knownOf(early: readonly string[], history: readonly string[], recent: number): number {
  for (let end = history.length; end > history.length - recent; end--) {
    if (endAlike(early, history.slice(0, end))) return early.length;
  }
  for (let known = early.length - 1; known > 0 && recent > 0; known--) {
    if (endAlike(early.slice(0, known), history)) return known;
  }
  return 0;
}

/** Whether the shorter one is the end of the other. */
function endAlike(one: readonly string[], other: readonly string[]): boolean {
  const length = Math.min(one.length, other.length);
  return Array.from({ length }, (_, back) => back + 1).every((back) => one.at(-back) === other.at(-back));
}

import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import type { OutputStream } from '../supervisor/status.js';
import { logLine } from './log-line.js';

/** What a worker wrote, without its line end. */
export interface LogText {
  readonly stream: OutputStream;
  readonly line: string;
  /** Which worker of a pool. */
  readonly workerId?: string | undefined;
}

export interface TailLine {
  /** Wall clock, ms. */
  readonly tsMs: number;
  readonly stream: OutputStream;
  readonly line: string;
  readonly workerId?: string;
}

/** Where lines are kept for longer. Neither `write` nor `forget` throws or waits. */
export interface LogSink {
  write(taskId: TaskId, line: string): void;
  forget(taskId: TaskId): void;
  close(): Promise<void>;
}

export interface TaskLogsOptions {
  readonly clock: Clock;
  readonly files?: LogSink | undefined;
  /** Tasks whose lines are kept, default LIMITS.tasksMax. One more, and the one that was silent for longest is
   *  dropped: a pipe may hold lines of a task that has been forgotten. */
  readonly tasksMax?: number;
}

/** The rest of a longer line is left out of the tail, not out of the file. UTF-16 units. */
const TAIL_LINE_CHARS = 8_192;

/** The newest lines of each task, for `logs`; and on to the log files, if there are any. */
export class TaskLogs {
  readonly #clock: Clock;
  readonly #files: LogSink | undefined;
  readonly #tasksMax: number;
  readonly #tails = new Map<TaskId, Tail>();

  constructor({ clock, files, tasksMax = LIMITS.tasksMax }: TaskLogsOptions) {
    this.#clock = clock;
    this.#files = files;
    this.#tasksMax = tasksMax;
  }

  add(taskId: TaskId, { stream, line, workerId }: LogText): void {
    const tsMs = this.#clock.wallNow();
    const text = kept(line);
    this.#tailOf(taskId).push({ tsMs, stream, line: text, ...(workerId === undefined ? {} : { workerId }) });
    this.#files?.write(taskId, logLine(tsMs, stream, workerId, line));
  }

  /** At most so many lines, the newest last. */
  tail(taskId: TaskId, lines: number): readonly TailLine[] {
    return this.#tails.get(taskId)?.newest(lines) ?? [];
  }

  /** The task is gone. Its files, if any, stay. */
  forget(taskId: TaskId): void {
    this.#tails.delete(taskId);
    this.#files?.forget(taskId);
  }

  /** Closes the files. What comes later is kept in memory only. */
  async close(): Promise<void> {
    await this.#files?.close();
  }

  #tailOf(taskId: TaskId): Tail {
    const known = this.#tails.get(taskId);
    if (known !== undefined) return known;
    if (this.#tails.size >= this.#tasksMax) this.#dropQuietest();
    const tail = new Tail();
    this.#tails.set(taskId, tail);
    return tail;
  }

  #dropQuietest(): void {
    let quietest: TaskId | undefined;
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const [taskId, { lastMs }] of this.#tails) {
      if (lastMs < oldestMs) {
        oldestMs = lastMs;
        quietest = taskId;
      }
    }
    if (quietest !== undefined) this.#tails.delete(quietest);
  }
}

/** A ring: the next line comes after the newest, at the end over to the start, and the oldest make room for it.
 *
 *  ```
 *  #slots    [ 5 | 6 | – | – | 2 | 3 | 4 ]     #first = 4, #count = 5
 *  ``` */
class Tail {
  readonly #slots: (TailLine | undefined)[] = [];
  #first = 0;
  #count = 0;
  #bytes = 0;
  /** Of the newest line. */
  lastMs = 0;

  push(line: TailLine): void {
    const bytes = Buffer.byteLength(line.line);
    while (this.#count > 0 && (this.#count === LIMITS.logTailLines || this.#bytes + bytes > LIMITS.logTailBytes)) {
      this.#dropOldest();
    }
    this.#slots[(this.#first + this.#count) % LIMITS.logTailLines] = line;
    this.#count += 1;
    this.#bytes += bytes;
    this.lastMs = line.tsMs;
  }

  newest(lines: number): TailLine[] {
    const found: TailLine[] = [];
    for (let back = Math.min(lines, this.#count); back >= 1; back -= 1) {
      const line = this.#slots[(this.#first + this.#count - back) % LIMITS.logTailLines];
      if (line !== undefined) found.push(line);
    }
    return found;
  }

  #dropOldest(): void {
    const oldest = this.#slots[this.#first];
    this.#slots[this.#first] = undefined;
    this.#first = (this.#first + 1) % LIMITS.logTailLines;
    this.#count -= 1;
    if (oldest !== undefined) this.#bytes -= Buffer.byteLength(oldest.line);
  }
}

/** A copy of the start of a long line: a mere slice would keep the whole of it in memory. */
function kept(line: string): string {
  if (line.length <= TAIL_LINE_CHARS) return line;
  const cutsPair = /[\ud800-\udbff]$/.test(line.slice(TAIL_LINE_CHARS - 1, TAIL_LINE_CHARS));
  const start = line.slice(0, cutsPair ? TAIL_LINE_CHARS - 1 : TAIL_LINE_CHARS);
  return Buffer.from(`${start}…`).toString();
}

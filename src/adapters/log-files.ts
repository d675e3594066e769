import type { Cancel, Clock, Logger } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import { RotatingFile } from './rotating-file.js';

export interface LogFilesOptions {
  /** Made with mode 0700 if need be. */
  readonly dir: string;
  /** Most bytes of one file; one line that is longer than an eighth of it may take it over that, but not to twice as
   *  much. */
  readonly fileBytes: number;
  /** Older files of each task, beside the current one; at least 1. */
  readonly files: number;
  /** Descriptors held at a time, at least 1; the file written to least recently is closed. */
  readonly openMax: number;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Lines wait so long for others to go to the file with them. A crash of the node costs as much. */
const FLUSH_MS = 1_000;
/** Lines that are written at once, and what a task has to have before it is written early. */
const BLOCK_BYTES_MAX = 262_144;
/** Lines of one task, and of all, that wait for a slow disk; further ones are dropped. */
const WAITING_BYTES_MAX = 1_048_576;
const ALL_WAITING_BYTES_MAX = 16_777_216;
/** The rest of a longer line is cut off, as it is where a file is shorter than this. */
const LINE_BYTES_MAX = 262_144;
/** After an error a file is left alone so long; lines that come meanwhile are dropped. */
const RETRY_MS = 5_000;
/** Files that are opened in place of others in one round: with more talking tasks than descriptors, lines wait longer
 *  rather than that the node does nothing but open files. Unless they fill half of the room for waiting. */
const SWITCHES_MAX = 64;
/** Losses are told at most so often, the first after a second. */
const TELL_MS = 60_000;
const FIRST_TELL_MS = 1_000;
/** How long `close` may take. */
const CLOSE_MS = 5_000;

interface Block {
  lines: string[];
  bytes: number;
}

interface Entry {
  readonly taskId: TaskId;
  readonly file: RotatingFile;
  blocks: Block[];
  bytes: number;
  /** Lines dropped since the file had one; it is told in the file, too. */
  lost: number;
  retryAtMs: number;
  forgotten: boolean;
}

/** The lines of workers, in files that rotate.
 *
 *  ```
 *  cam1.log      cam1.log.1      cam1.log.2     …     task `cam1`: the current file, the newest of the older ones …
 *  cam1.log.log  cam1.log.log.1  …                    task `cam1.log`
 *  ```
 *
 *  No two tasks share a name: a current file is its task and `.log`, so it ends in `.log`, which no older one does; an
 *  older one is its task, `.log.` and digits, so what stands before its last dot is the current file of the same task.
 *  That holds where `A` and `a` are two names, thus not on FAT.
 *
 *  Lines are gathered and written by one loop, file after file, so the disk has one write at a time from here and the
 *  thread pool of Node stays free. Nothing is flushed to the medium. What cannot be written is dropped, counted, and
 *  told in the log and, once it can be written again, in the file: `<time> log 12 lines lost`. */
export class LogFiles {
  readonly #options: LogFilesOptions;
  readonly #blockBytes: number;
  readonly #lineBytes: number;
  readonly #entries = new Map<TaskId, Entry>();
  /** What the next round looks at; whom the last one had no descriptor for comes first. */
  readonly #dirty = new Set<Entry>();
  /** Who holds a descriptor, the least recently written first. */
  readonly #open = new Set<Entry>();
  #bytes = 0;
  #switches = 0;
  #dropped = 0;
  #untold = 0;
  #lastError = 'the disk is too slow';
  #toldMs = Number.NEGATIVE_INFINITY;
  #cancelTell: Cancel | undefined;
  #cancelRound: Cancel | undefined;
  #round: Promise<void> | undefined;
  /** A whole block waits: the next round comes at once. */
  #urgent = false;
  /** When the last round of all began. */
  #allMs = Number.NEGATIVE_INFINITY;
  #closed: Promise<void> | undefined;

  constructor(options: LogFilesOptions) {
    this.#options = options;
    this.#blockBytes = Math.min(BLOCK_BYTES_MAX, Math.ceil(options.fileBytes / 8));
    this.#lineBytes = Math.min(LINE_BYTES_MAX, options.fileBytes - 1);
  }

  /** Lines that did not reach their file. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Descriptors held now. */
  get openFiles(): number {
    return this.#open.size;
  }

  /** Takes one line, without line ends in it. Never throws, never waits. */
  write(taskId: TaskId, line: string): void {
    const entry = this.#entryOf(taskId);
    entry.forgotten = false;
    let text = line;
    let bytes = Buffer.byteLength(line) + 1;
    if (bytes > this.#lineBytes) {
      text = cut(line, this.#lineBytes - 1);
      bytes = Buffer.byteLength(text) + 1;
    }
    if (this.#closed !== undefined || this.#isFull(entry, bytes) || this.#isFailing(entry)) {
      this.#drop(entry, 1);
      return;
    }
    const last = entry.blocks.at(-1);
    const fits = last !== undefined && last.bytes + bytes <= this.#blockBytes;
    if (fits) {
      last.lines.push(text);
      last.bytes += bytes;
    } else entry.blocks.push({ lines: [text], bytes });
    entry.bytes += bytes;
    this.#bytes += bytes;
    this.#dirty.add(entry);
    this.#schedule(!fits && entry.blocks.length > 1);
  }

  /** The task is gone: its file is closed once it has all lines. It stays, as it may be wanted to see why. */
  forget(taskId: TaskId): void {
    const entry = this.#entries.get(taskId);
    if (entry === undefined || this.#closed !== undefined) return;
    entry.forgotten = true;
    this.#dirty.add(entry);
    this.#schedule(false);
  }

  /** Writes what waits, as far as five seconds suffice, and closes all files. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelTimer();
    let cancel: Cancel | undefined;
    const bound = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(CLOSE_MS, resolve);
    });
    await Promise.race([this.#finish(), bound]);
    cancel?.();
    for (const entry of this.#dirty) this.#dropWaiting(entry);
    this.#cancelTell?.();
    this.#tell();
  }

  async #finish(): Promise<void> {
    await this.#round;
    for (const entry of this.#dirty) await this.#flush(entry);
    for (const entry of this.#open) await this.#release(entry);
  }

  #entryOf(taskId: TaskId): Entry {
    const known = this.#entries.get(taskId);
    if (known !== undefined) return known;
    const { dir, fileBytes, files } = this.#options;
    const rotateBytes = Math.max(1, fileBytes - this.#blockBytes);
    const file = new RotatingFile({ dir, name: `${taskId}.log`, rotateBytes, files });
    const entry = { taskId, file, blocks: [], bytes: 0, lost: 0, retryAtMs: 0, forgotten: false };
    this.#entries.set(taskId, entry);
    return entry;
  }

  #isFull(entry: Entry, bytes: number): boolean {
    return entry.bytes + bytes > WAITING_BYTES_MAX || this.#bytes + bytes > ALL_WAITING_BYTES_MAX;
  }

  #isFailing(entry: Entry): boolean {
    return entry.retryAtMs > 0 && this.#options.clock.now() < entry.retryAtMs;
  }

  #schedule(urgent: boolean): void {
    if (this.#closed !== undefined) return;
    if (urgent && !this.#urgent && this.#round === undefined) this.#cancelTimer();
    this.#urgent ||= urgent;
    if (this.#round !== undefined || this.#cancelRound !== undefined) return;
    this.#cancelRound = this.#options.clock.after(this.#urgent ? 0 : FLUSH_MS, () => {
      this.#cancelRound = undefined;
      this.#round = this.#write().finally(() => {
        this.#round = undefined;
        if (this.#dirty.size > 0) this.#schedule(false);
        else this.#urgent = false;
      });
    });
  }

  #cancelTimer(): void {
    this.#cancelRound?.();
    this.#cancelRound = undefined;
  }

  /** One round: of all, or in between of those that have a block full. */
  async #write(): Promise<void> {
    const nowMs = this.#options.clock.now();
    const all = !this.#urgent || nowMs - this.#allMs >= FLUSH_MS;
    this.#urgent = false;
    if (all) {
      this.#allMs = nowMs;
      this.#switches = 0;
    }
    for (const entry of [...this.#dirty]) {
      if (all || entry.blocks.length > 1) await this.#flush(entry);
    }
  }

  async #flush(entry: Entry): Promise<void> {
    const { blocks } = entry;
    if (blocks.length > 0 && !(await this.#mayOpen(entry))) return;
    this.#dirty.delete(entry);
    entry.blocks = [];
    try {
      for (let block = blocks.shift(); block !== undefined; block = blocks.shift()) await this.#append(entry, block);
    } catch (error) {
      this.#open.delete(entry);
      entry.blocks.unshift(...blocks);
      entry.retryAtMs = this.#options.clock.now() + RETRY_MS;
      this.#lastError = error instanceof Error ? error.message : String(error);
      this.#dropWaiting(entry);
    }
    if (entry.forgotten) await this.#release(entry);
  }

  async #append(entry: Entry, { lines, bytes }: Block): Promise<void> {
    const { lost } = entry;
    const time = lost > 0 ? new Date(this.#options.clock.wallNow()).toISOString() : '';
    const gap = lost > 0 ? `${time} log ${lost} lines lost\n` : '';
    try {
      await entry.file.append(Buffer.from(`${gap}${lines.join('\n')}\n`));
      entry.lost -= lost;
      entry.retryAtMs = 0;
    } catch (error) {
      this.#drop(entry, lines.length);
      throw error;
    } finally {
      entry.bytes -= bytes;
      this.#bytes -= bytes;
    }
  }

  /** Whether there is a descriptor for it, if need be one that another file gave up. */
  async #mayOpen(entry: Entry): Promise<boolean> {
    if (!this.#open.delete(entry) && this.#open.size >= this.#options.openMax) {
      const hurry = this.#closed !== undefined || this.#bytes > ALL_WAITING_BYTES_MAX / 2;
      if (this.#switches >= SWITCHES_MAX && !hurry) return false;
      this.#switches += 1;
      const [oldest] = this.#open;
      if (oldest !== undefined) await this.#release(oldest);
    }
    this.#open.add(entry);
    return true;
  }

  async #release(entry: Entry): Promise<void> {
    await entry.file.close();
    this.#open.delete(entry);
    const idle = entry.blocks.length === 0 && entry.lost === 0 && entry.retryAtMs === 0;
    if (idle || (entry.forgotten && entry.blocks.length === 0)) this.#entries.delete(entry.taskId);
  }

  #dropWaiting(entry: Entry): void {
    let lines = 0;
    for (const block of entry.blocks) {
      lines += block.lines.length;
      entry.bytes -= block.bytes;
      this.#bytes -= block.bytes;
    }
    entry.blocks = [];
    this.#drop(entry, lines);
  }

  #drop(entry: Entry, lines: number): void {
    entry.lost += lines;
    this.#dropped += lines;
    this.#untold += lines;
    if (this.#untold === 0 || this.#closed !== undefined) return;
    const waitMs = Math.max(FIRST_TELL_MS, this.#toldMs + TELL_MS - this.#options.clock.now());
    this.#cancelTell ??= this.#options.clock.after(waitMs, () => this.#tell());
  }

  #tell(): void {
    this.#cancelTell = undefined;
    if (this.#untold === 0) return;
    const { dir, log, clock } = this.#options;
    log.warn({ lines: this.#untold, dir, error: this.#lastError }, 'lines of workers did not reach their log files');
    this.#untold = 0;
    this.#toldMs = clock.now();
  }
}

/** At most so many bytes of UTF-8, with a mark of how much is missing. */
function cut(line: string, bytesMax: number): string {
  const bytes = Buffer.from(line);
  const room = Math.max(0, bytesMax - 32);
  // TextDecoder with `stream` leaves out a character that the cut tore.
  const text = new TextDecoder().decode(bytes.subarray(0, room), { stream: true });
  return `${text} … ${bytes.length - room} bytes cut`;
}

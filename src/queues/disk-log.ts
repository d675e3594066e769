import type { DiskBatch, OrderedDisk } from '../core/ordered-disk.js';
import {
  deadKey,
  EntryKeys,
  markKey,
  marksRange,
  pageBounds,
  pageOf,
  rangeOf,
  readEntry,
  readMarks,
  type Slab,
  seqOf,
  writeDead,
  writeMarks,
} from './disk-records.js';
import { EntryColumns } from './entry-columns.js';
import type { EntryLog, LoggedEntry, LoggedQueue, QueueState, StoredQueue } from './entry-log.js';

/** What an entry in memory costs beside its bytes, about. */
const COLUMN_BYTES = 40;

/** What the logs of one store share. */
export interface DiskLogHost {
  readonly disk: OrderedDisk;
  readonly isWritable: boolean;
  /** Bytes of entries that logs hold in memory. */
  cachedBytes: number;
  /** So much waits for its flush more than before. */
  appended(bytes: number): void;
  /** A number for a queue that has nothing on the disk. */
  newNo(): number;
  /** Nothing of this number is needed any more. */
  retire(no: number): void;
  changed(log: DiskLog, how: 'soon' | 'lazily'): void;
  whenFlushed(log: DiskLog): Promise<void> | undefined;
  /** When something happened at this wall time, on the monotonic clock; ms. */
  monotonicOf(wallMs: number): number;
}

/** The log of one queue on a disk, with the newest entries in memory as well: most are taken soon after they came.
 *
 *      seq  1 … 40        41 … 70          71 … 90          91 … 95
 *           disk alone    disk and memory  being written    memory alone
 *                         ▲ #cachedFrom    ▲ flushedSeq + 1 ▲ #writingSeq + 1
 *
 *  What is removed before it was written is never written. */
export class DiskLog implements EntryLog {
  readonly #host: DiskLogHost;
  #no: number;
  #keys: EntryKeys;
  #queue: LoggedQueue | undefined;
  /** Entries up to this one were put in an earlier run: their `putMs` is of another clock. */
  readonly #earlierRunSeq: number;
  flushedSeq: number;
  #writingSeq: number;
  #lastSeq: number;
  #cached = new EntryColumns();
  #cachedFrom: number;
  /** Nothing before it is held. */
  #firstHeld = 1;
  /** Removed, but not yet from the disk. */
  readonly #gone = new Set<number>();
  /** Groups and pages of marks that changed. */
  readonly #pages = new Map<number, Set<number>>();
  readonly #dead = new Set<number>();
  /** What the batch under way says of those. */
  #writing: { no: number; seq: number; gone: number[]; pages: [number, number][]; dead: number[] } | undefined;
  /** The last entry that was read from the disk: who looks for the next one then asks for its size, and then for it. */
  #lastRead: LoggedEntry | undefined;

  /** @param state Undefined: a new one */
  constructor(host: DiskLogHost, no: number, state: QueueState | undefined) {
    this.#host = host;
    this.#no = no;
    this.#keys = new EntryKeys(no);
    const seq = state?.seq ?? 0;
    this.#earlierRunSeq = seq;
    this.flushedSeq = seq;
    this.#writingSeq = seq;
    this.#lastSeq = seq;
    this.#cachedFrom = seq + 1;
  }

  get no(): number {
    return this.#no;
  }

  get isWritable(): boolean {
    return this.#host.isWritable;
  }

  /** Whether some of it is in memory. */
  get isCached(): boolean {
    return this.#cached.next(0) !== undefined;
  }

  /** What the queue and its groups know, as of the last flush. Asked for before anything is changed. */
  stored(state: QueueState): StoredQueue {
    const [from, to] = marksRange(this.#no);
    return { state, ...readMarks(this.#host.disk.entries(from, to)) };
  }

  attach(queue: LoggedQueue): void {
    this.#queue = queue;
  }

  get queue(): LoggedQueue | undefined {
    return this.#queue;
  }

  append(entry: LoggedEntry): void {
    this.#cached.append(entry);
    this.#lastSeq = entry.seq;
    const cost = this.#cost(entry.seq);
    this.#host.cachedBytes += cost;
    this.#host.appended(cost);
    this.changed('soon');
  }

  read(seq: number): LoggedEntry | undefined {
    return seq >= this.#cachedFrom ? this.#cached.read(seq) : this.#onDisk(seq);
  }

  next(from: number): number | undefined {
    const start = Math.max(from, this.#firstHeld);
    const found =
      start < this.#cachedFrom ? (this.#nextOnDisk(start) ?? this.#cached.next(0)) : this.#cached.next(start);
    if (from <= this.#firstHeld) this.#firstHeld = found ?? this.#lastSeq + 1;
    return found;
  }

  arrival(seq: number): number | undefined {
    return seq >= this.#cachedFrom ? this.#cached.arrival(seq) : this.#onDisk(seq)?.arrival;
  }

  putMs(seq: number): number | undefined {
    return seq >= this.#cachedFrom ? this.#cached.putMs(seq) : this.#onDisk(seq)?.putMs;
  }

  bytes(seq: number): number {
    if (seq >= this.#cachedFrom) return this.#cached.bytes(seq);
    const entry = this.#onDisk(seq);
    if (entry === undefined) return 0;
    return entry.payload.length + (entry.topic === undefined ? 0 : Buffer.byteLength(entry.topic));
  }

  remove(seq: number): void {
    if (seq >= this.#cachedFrom) this.#uncache(seq);
    if (seq <= this.#writingSeq) this.#gone.add(seq);
    if (this.#lastRead?.seq === seq) this.#lastRead = undefined;
    this.changed('lazily');
  }

  /** What is on the disk is deleted little by little; a queue of another number begins. */
  clear(): void {
    this.#host.retire(this.#no);
    this.#no = this.#host.newNo();
    this.#keys = new EntryKeys(this.#no);
    this.#uncacheUpTo(this.#lastSeq);
    this.#gone.clear();
    this.#pages.clear();
    this.#dead.clear();
    this.flushedSeq = this.#lastSeq;
    this.#writingSeq = this.#lastSeq;
    this.#cachedFrom = this.#lastSeq + 1;
    this.#firstHeld = this.#lastSeq + 1;
    this.#lastRead = undefined;
    this.changed('soon');
  }

  changed(how: 'soon' | 'lazily'): void {
    this.#host.changed(this, how);
  }

  marked(groupId: number, seq: number): void {
    const pages = this.#pages.get(groupId) ?? new Set<number>();
    this.#pages.set(groupId, pages.add(pageOf(seq)));
  }

  markedDead(seq: number): void {
    this.#dead.add(seq);
  }

  whenFlushed(): Promise<void> | undefined {
    return this.#host.whenFlushed(this);
  }

  // ------------------------------------------------------------------ flush

  /** Says what changed since the last batch. */
  write(batch: DiskBatch, slab: Slab): void {
    const no = this.#no;
    const gone = [...this.#gone];
    for (const seq of gone) batch.remove(this.#keys.of(seq));
    for (let seq = this.#cached.next(this.flushedSeq + 1); seq !== undefined; seq = this.#cached.next(seq + 1)) {
      const entry = this.#cached.read(seq);
      if (entry !== undefined) batch.put(this.#keys.of(seq), slab.entry(entry));
    }
    this.#writingSeq = this.#lastSeq;
    const pages = [...this.#pages].flatMap(([groupId, numbers]) =>
      Array.from(numbers, (page): [number, number] => [groupId, page]),
    );
    const dead = [...this.#dead];
    this.#pages.clear();
    this.#dead.clear();
    this.#writing = { no, seq: this.#lastSeq, gone, pages, dead };
    for (const [groupId, page] of pages) this.#writePage(batch, groupId, page);
    for (const seq of dead) {
      const mark = this.#queue?.deadMark(seq);
      if (mark === undefined) batch.remove(deadKey(no, seq));
      else batch.put(deadKey(no, seq), writeDead(mark));
    }
  }

  /** The batch is flushed. */
  written(): void {
    const writing = this.#writing;
    this.#writing = undefined;
    if (writing === undefined || writing.no !== this.#no) return;
    for (const seq of writing.gone) this.#gone.delete(seq);
    this.flushedSeq = writing.seq;
    this.#queue?.flushed();
  }

  /** Nothing of the batch was written: all of it is to be said again. */
  failed(): void {
    const writing = this.#writing;
    this.#writing = undefined;
    if (writing === undefined || writing.no !== this.#no) return;
    this.#writingSeq = this.flushedSeq;
    for (const [groupId, page] of writing.pages) this.marked(groupId, pageBounds(page)[0]);
    for (const seq of writing.dead) this.#dead.add(seq);
  }

  /** Keeps in memory only what is not on the disk yet. */
  cool(): void {
    this.#uncacheUpTo(this.flushedSeq);
    this.#cachedFrom = Math.max(this.#cachedFrom, this.flushedSeq + 1);
  }

  /** Its queue is no more. */
  drop(): void {
    this.#uncacheUpTo(this.#lastSeq);
    this.#host.retire(this.#no);
  }

  #writePage(batch: DiskBatch, groupId: number, page: number): void {
    const [from, to] = pageBounds(page);
    const marks = this.#queue?.marksIn(groupId, from, to) ?? [];
    if (marks.length === 0) batch.remove(markKey(this.#no, groupId, page));
    else batch.put(markKey(this.#no, groupId, page), writeMarks(marks));
  }

  // ------------------------------------------------------------------ memory and disk

  #cost(seq: number): number {
    return this.#cached.bytes(seq) + COLUMN_BYTES;
  }

  #uncache(seq: number): void {
    this.#host.cachedBytes -= this.#cost(seq);
    this.#cached.remove(seq);
  }

  #uncacheUpTo(last: number): void {
    for (let seq = this.#cached.next(0); seq !== undefined && seq <= last; seq = this.#cached.next(seq + 1)) {
      this.#uncache(seq);
    }
  }

  #onDisk(seq: number): LoggedEntry | undefined {
    if (this.#gone.has(seq)) return undefined;
    if (this.#lastRead?.seq === seq) return this.#lastRead;
    const value = this.#host.disk.get(this.#keys.of(seq));
    const entry = value && readEntry(seq, value);
    if (entry === undefined) return undefined;
    const isEarlier = seq <= this.#earlierRunSeq;
    this.#lastRead = isEarlier ? { ...entry, putMs: this.#host.monotonicOf(entry.tsMs) } : entry;
    return this.#lastRead;
  }

  /** Mostly the one that is asked for is there. */
  #nextOnDisk(from: number): number | undefined {
    if (this.#onDisk(from) !== undefined) return from;
    // Two keys at a time.
    const end = Buffer.from(this.#keys.of(this.#cachedFrom));
    let start = from + 1;
    for (;;) {
      // One of those that are gone may be the next on the disk: then a few are looked at together.
      const keys = this.#host.disk.keys(this.#keys.of(start), end, start === from + 1 ? 1 : 64);
      for (const found of keys) if (!this.#gone.has(seqOf(found))) return seqOf(found);
      const last = keys.at(-1);
      if (last === undefined) return undefined;
      start = seqOf(last) + 1;
    }
  }
}

/** Whether there is anything of this number on the disk; some of it, to be deleted. */
export function someOf(disk: OrderedDisk, no: number, max: number): readonly Uint8Array[] {
  const [from, to] = rangeOf(no);
  return disk.keys(from, to, max);
}

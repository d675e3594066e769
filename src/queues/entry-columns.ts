import type { LoggedEntry } from './entry-log.js';
import { lowerBound } from './lower-bound.js';

/** A chunk begins small, since most queues are, and grows. */
const ENTRIES_MIN = 16;
const ENTRIES_MAX = 1_024;
const BYTES_MIN = 512;
/** A chunk that has so many bytes takes no more. */
const BYTES_FULL = 65_536;
/** A full chunk of which only so small a share is held is copied together. */
const HELD_SHARE = 16;
const SMALL_ENTRIES = 64;
const SMALL_BYTES = 4_096;
const GONE = -1;
/** What the columns take for one entry. */
const ENTRY_BYTES = 3 * 8 + 2 * 4;

const NO_BYTES = Buffer.alloc(0);
const NO_NUMBERS = new Float64Array(0);
const NO_OFFSETS = new Uint32Array(0);
const NO_LENGTHS = new Int32Array(0);

/** Entries in memory, as columns over chunks: an object and a Buffer for each would take three times the time and twice
 *  the memory.
 *
 *      chunk  first seq 1025 │ ts │ arrival │ put │ offset │ length (−1: gone) │ bytes ▓▓▓▓▓▓░░░
 *
 *  Bytes are written once and never moved in place, so what was read stays as it was. */
export class EntryColumns {
  /** Oldest first; those before `#head` are gone. */
  #chunks: Chunk[] = [];
  #head = 0;

  /** Bytes of memory that it has taken for entries, apart from the objects around them. */
  get reservedBytes(): number {
    return this.#chunks.slice(this.#head).reduce((sum, chunk) => sum + chunk.reservedBytes, 0);
  }

  append(entry: LoggedEntry): void {
    const last = this.#chunks.at(-1);
    if (last !== undefined && this.#chunks.length > this.#head && last.append(entry)) return;
    last?.shrink();
    const chunk = new Chunk(entry.seq);
    chunk.append(entry);
    this.#chunks.push(chunk);
  }

  read(seq: number): LoggedEntry | undefined {
    return this.#chunkOf(seq)?.read(seq);
  }

  next(from: number): number | undefined {
    for (let at = this.#place(from); at < this.#chunks.length; at += 1) {
      const seq = this.#chunks[at]?.next(from);
      if (seq !== undefined) return seq;
    }
    return undefined;
  }

  arrival(seq: number): number | undefined {
    return this.#chunkOf(seq)?.arrival(seq);
  }

  putMs(seq: number): number | undefined {
    return this.#chunkOf(seq)?.putMs(seq);
  }

  bytes(seq: number): number {
    return this.#chunkOf(seq)?.bytesOf(seq) ?? 0;
  }

  remove(seq: number): void {
    const at = this.#place(seq);
    const chunk = this.#chunks[at];
    if (!chunk?.remove(seq) || chunk.held > 0) return;
    // The last chunk stays for what comes next while it is small: a queue that is drained again and again needs no new
    // one for each entry, and ten thousand that were busy once hold nothing.
    if (at === this.#chunks.length - 1 && chunk.isSmall && !chunk.isFull) return;
    if (at === this.#head) this.#dropHead();
    else this.#chunks.splice(at, 1);
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
  }

  #dropHead(): void {
    this.#head += 1;
    if (this.#head * 2 < this.#chunks.length) return;
    this.#chunks.splice(0, this.#head);
    this.#head = 0;
  }

  #chunkOf(seq: number): Chunk | undefined {
    const chunk = this.#chunks[this.#place(seq)];
    return chunk?.holds(seq) ? chunk : undefined;
  }

  /** The chunk that has this `seq`, or the first one after it. Mostly it is the oldest. */
  #place(seq: number): number {
    const chunks = this.#chunks;
    if ((chunks[this.#head]?.endSeq ?? 0) > seq) return this.#head;
    return lowerBound(this.#head, chunks.length, (at) => (chunks[at]?.endSeq ?? 0) <= seq);
  }
}

class Chunk {
  /** Entries that are held. */
  held = 0;
  readonly #firstSeq: number;
  #count = 0;
  /** Nothing before this place is held. */
  #firstHeld = 0;
  #capacity = ENTRIES_MIN;
  #tsMs = new Float64Array(ENTRIES_MIN);
  #arrival = new Float64Array(ENTRIES_MIN);
  #putMs = new Float64Array(ENTRIES_MIN);
  #offset = new Uint32Array(ENTRIES_MIN);
  #length = new Int32Array(ENTRIES_MIN);
  #topics: Map<number, string> | undefined;
  #bytes: Buffer;
  #used = 0;
  #heldBytes = 0;
  /** What is left of a full one that few are left of; its columns are empty then. Ascending. */
  #few: Map<number, LoggedEntry> | undefined;

  constructor(firstSeq: number) {
    this.#firstSeq = firstSeq;
    this.#bytes = Buffer.allocUnsafeSlow(BYTES_MIN);
  }

  /** The first `seq` after it. */
  get endSeq(): number {
    return this.#firstSeq + this.#count;
  }

  get reservedBytes(): number {
    return this.#bytes.length + this.#length.length * ENTRY_BYTES + (this.#few ? this.#heldBytes : 0);
  }

  get isFull(): boolean {
    return this.#count === ENTRIES_MAX || this.#used >= BYTES_FULL;
  }

  get isSmall(): boolean {
    return this.#count < SMALL_ENTRIES && this.#bytes.length <= SMALL_BYTES;
  }

  /** False: it is full. */
  append({ seq, tsMs, arrival, putMs, payload, topic }: LoggedEntry): boolean {
    if (this.isFull || seq !== this.endSeq) return false;
    const at = this.#count;
    if (at === this.#capacity) this.#widen();
    if (this.#used + payload.length > this.#bytes.length) this.#lengthen(payload.length);
    this.#tsMs[at] = tsMs;
    this.#arrival[at] = arrival;
    this.#putMs[at] = putMs;
    this.#offset[at] = this.#used;
    this.#length[at] = payload.length;
    this.#bytes.set(payload, this.#used);
    this.#used += payload.length;
    this.#heldBytes += payload.length;
    if (topic !== undefined) {
      this.#topics ??= new Map();
      this.#topics.set(at, topic);
    }
    this.#count += 1;
    this.held += 1;
    return true;
  }

  holds(seq: number): boolean {
    if (this.#few) return this.#few.has(seq);
    const at = seq - this.#firstSeq;
    return at >= 0 && at < this.#count && this.#length[at] !== GONE;
  }

  next(from: number): number | undefined {
    if (this.#few) {
      for (const seq of this.#few.keys()) if (seq >= from) return seq;
      return undefined;
    }
    const wanted = from - this.#firstSeq;
    let at = Math.max(this.#firstHeld, wanted);
    while (at < this.#count && this.#length[at] === GONE) at += 1;
    if (wanted <= this.#firstHeld) this.#firstHeld = at;
    return at < this.#count ? this.#firstSeq + at : undefined;
  }

  /** One that it holds. */
  read(seq: number): LoggedEntry {
    const few = this.#few?.get(seq);
    if (few) return few;
    const at = seq - this.#firstSeq;
    const offset = this.#offset[at] ?? 0;
    return {
      seq,
      tsMs: this.#tsMs[at] ?? 0,
      arrival: this.#arrival[at] ?? 0,
      putMs: this.#putMs[at] ?? 0,
      payload: this.#bytes.subarray(offset, offset + (this.#length[at] ?? 0)),
      topic: this.#topics?.get(at),
    };
  }

  arrival(seq: number): number | undefined {
    return this.#few ? this.#few.get(seq)?.arrival : this.#arrival[seq - this.#firstSeq];
  }

  putMs(seq: number): number | undefined {
    return this.#few ? this.#few.get(seq)?.putMs : this.#putMs[seq - this.#firstSeq];
  }

  /** Of one that it holds. */
  bytesOf(seq: number): number {
    const topic = this.#few ? this.#few.get(seq)?.topic : this.#topics?.get(seq - this.#firstSeq);
    return this.#payloadBytes(seq) + (topic === undefined ? 0 : Buffer.byteLength(topic));
  }

  /** False: it held no such entry. */
  remove(seq: number): boolean {
    if (!this.holds(seq)) return false;
    this.held -= 1;
    this.#heldBytes -= this.#payloadBytes(seq);
    if (this.#few) return this.#few.delete(seq);
    const at = seq - this.#firstSeq;
    this.#length[at] = GONE;
    this.#topics?.delete(at);
    if (this.isFull) this.shrink();
    return true;
  }

  #payloadBytes(seq: number): number {
    return this.#few ? (this.#few.get(seq)?.payload.length ?? 0) : (this.#length[seq - this.#firstSeq] ?? 0);
  }

  /** Of a full one: gives back the memory of what is gone, once that is most of it. */
  shrink(): void {
    if (this.held === 0 || this.#few) return;
    if (this.held * HELD_SHARE < this.#count) this.#keepFew();
    else if (this.#heldBytes * HELD_SHARE < this.#bytes.length) this.#gather();
  }

  #widen(): void {
    this.#capacity = Math.min(ENTRIES_MAX, this.#capacity * 4);
    this.#tsMs = grown(this.#tsMs, new Float64Array(this.#capacity));
    this.#arrival = grown(this.#arrival, new Float64Array(this.#capacity));
    this.#putMs = grown(this.#putMs, new Float64Array(this.#capacity));
    this.#offset = grown(this.#offset, new Uint32Array(this.#capacity));
    this.#length = grown(this.#length, new Int32Array(this.#capacity));
  }

  #lengthen(more: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(this.#used + more, Math.min(2 * this.#bytes.length, BYTES_FULL)));
    this.#bytes.copy(bytes, 0, 0, this.#used);
    this.#bytes = bytes;
  }

  /** Each by itself: the columns around them would be larger. */
  #keepFew(): void {
    const few = new Map<number, LoggedEntry>();
    for (let seq = this.next(this.#firstSeq); seq !== undefined; seq = this.next(seq + 1)) {
      const entry = this.read(seq);
      // Of its own, and not out of the pool that many share.
      const payload = Buffer.allocUnsafeSlow(entry.payload.length);
      payload.set(entry.payload);
      few.set(seq, { ...entry, payload });
    }
    this.#few = few;
    this.#bytes = NO_BYTES;
    this.#tsMs = this.#arrival = this.#putMs = NO_NUMBERS;
    this.#offset = NO_OFFSETS;
    this.#length = NO_LENGTHS;
    this.#topics = undefined;
    this.#used = BYTES_FULL;
  }

  /** Into a buffer of just what is held: a few that stay must not keep what was around them. */
  #gather(): void {
    const bytes = Buffer.allocUnsafeSlow(this.#heldBytes);
    let used = 0;
    for (let at = 0; at < this.#count; at += 1) {
      const length = this.#length[at] ?? GONE;
      if (length === GONE) continue;
      const offset = this.#offset[at] ?? 0;
      this.#bytes.copy(bytes, used, offset, offset + length);
      this.#offset[at] = used;
      used += length;
    }
    this.#bytes = bytes;
    // Still as full as it was: it takes no more.
    this.#used = Math.max(used, BYTES_FULL);
  }
}

function grown<T extends Float64Array | Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

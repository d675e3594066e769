const EMPTY = Buffer.alloc(0);

/** Chunks below this size that wait in a row are gathered in slabs, so that a peer that sends single bytes costs
 *  bytes and not a Buffer object for each. */
const SMALL_CHUNK_BYTES = 1024;
const SLAB_BYTES = 8192;

/** A remaining length has at most four bytes [MQTT 3.1.1 §2.2.3]. */
const LENGTH_BYTES_MAX = 4;

export type FrameOutcome = 'frame' | 'more' | 'malformed' | 'too-large';

/** Whole MQTT control packets out of a byte stream that was cut anywhere.
 *
 *  ```
 *  chunk    |..consumed..|header|length 1–4|body........|next packet…|   waiting: |…|…|…|
 *                        ^start            ^body        ^end
 *  ```
 *  A packet that lies inside one chunk is handed out where it lies; one that is cut is joined in a Buffer of its own,
 *  once, when its last byte is there. No Buffer that was handed out is ever written again: a caller may keep it, and
 *  two frames in a row are adjacent in the same memory exactly when `buffer` is the same object after both. */
export class FrameReader {
  /** Largest packet, header and length included. Bytes; may be changed between packets. */
  packetBytesMax: number;

  /** The packet of the last `'frame'`, valid until the following `next()`; empty after any other outcome. */
  buffer: Buffer = EMPTY;
  /** Its first byte: type and flags. */
  header = 0;
  /** Where it begins, where its variable header begins, and where it ends, in `buffer`. */
  start = 0;
  body = 0;
  end = 0;

  #chunk: Buffer = EMPTY;
  #offset = 0;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #slab: Buffer = EMPTY;
  #slabUsed = 0;
  /** Of the packet at hand, once its length is read; until then 0. */
  #packetBytes = 0;
  #bodyOffset = 0;

  constructor(packetBytesMax: number) {
    this.packetBytesMax = packetBytesMax;
  }

  /** Bytes fed and not yet returned as a frame. */
  get pendingBytes(): number {
    return this.#chunk.length - this.#offset + this.#waitingBytes;
  }

  /** Takes the chunk over: the caller writes to it no more. */
  feed(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#waitingBytes += chunk.length;
    if (!this.#gather(chunk)) this.#waiting.push(chunk);
  }

  /** `more`: feed first. `malformed` and `too-large` are final, and come as soon as the length can be read. */
  next(): FrameOutcome {
    this.buffer = EMPTY;
    if (this.#offset === this.#chunk.length) this.#advance();
    if (this.#packetBytes === 0) {
      const outcome = this.#measure();
      if (outcome !== 'frame') return outcome;
    }
    const bytes = this.#packetBytes;
    if (this.pendingBytes < bytes) return 'more';
    if (this.#chunk.length - this.#offset >= bytes) {
      this.buffer = this.#chunk;
      this.start = this.#offset;
      this.#offset += bytes;
    } else {
      this.buffer = this.#join(bytes);
      this.start = 0;
    }
    this.header = this.buffer[this.start] ?? 0;
    this.body = this.start + this.#bodyOffset;
    this.end = this.start + bytes;
    this.#packetBytes = 0;
    return 'frame';
  }

  #measure(): FrameOutcome {
    let length = 0;
    for (let index = 1; index <= LENGTH_BYTES_MAX; index++) {
      const byte = this.#peek(index);
      if (byte === undefined) return 'more';
      length |= (byte & 0x7f) << (7 * (index - 1));
      if (byte < 0x80) {
        const bytes = 1 + index + length;
        if (bytes > this.packetBytesMax) return 'too-large';
        this.#bodyOffset = 1 + index;
        this.#packetBytes = bytes;
        return 'frame';
      }
    }
    return 'malformed';
  }

  /** The byte `index` places behind the start of the packet at hand. No chunk is empty, so this is a short walk. */
  #peek(index: number): number | undefined {
    let at = this.#offset + index;
    if (at < this.#chunk.length) return this.#chunk[at];
    at -= this.#chunk.length;
    for (const chunk of this.#waiting) {
      if (at < chunk.length) return chunk[at];
      at -= chunk.length;
    }
    return undefined;
  }

  #advance(): void {
    this.#chunk = this.#waiting.shift() ?? EMPTY;
    this.#offset = 0;
    this.#waitingBytes -= this.#chunk.length;
    if (this.#waiting.length === 0) this.#slab = EMPTY;
  }

  #join(bytes: number): Buffer {
    const joined = Buffer.allocUnsafe(bytes);
    let filled = 0;
    while (filled < bytes) {
      if (this.#offset === this.#chunk.length) this.#advance();
      const copied = this.#chunk.copy(joined, filled, this.#offset);
      filled += copied;
      this.#offset += copied;
    }
    return joined;
  }

  /** Copies a small chunk behind the last one that waits, if that is small too. */
  #gather(chunk: Buffer): boolean {
    const last = this.#waiting.at(-1);
    if (last === undefined || chunk.length >= SMALL_CHUNK_BYTES) return false;
    if (last.buffer !== this.#slab.buffer) {
      if (last.length >= SMALL_CHUNK_BYTES) return false;
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#slabUsed = last.copy(this.#slab);
    }
    if (this.#slabUsed + chunk.length > SLAB_BYTES) return false;
    this.#slabUsed += chunk.copy(this.#slab, this.#slabUsed);
    this.#waiting[this.#waiting.length - 1] = this.#slab.subarray(0, this.#slabUsed);
    return true;
  }
}

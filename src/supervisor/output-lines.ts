import { TokenBucket } from './token-bucket.js';

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const BUFFER_BYTES = 4_096;
/** A longer buffer is let go after its line, so that one long line does not cost memory for ever. */
const KEPT_BUFFER_BYTES = 65_536;

const always = () => true;

/** Cuts a stream of bytes into lines. Holds at most one unfinished line of `lineBytesMax`.
 *
 *  ```
 *  chunks   …ab | c\nde | f\n\ng
 *  lines    abc   def   (empty)   g  ← on flush
 *  ``` */
export class LineSplitter {
  readonly #lineBytesMax: number;
  #buffer = new Uint8Array(0);
  #length = 0;
  #overlong = false;
  /** Lines whose rest was cut off. */
  cut = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** @param onLine Gets each finished line without its line end; the bytes are only good during the call.
   *  @param goesOn Whether another line may follow the one that was finished last.
   *  @returns How many bytes of the chunk it took: all, or up to the end of the last line. */
  push(chunk: Uint8Array, onLine: (line: Uint8Array) => void, goesOn: () => boolean = always): number {
    let from = 0;
    do {
      const at = chunk.indexOf(NEWLINE, from);
      if (at < 0) {
        if (from < chunk.length) this.#keep(chunk.subarray(from));
        return chunk.length;
      }
      this.#finish(chunk.subarray(from, at), onLine);
      from = at + 1;
    } while (goesOn());
    return from;
  }

  /** The stream is over: what is left is the last line. */
  flush(onLine: (line: Uint8Array) => void): void {
    if (this.#length > 0) this.#finish(new Uint8Array(0), onLine);
  }

  #finish(part: Uint8Array, onLine: (line: Uint8Array) => void): void {
    const whole = this.#length === 0 && part.length <= this.#lineBytesMax;
    if (!whole) this.#keep(part);
    const line = whole ? part : this.#buffer.subarray(0, this.#length);
    if (this.#overlong) this.cut += 1;
    this.#overlong = false;
    this.#length = 0;
    if (this.#buffer.length > KEPT_BUFFER_BYTES) this.#buffer = new Uint8Array(0);
    onLine(line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line);
  }

  #keep(part: Uint8Array): void {
    const room = this.#lineBytesMax - this.#length;
    if (part.length > room) this.#overlong = true;
    const kept = part.subarray(0, room);
    const length = this.#length + kept.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(
        Math.max(BUFFER_BYTES, length, Math.min(this.#lineBytesMax, 2 * this.#buffer.length)),
      );
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(kept, this.#length);
    this.#length = length;
  }
}

/** What passes: so much a second, and after a quiet time so much at once. */
export interface LineRates {
  readonly linesPerSecond: number;
  readonly linesBurst: number;
  readonly bytesPerSecond: number;
  readonly bytesBurst: number;
}

/** Lets lines through at a rate, and counts the rest. A worker that dies tells why in one burst. */
export class LineBudget {
  readonly #bytesBurst: number;
  readonly #lines: TokenBucket;
  readonly #bytes: TokenBucket;
  #dropped = 0;

  constructor({ linesBurst, linesPerSecond, bytesBurst, bytesPerSecond }: LineRates) {
    this.#bytesBurst = bytesBurst;
    this.#lines = new TokenBucket(linesBurst, linesPerSecond);
    this.#bytes = new TokenBucket(bytesBurst, bytesPerSecond);
  }

  /** A line that is larger than all its bucket still passes when that is full; what it took too much is filled first. */
  admit(nowMs: number, bytes: number): boolean {
    if (this.#lines.filled(nowMs) < 1 || this.#bytes.filled(nowMs) < Math.min(bytes, this.#bytesBurst)) {
      this.#dropped += 1;
      return false;
    }
    this.#lines.take(1);
    this.#bytes.take(bytes);
    return true;
  }

  /** Lines dropped since this was asked last. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The text of a line; bytes that are not UTF-8 become U+FFFD. */
export function lineText(line: Uint8Array): string {
  return decoder.decode(line);
}

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const BUFFER_BYTES = 4_096;
/** A longer buffer is let go after its line, so that one long line does not cost memory for ever. */
const KEPT_BUFFER_BYTES = 65_536;

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

  /** @param onLine Gets each finished line without its line end; the bytes are only good during the call. */
  push(chunk: Uint8Array, onLine: (line: Uint8Array) => void): void {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#finish(chunk.subarray(from, at), onLine);
      from = at + 1;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
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

/** Lets so many lines, and so many bytes, through in each second, and counts the rest. */
export class LineBudget {
  readonly #linesPerSecond: number;
  readonly #bytesPerSecond: number;
  #bytes = 0;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #used = 0;
  #dropped = 0;

  constructor(linesPerSecond: number, bytesPerSecond: number) {
    this.#linesPerSecond = linesPerSecond;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** A line that alone is over the bytes of a second still passes as the first of one. */
  admit(nowMs: number, bytes: number): boolean {
    if (nowMs - this.#windowStartMs >= 1_000) {
      this.#windowStartMs = nowMs;
      this.#used = 0;
      this.#bytes = 0;
    }
    if (this.#used < this.#linesPerSecond && (this.#used === 0 || this.#bytes + bytes <= this.#bytesPerSecond)) {
      this.#used += 1;
      this.#bytes += bytes;
      return true;
    }
    this.#dropped += 1;
    return false;
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

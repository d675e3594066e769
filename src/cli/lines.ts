import { EXIT, Failure } from './failure.js';

interface Line {
  /** Counts from 1. */
  readonly number: number;
  /** Without its line feed. */
  readonly bytes: Buffer;
}

const LINE_FEED = 10;

/** The lines of a stream, one at a time: only the one that is read is held. The last needs no line feed.
 *  @param name Of the stream, for what goes wrong
 *  @param bytesMax Longest line
 *  @param next Waits for a chunk
 *  @throws Failure with exit code 2 for a longer one */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array | string>,
  name: string,
  bytesMax: number,
  next: <T>(chunk: Promise<T>) => Promise<T>,
): AsyncGenerator<Line> {
  const source = chunks[Symbol.asyncIterator]();
  let number = 0;
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer) => {
    parts.push(part);
    length += part.length;
    if (length > bytesMax) {
      throw new Failure(EXIT.usage, `${name} line ${number + 1}: expected at most ${bytesMax} bytes, got more`);
    }
  };
  const line = (): Line => {
    const bytes = Buffer.concat(parts);
    parts = [];
    length = 0;
    number += 1;
    return { number, bytes };
  };
  try {
    for (let read = await next(source.next()); !read.done; read = await next(source.next())) {
      const chunk = Buffer.from(read.value);
      let from = 0;
      for (let to = chunk.indexOf(LINE_FEED); to !== -1; to = chunk.indexOf(LINE_FEED, from)) {
        add(chunk.subarray(from, to));
        yield line();
        from = to + 1;
      }
      add(chunk.subarray(from));
    }
    if (length > 0) yield line();
  } finally {
    // Not waited for: a pipe that gives nothing would keep us.
    source.return?.().catch(() => undefined);
  }
}

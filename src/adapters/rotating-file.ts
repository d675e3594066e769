import { constants } from 'node:fs';
import { mkdir, open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { isErrno } from './errno.js';

export interface RotatingFileOptions {
  readonly dir: string;
  /** Of the current file; older ones are `<name>.1`, the newest of them, to `<name>.<files>`. */
  readonly name: string;
  /** It is rotated by the append that makes it so long. Bytes, at least 1. */
  readonly rotateBytes: number;
  /** How many older ones are kept, at least 1. */
  readonly files: number;
}

const NEWLINE = 10;
/** A file that is deleted again and again while it is written to is given up for now. */
const ATTEMPTS = 2;

/** A file of lines that rotates by size, opened by the first append. One call at a time: whoever calls waits for the
 *  promise before the next call.
 *
 *  The stream of rotating-file-stream is dead after an error, does not notice that its file was deleted, and takes a
 *  short write(2), which is how a full disk begins, for a whole one. So each append looks at the file afterwards, and
 *  an error costs the stream, not this object. Its `destroy()` leaks a descriptor if it comes while the stream opens or
 *  rotates: only `end()` is used. */
export class RotatingFile {
  readonly #options: RotatingFileOptions;
  readonly #path: string;
  #stream: RotatingFileStream | undefined;
  /** How long the current file should be. */
  #bytes = 0;

  constructor(options: RotatingFileOptions) {
    this.#options = options;
    this.#path = join(options.dir, options.name);
  }

  /** Whether it holds a descriptor. */
  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  /** Appends whole lines. Makes the directory, mode 0700, and the file, mode 0600, if need be.
   *  @throws Error of the system; what of the bytes reached the file is unknown then */
  async append(bytes: Uint8Array): Promise<void> {
    try {
      for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
        if (await this.#isThereAfter(bytes)) return;
        await this.close();
      }
    } catch (error) {
      await this.close();
      throw error;
    }
    throw new Error(`${this.#path}: deleted while it was written to`);
  }

  /** False: they went into a file that has been deleted. */
  async #isThereAfter(bytes: Uint8Array): Promise<boolean> {
    const stream = this.#stream ?? (await this.#open());
    this.#bytes += bytes.length;
    await written(stream, bytes);
    const there = await sizeOf(this.#path);
    if (there === undefined) return false;
    // Nothing, or nothing but this: somebody emptied it, which is theirs to do.
    if (there < this.#bytes && there !== 0 && there !== bytes.length) {
      throw new Error(`${this.#path}: ${there} of ${this.#bytes} bytes are there; the disk may be full`);
    }
    this.#bytes = there;
    return true;
  }

  /** Lets go of the descriptor. The next append opens the file again. */
  async close(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined || stream.closed) return;
    await new Promise<void>((resolve) => {
      stream.once('close', resolve);
      stream.end();
    });
  }

  async #open(): Promise<RotatingFileStream> {
    const { dir, name, rotateBytes, files } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await removeBeyond(this.#path, files);
    const { bytes, torn } = await endOf(this.#path);
    const stream = createStream(name, { path: dir, size: `${rotateBytes}B`, rotate: files, mode: 0o600 });
    this.#bytes = bytes;
    this.#stream = stream;
    stream.on('rotated', () => {
      this.#bytes = 0;
    });
    // An append that is under way hears of the error itself.
    stream.on('error', () => {
      if (this.#stream === stream) this.#stream = undefined;
    });
    if (torn) {
      this.#bytes += 1;
      await written(stream, Uint8Array.of(NEWLINE));
    }
    return stream;
  }
}

function written(stream: RotatingFileStream, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/** `torn`: a full disk or a crash left a line without its end. */
async function endOf(path: string): Promise<{ bytes: number; torn: boolean }> {
  try {
    // A FIFO in its place must not hold us up (open(2), O_NONBLOCK).
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = await file.stat();
      const last = new Uint8Array(1);
      const { bytesRead } = size === 0 ? { bytesRead: 0 } : await file.read(last, 0, 1, size - 1);
      return { bytes: size, torn: bytesRead === 1 && last[0] !== NEWLINE };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isErrno(error) && error.code === 'ENOENT') return { bytes: 0, torn: false };
    throw error;
  }
}

/** Older files that a larger bound of an earlier run left. */
async function removeBeyond(path: string, files: number): Promise<void> {
  try {
    for (let number = files + 1; ; number += 1) await unlink(`${path}.${number}`);
  } catch (error) {
    // The first that is not there, or cannot be removed, ends it.
    if (!isErrno(error)) throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isErrno(error) && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

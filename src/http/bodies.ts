import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';

const NEWLINE = 10;
const RETURN = 13;
const EMPTY = Buffer.alloc(0);
/** So many chunks of a body may be smaller than this on average. */
const FEW_CHUNKS = 64;
const SMALL_CHUNK_BYTES = 256;
/** What a decompression holds while it waits, about: its window and a piece of output. */
const GUNZIP_BYTES = 65_536;

/** Bodies on their way in, of all requests: many that come slowly must not fill the memory. */
export class BodyBudget {
  #bytes = 0;

  /** @throws SuperNodeError SN_ERR_LIMIT */
  take(bytes: number): void {
    if (this.#bytes + bytes > LIMITS.httpBodiesBytes) {
      const expected = `at most ${LIMITS.httpBodiesBytes} bytes on their way in together`;
      throw new SuperNodeError('SN_ERR_LIMIT', `body: expected ${expected}, got more`);
    }
    this.#bytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export interface BodyOptions {
  /** Of the body as it is meant: uncompressed. */
  readonly bytesMax: number;
  readonly budget: BodyBudget;
  /** Bytes came in. */
  received(bytes: number): void;
}

/** The whole body of a request.
 *  @throws SuperNodeError SN_ERR_TOO_LARGE, SN_ERR_LIMIT, SN_ERR_MEDIA_TYPE: encoded in a way that is not known;
 *  SN_ERR_HTTP: not encoded as it says, or it broke off */
export function readBody(request: IncomingMessage, options: BodyOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => receiveBody(request, options, resolve, reject));
}

/** The same without a promise, and by events: most puts are one small chunk, for which those cost more than all else. One
 *  of `done` and `failed` is called once, or it throws, as `readBody` rejects. */
export function receiveBody(
  request: IncomingMessage,
  options: BodyOptions,
  done: (body: Buffer) => void,
  failed: (error: unknown) => void,
): void {
  if (!hasBody(request)) {
    done(EMPTY);
    return;
  }
  const { bytesMax } = options;
  const length = request.headers['content-length'];
  // Before a byte of it is read.
  if (length !== undefined && Number(length) > bytesMax) throw tooLarge('body', bytesMax);
  const gathered = new Gathered(options);
  if (encodingOf(request) === 'gzip') {
    unzip(request, options.budget, gathered).then(done, failed);
    return;
  }
  const take = (chunk: Buffer) => {
    try {
      options.received(chunk.length);
      gathered.add(chunk);
    } catch (error) {
      request.off('data', take);
      request.off('end', end);
      request.off('close', closed);
      gathered.release();
      failed(error);
    }
  };
  const end = () => done(gathered.take());
  const closed = () => {
    if (request.complete) return;
    gathered.release();
    failed(brokenOff());
  };
  request.on('data', take);
  request.once('end', end);
  request.once('close', closed);
}

/** The chunks of a body, or of a line of it, so far. */
class Gathered {
  readonly #options: Pick<BodyOptions, 'bytesMax' | 'budget'>;
  readonly #what: string;
  #chunks: Buffer[] = [];
  #size = 0;

  constructor(options: Pick<BodyOptions, 'bytesMax' | 'budget'>, what = 'body') {
    this.#options = options;
    this.#what = what;
  }

  /** @throws SuperNodeError SN_ERR_TOO_LARGE, SN_ERR_LIMIT */
  add(chunk: Buffer): void {
    const { bytesMax, budget } = this.#options;
    if (this.#size + chunk.length > bytesMax) throw tooLarge(this.#what, bytesMax);
    budget.take(chunk.length);
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    // A chunk costs far more memory than the few bytes it may hold.
    if (this.#chunks.length >= Math.max(FEW_CHUNKS, this.#size / SMALL_CHUNK_BYTES)) {
      this.#chunks = [Buffer.concat(this.#chunks, this.#size)];
    }
  }

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** All of it, and this.
   *  @throws SuperNodeError as `add` */
  with(chunk: Buffer): Buffer {
    this.add(chunk);
    return this.take();
  }

  /** All of it. */
  take(): Buffer {
    const [first = EMPTY] = this.#chunks;
    const body = this.#chunks.length > 1 ? Buffer.concat(this.#chunks, this.#size) : first;
    this.release();
    return body;
  }

  /** Idempotent. */
  release(): void {
    this.#options.budget.giveBack(this.#size);
    this.#size = 0;
    this.#chunks = [];
  }
}

async function unzip(request: IncomingMessage, budget: BodyBudget, gathered: Gathered): Promise<Buffer> {
  try {
    for await (const chunk of unzipped(request, budget)) gathered.add(chunk);
    return gathered.take();
  } finally {
    gathered.release();
  }
}

export interface LineOptions extends BodyOptions {
  /** Of one line. */
  readonly lineBytesMax: number;
}

/** The lines of a body, those that are empty left out, each without its line end and good only until the next one is
 *  asked for. No more of the body is read than that.
 *  @throws SuperNodeError as `readBody` */
export async function* linesOf(request: IncomingMessage, options: LineOptions): AsyncGenerator<Buffer> {
  const { bytesMax, lineBytesMax, budget, received } = options;
  if (!hasBody(request)) return;
  let total = 0;
  /** The beginning of a line whose end is still to come; its CR may come with it. */
  const rest = new Gathered({ bytesMax: lineBytesMax + 1, budget }, 'line');
  try {
    for await (const chunk of encodingOf(request) === 'gzip' ? unzipped(request, budget) : plain(request)) {
      received(chunk.length);
      total += chunk.length;
      if (total > bytesMax) throw tooLarge('body', bytesMax);
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        const piece = chunk.subarray(from, end);
        const line = trimmed(rest.isEmpty ? piece : rest.with(piece));
        from = end + 1;
        // Many of them weigh nothing once they are compressed.
        while (chunk[from] === NEWLINE) from += 1;
        if (line.length > lineBytesMax) throw tooLarge('line', lineBytesMax);
        if (line.length > 0) yield line;
      }
      if (from === chunk.length) continue;
      // A copy: a small rest must not keep all of the chunk.
      rest.add(from === 0 ? chunk : Buffer.from(chunk.subarray(from)));
    }
    const last = trimmed(rest.take());
    if (last.length > lineBytesMax) throw tooLarge('line', lineBytesMax);
    if (last.length > 0) yield last;
  } finally {
    rest.release();
  }
}

function tooLarge(what: string, bytesMax: number): SuperNodeError {
  return new SuperNodeError('SN_ERR_TOO_LARGE', `${what}: expected at most ${bytesMax} bytes, got more`);
}

/** Lets the rest of a body that nobody wants pass, so that its sender comes to read why. Much of it ends the connection. */
export function discardBody(request: IncomingMessage): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LIMITS.httpDiscardBytes) request.destroy();
  });
  request.resume();
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** @throws SuperNodeError SN_ERR_MEDIA_TYPE */
function encodingOf({ headers }: IncomingMessage): 'identity' | 'gzip' {
  const transfer = headers['transfer-encoding'];
  // Node takes the chunks apart; what lies in another coding within them it leaves as it is.
  if (transfer !== undefined && transfer.toLowerCase() !== 'chunked') {
    throw mismatch('SN_ERR_MEDIA_TYPE', 'Transfer-Encoding', 'chunked or none', transfer);
  }
  const encoding = headers['content-encoding'];
  if (encoding === undefined) return 'identity';
  const name = encoding.toLowerCase();
  if (name === 'identity') return 'identity';
  if (name === 'gzip' || name === 'x-gzip') return 'gzip';
  throw mismatch('SN_ERR_MEDIA_TYPE', 'Content-Encoding', 'gzip or none', encoding);
}

/** Who stops reading still wants to answer: the request stays open. */
async function* plain(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body.iterator({ destroyOnReturn: false });
  } catch (error) {
    throw brokenOff(error);
  }
}

async function* unzipped(request: IncomingMessage, budget: BodyBudget): AsyncGenerator<Buffer> {
  budget.take(GUNZIP_BYTES);
  const gunzip = createGunzip();
  // Its own errors alone are about what came; that the request broke off is told by an early end.
  request.on('error', () => gunzip.destroy());
  request.on('close', () => !request.complete && gunzip.destroy());
  request.pipe(gunzip);
  try {
    yield* gunzip;
  } catch (error) {
    if (request.closed && !request.complete) throw brokenOff(error);
    const why = error instanceof Error ? error.message : 'no gzip';
    throw new SuperNodeError('SN_ERR_HTTP', `body: expected gzip, as Content-Encoding says, got ${why}`, {
      cause: error,
    });
  } finally {
    request.unpipe(gunzip);
    gunzip.destroy();
    budget.giveBack(GUNZIP_BYTES);
  }
}

function brokenOff(cause?: unknown): SuperNodeError {
  return new SuperNodeError('SN_ERR_HTTP', 'body: expected all of it, got less before the connection closed', {
    cause,
  });
}

function trimmed(line: Buffer): Buffer {
  return line.at(-1) === RETURN ? line.subarray(0, -1) : line;
}

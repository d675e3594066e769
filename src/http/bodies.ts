import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';

const NEWLINE = 10;
const RETURN = 13;
const EMPTY = Buffer.alloc(0);

/** Bodies on their way in, of all requests: many that come slowly must not fill the memory. */
export class BodyBudget {
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

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
export async function readBody(request: IncomingMessage, options: BodyOptions): Promise<Buffer> {
  const { bytesMax, budget, received } = options;
  if (!hasBody(request)) return EMPTY;
  refuseLength(request, bytesMax);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of chunksOf(request)) {
      received(chunk.length);
      if (size + chunk.length > bytesMax) throw tooLarge('body', bytesMax);
      budget.take(chunk.length);
      size += chunk.length;
      chunks.push(chunk);
    }
  } finally {
    budget.giveBack(size);
  }
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, size);
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
  /** The beginning of a line whose end is still to come. */
  let rest = EMPTY;
  try {
    for await (const chunk of chunksOf(request)) {
      received(chunk.length);
      total += chunk.length;
      if (total > bytesMax) throw tooLarge('body', bytesMax);
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        const piece = chunk.subarray(from, end);
        const line = trimmed(rest.length === 0 ? piece : Buffer.concat([rest, piece]));
        budget.giveBack(rest.length);
        rest = EMPTY;
        from = end + 1;
        if (line.length > lineBytesMax) throw tooLarge('line', lineBytesMax);
        if (line.length > 0) yield line;
      }
      if (from === chunk.length) continue;
      const piece = chunk.subarray(from);
      if (rest.length + piece.length > lineBytesMax + 1) throw tooLarge('line', lineBytesMax);
      budget.take(piece.length);
      rest = Buffer.concat([rest, piece]);
    }
    const last = trimmed(rest);
    if (last.length > lineBytesMax) throw tooLarge('line', lineBytesMax);
    if (last.length > 0) yield last;
  } finally {
    budget.giveBack(rest.length);
  }
}

export function tooLarge(what: string, bytesMax: number): SuperNodeError {
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

/** Before a byte of it is read. */
function refuseLength({ headers }: IncomingMessage, bytesMax: number): void {
  const length = headers['content-length'];
  if (length !== undefined && Number(length) > bytesMax) throw tooLarge('body', bytesMax);
}

async function* chunksOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding === 'identity') yield* plain(request);
  else if (encoding === 'gzip' || encoding === 'x-gzip') yield* unzipped(request);
  else throw mismatch('SN_ERR_MEDIA_TYPE', 'Content-Encoding', 'gzip or none', encoding);
}

/** Who stops reading still wants to answer: the request stays open. */
async function* plain(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body.iterator({ destroyOnReturn: false });
  } catch (error) {
    throw brokenOff(error);
  }
}

async function* unzipped(request: IncomingMessage): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  // Its own errors alone are about what came; that the request broke off is told by an early end.
  request.on('error', () => gunzip.destroy());
  request.on('close', () => !request.complete && gunzip.destroy());
  request.pipe(gunzip);
  try {
    yield* gunzip;
  } catch (error) {
    const why = error instanceof Error ? error.message : 'no gzip';
    throw new SuperNodeError('SN_ERR_HTTP', `body: expected gzip, as Content-Encoding says, got ${why}`, {
      cause: error,
    });
  } finally {
    request.unpipe(gunzip);
    gunzip.destroy();
  }
}

function brokenOff(cause: unknown): SuperNodeError {
  return new SuperNodeError('SN_ERR_HTTP', 'body: expected all of it, got less before the connection closed', {
    cause,
  });
}

function trimmed(line: Buffer): Buffer {
  return line.at(-1) === RETURN ? line.subarray(0, -1) : line;
}

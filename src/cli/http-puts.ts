import { setTimeout as pause } from 'node:timers/promises';
import { EXIT, Failure } from './failure.js';
import type { Envelope } from './node-client.js';
import { fieldsOf, numberOf } from './reply-data.js';

/** Entries of one request, and their bytes. One is always allowed. */
const BATCH_ENTRIES = 1_000;
const BATCH_BYTES = 1_048_576;
/** Pause before another try, s; the node says how long. */
const RETRY_S = 1;
const RETRY_S_MAX = 60;

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

interface Waiting {
  readonly payload: Buffer;
  resolve(): void;
  reject(why: unknown): void;
}

export interface PutAnswer {
  readonly envelope: Envelope;
  /** The header `Retry-After`. */
  readonly retryAfter: string | undefined;
}

/** Sends a body: one entry as it is, or one a line. */
export type SendPut = (body: Buffer, type: 'application/octet-stream' | 'application/x-ndjson') => Promise<PutAnswer>;

/** Puts to one task over HTTP, in their order: one request at a time, with all that came since the last one. What holds
 *  line ends, or is empty, goes alone. */
export class HttpPuts {
  readonly #send: SendPut;
  #waiting: Waiting[] = [];
  #isSending = false;

  constructor(send: SendPut) {
    this.#send = send;
  }

  /** Settled once it is taken. A queue without room is asked again and again.
   *  @throws Failure with exit code 1 when it, or one before it, is refused; 2 when it is too large */
  put(payload: Buffer): Promise<void> {
    const taken = new Promise<void>((resolve, reject) => this.#waiting.push({ payload, resolve, reject }));
    if (!this.#isSending) this.#sendAll();
    return taken;
  }

  /** Never rejects. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    try {
      // What is put in the same turn goes together.
      await Promise.resolve();
      while (this.#waiting.length > 0) await this.#sendSome();
    } catch (thrown) {
      for (const { reject } of this.#waiting.splice(0)) reject(thrown);
    } finally {
      this.#isSending = false;
    }
  }

  async #sendSome(): Promise<void> {
    const batch = this.#next();
    const [first] = batch;
    const { envelope, retryAfter } =
      first !== undefined && batch.length === 1
        ? await this.#send(first.payload, 'application/octet-stream')
        : await this.#send(linesWith(batch), 'application/x-ndjson');
    const { status, data, code, error = 'refused' } = envelope;
    const taken = status === 'ok' ? batch.length : (numberOf(fieldsOf(data).entries) ?? 0);
    for (const { resolve } of this.#waiting.splice(0, taken)) resolve();
    if (status === 'ok') return;
    if (code === undefined || !AGAIN.has(code)) {
      throw new Failure(code === 'SN_ERR_TOO_LARGE' ? EXIT.usage : EXIT.refused, error, { code });
    }
    await pause(1_000 * pauseOf(retryAfter));
  }

  /** The oldest that one request can hold; they stay where they are until they are taken. */
  #next(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const { payload } of this.#waiting) {
      bytes += payload.length + 1;
      if (count > 0 && (count === BATCH_ENTRIES || bytes > BATCH_BYTES || !fitsALine(payload))) break;
      count += 1;
      if (!fitsALine(payload)) break;
    }
    return this.#waiting.slice(0, count);
  }
}

/** For want of room now. */
const AGAIN = new Set(['SN_ERR_QUEUE_FULL', 'SN_ERR_LIMIT']);

/** The node leaves out empty lines, and takes CR LF for a line end. */
function fitsALine(payload: Buffer): boolean {
  return payload.length > 0 && payload.at(-1) !== CARRIAGE_RETURN && !payload.includes(LINE_FEED);
}

function linesWith(batch: readonly Waiting[]): Buffer {
  return Buffer.concat(batch.flatMap(({ payload }) => [payload, Buffer.of(LINE_FEED)]));
}

function pauseOf(retryAfter: string | undefined): number {
  const seconds = Number(retryAfter ?? RETRY_S);
  return seconds > 0 && seconds <= RETRY_S_MAX ? seconds : RETRY_S;
}

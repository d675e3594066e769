import { SuperNodeError } from '../core/errors.js';

/** What a worker may say about its failure; the rest is cut off. */
const TEXT_CHARS_MAX = 500;
/** UTF-8 takes at most three bytes for a UTF-16 code unit. */
const TEXT_BYTES_MAX = 3 * TEXT_CHARS_MAX;
/** What could move a cursor, turn the direction of writing, or break a line. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;

/** Every way in which a call ends without its last part. `worker` is the name of a seat. */

export function failed(worker: string, payload: Uint8Array): SuperNodeError {
  const text = new TextDecoder().decode(payload.subarray(0, TEXT_BYTES_MAX));
  const isCut = payload.length > TEXT_BYTES_MAX || text.length > TEXT_CHARS_MAX;
  const shown = printable(text.slice(0, TEXT_CHARS_MAX)) || 'an error without a text';
  return new SuperNodeError('SN_ERR_CALL_FAILED', `${printable(worker)} answered: ${shown}${isCut ? '…' : ''}`);
}

export function timedOut(worker: string, timeoutMs: number, parts: number): SuperNodeError {
  const got = parts === 0 ? 'nothing' : `${parts} part${parts === 1 ? '' : 's'} of it`;
  const message = `call to ${printable(worker)}: expected the whole answer within ${timeoutMs} ms, got ${got}`;
  return new SuperNodeError('SN_ERR_CALL_TIMEOUT', message);
}

export function workerGone(worker: string, why: string): SuperNodeError {
  return new SuperNodeError(
    'SN_ERR_WORKER_GONE',
    `call to ${printable(worker)}: the worker is gone: ${printable(why)}`,
  );
}

export function piledUp(worker: string, bytesMax: number): SuperNodeError {
  const message = `call to ${printable(worker)}: expected a caller that reads, got over ${bytesMax} bytes of parts that wait`;
  return new SuperNodeError('SN_ERR_LIMIT', message);
}

export function callerGone(reason: unknown): SuperNodeError {
  return new SuperNodeError('SN_ERR_CALL_FAILED', 'call: its caller took it back', { cause: reason });
}

export function closing(): SuperNodeError {
  return new SuperNodeError('SN_ERR_CLOSING', 'the node is shutting down');
}

function printable(text: string): string {
  return text.replaceAll(UNSAFE, ' ').trim();
}

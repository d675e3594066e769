import { isUtf8 } from 'node:buffer';
import { nestsDeeper } from '../core/json-depth.js';
import { LIMITS } from '../core/limits.js';
import type { WriteResult } from '../core/ports.js';
import type { Seat, WorkerAnswer } from '../core/seat.js';

/** Calls to a program that knows no MQTT, as lines of JSON:
 *
 *  ```
 *  stdin    {"call":"k3J9","payload":"2+2"}      a call; payload_base64 where the bytes are no UTF-8
 *           {"cancel":"k3J9"}                    nobody waits for its answer any more
 *  stdout   {"reply":"k3J9","payload":"4","last":true}
 *           {"reply":"k3J9","error":"what went wrong"}
 *  ``` */
export type LineAnswer = Omit<WorkerAnswer, 'taskId'>;

const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const SPACE = 32;
const KEY = '"reply"';
/** How an answer begins that cannot be read to its end. The ids of calls are short, and base64url. */
const HEAD = /^\{\s*"reply"\s*:\s*"([\w-]{1,64})"/;
const HEAD_BYTES = 128;
const TOO_LONG = `expected an answer of at most ${LIMITS.outputLineBytes} bytes a line, got a longer line`;
const TOO_DEEP = `expected JSON at most ${LIMITS.jsonDepth} levels deep, got deeper nesting`;

/** Reads a line of stdout. Undefined: it is no answer, but a line like any other. What cannot be one is not parsed: a
 *  worker may write whatever it likes, as fast as it likes.
 *  @param line At most `LIMITS.outputLineBytes`; one of just that length may have been cut */
export function answerIn(line: Uint8Array): LineAnswer | undefined {
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  if (bytes[0] !== OPEN_OBJECT) return undefined;
  const mayBeCut = bytes.length >= LIMITS.outputLineBytes;
  if (!endsObject(bytes)) return mayBeCut ? unreadable(bytes, TOO_LONG) : undefined;
  if (!bytes.includes(KEY)) return undefined;
  if (nestsDeeper(bytes, LIMITS.jsonDepth)) return unreadable(bytes, TOO_DEEP);
  return answerOf(parsed(bytes)) ?? (mayBeCut ? unreadable(bytes, TOO_LONG) : undefined);
}

function answerOf(value: unknown): LineAnswer | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { reply: callId, error, last, payload, payload_base64 }: Record<string, unknown> = { ...value };
  if (typeof callId !== 'string') return undefined;
  if (error !== undefined && error !== null) return { callId, kind: 'error', payload: bytesOf(error) };
  const bytes = typeof payload_base64 === 'string' ? Buffer.from(payload_base64, 'base64') : bytesOf(payload);
  return { callId, kind: last === true ? 'end' : 'part', payload: bytes };
}

/** The line fails the call that it begins to answer, so that nobody waits for the rest. */
function unreadable(line: Buffer, why: string): LineAnswer | undefined {
  const callId = HEAD.exec(line.toString('latin1', 0, HEAD_BYTES))?.[1];
  return callId === undefined ? undefined : { callId, kind: 'error', payload: Buffer.from(why) };
}

function endsObject(line: Buffer): boolean {
  let last = line.length - 1;
  while (last > 0 && (line[last] ?? 0) <= SPACE) last -= 1;
  return line[last] === CLOSE_OBJECT;
}

/** The stdin of a worker as a place that takes calls.
 *  @param worker Whose it is, as `Seat.worker` says it */
export function stdinSeat(worker: string, name: string, write: (line: Uint8Array) => WriteResult): Seat {
  return {
    id: stdinSeatId(worker),
    worker,
    name,
    call: (callId, payload) => write(lineOf(callText(callId, payload))) === 'written',
    cancel: (callId) => {
      write(lineOf(cancelText(callId)));
    },
  };
}

/** A call as one line, without its end. */
export function callText(callId: string, payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const content = isUtf8(bytes) ? { payload: bytes.toString('utf8') } : { payload_base64: bytes.toString('base64') };
  return JSON.stringify({ call: callId, ...content });
}

/** That nobody waits for its answer any more, likewise. */
export function cancelText(callId: string): string {
  return JSON.stringify({ cancel: callId });
}

export function stdinSeatId(worker: string): string {
  return `stdin:${worker}`;
}

function lineOf(text: string): Buffer {
  return Buffer.from(`${text}\n`);
}

/** Text as it is, anything else as JSON; nothing is empty. */
function bytesOf(value: unknown): Buffer {
  return Buffer.from(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
}

function parsed(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

import { isUtf8 } from 'node:buffer';
import type { WriteResult } from '../core/ports.js';
import type { Seat } from '../core/seat.js';
import type { AnswerKind } from '../core/topics.js';

/** Calls to a program that knows no MQTT, as lines of JSON:
 *
 *  ```
 *  stdin    {"call":"k3J9","payload":"2+2"}      a call; payload_base64 where the bytes are no UTF-8
 *           {"cancel":"k3J9"}                    nobody waits for its answer any more
 *  stdout   {"reply":"k3J9","payload":"4","last":true}
 *           {"reply":"k3J9","error":"what went wrong"}
 *  ``` */
export interface LineAnswer {
  readonly callId: string;
  readonly kind: AnswerKind;
  readonly payload: Uint8Array;
}

/** Reads a line of stdout. Undefined: it is no answer, but a line like any other. */
export function answerIn(line: Uint8Array): LineAnswer | undefined {
  const value = parsed(line);
  if (typeof value !== 'object' || value === null) return undefined;
  const { reply: callId, error, last, payload, payload_base64 }: Record<string, unknown> = { ...value };
  if (typeof callId !== 'string') return undefined;
  try {
    if (error !== undefined) return { callId, kind: 'error', payload: bytesOf(error) };
    const bytes = typeof payload_base64 === 'string' ? Buffer.from(payload_base64, 'base64') : bytesOf(payload);
    return { callId, kind: last === true ? 'end' : 'part', payload: bytes };
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
    return { callId, kind: 'error', payload: Buffer.from('payload: expected JSON, got too much depth') };
  }
}

/** The stdin of a worker as a place that takes calls.
 *  @param worker Whose it is, as `Seat.worker` says it */
export function stdinSeat(worker: string, name: string, write: (line: Uint8Array) => WriteResult): Seat {
  return {
    id: stdinSeatId(worker),
    worker,
    name,
    call: (callId, payload) => {
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      const content = isUtf8(bytes)
        ? { payload: bytes.toString('utf8') }
        : { payload_base64: bytes.toString('base64') };
      return write(lineOf({ call: callId, ...content })) === 'written';
    },
    cancel: (callId) => {
      write(lineOf({ cancel: callId }));
    },
  };
}

export function stdinSeatId(worker: string): string {
  return `stdin:${worker}`;
}

function lineOf(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** Text as it is, anything else as JSON; nothing is empty.
 *  @throws RangeError for what nests too deeply to be written */
function bytesOf(value: unknown): Buffer {
  return Buffer.from(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
}

function parsed(line: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

import { isUtf8 } from 'node:buffer';
import { describe, mismatch, SuperNodeError } from '../core/errors.js';

interface PayloadFields {
  readonly payload?: unknown;
  readonly payload_base64?: string;
}

/** The bytes that a command is to hand on.
 *  @throws SuperNodeError SN_ERR_REQUEST */
export function payloadOf(command: string, { payload, payload_base64: base64 }: PayloadFields): Uint8Array {
  if ((payload === undefined) === (base64 === undefined)) {
    const got = payload === undefined ? 'neither' : 'both';
    throw new SuperNodeError('SN_ERR_REQUEST', `${command}: expected payload or payload_base64, got ${got}`);
  }
  if (base64 !== undefined) return bytesOf(command, base64);
  return Buffer.from(typeof payload === 'string' ? payload : textOf(command, payload));
}

/** Bytes as replies show them: text where they are UTF-8, else base64. */
export function payloadToWire(payload: Uint8Array, base64 = false): { payload: string } | { payload_base64: string } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return base64 || !isUtf8(bytes) ? { payload_base64: bytes.toString('base64') } : { payload: bytes.toString('utf8') };
}

/** The same as a field of JSON. */
export function payloadText(payload: Uint8Array, base64: boolean): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (base64 || !isUtf8(bytes)) return `"payload_base64":"${bytes.toString('base64')}"`;
  return `"payload":${JSON.stringify(bytes.toString('utf8'))}`;
}

/** The schema has seen to the characters; what is left is a length that no bytes have. */
function bytesOf(command: string, base64: string): Uint8Array {
  const digits = base64.indexOf('=') === -1 ? base64.length : base64.indexOf('=');
  if (digits % 4 === 1) {
    throw mismatch('SN_ERR_REQUEST', `${command} payload_base64`, 'whole bytes', base64);
  }
  return Buffer.from(base64, 'base64');
}

/** JSON that came over the wire can nest too deeply to be written again, and a value of our own process may be none. */
function textOf(command: string, value: unknown): string {
  let why = describe(typeof value);
  try {
    const text: unknown = JSON.stringify(value);
    if (typeof text === 'string') return text;
  } catch (error) {
    why = error instanceof Error ? error.message : why;
  }
  throw new SuperNodeError(
    'SN_ERR_REQUEST',
    `${command} payload: expected text or JSON that can be written, got ${why}`,
  );
}

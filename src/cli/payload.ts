import { isUtf8 } from 'node:buffer';
import type { Io } from './io.js';
import { type Fields, textOf } from './reply-data.js';
import { lookOf, painted } from './table.js';
import { oneLine, stripControls } from './text.js';

export interface PayloadLook {
  /** The task, shown before the payload on a terminal. */
  readonly name: string | undefined;
  readonly base64: boolean;
}

/** A payload and a line feed. A pipe gets the bytes as they are. A terminal gets no control characters, base64 where
 *  the bytes are no text, and the name of the task when several are mixed. */
export function payloadLine(bytes: Buffer, { name, base64 }: PayloadLook, io: Io): Uint8Array {
  if (io.stdout.isTTY !== true) {
    return base64 ? Buffer.from(`${bytes.toString('base64')}\n`) : Buffer.concat([bytes, Buffer.from('\n')]);
  }
  const text = base64 || !isUtf8(bytes) ? bytes.toString('base64') : stripControls(bytes.toString('utf8'));
  const before = name === undefined ? '' : `${painted(oneLine(name), 'cyan', lookOf(io.stdout, io.env).colour)}  `;
  return Buffer.from(`${before}${text}\n`);
}

/** The bytes that a reply carries as `payload` or `payload_base64`. */
export function payloadBytes({ payload, payload_base64: base64 }: Fields): Buffer {
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : Buffer.from(textOf(payload));
}

/** The same two fields of a request: bytes that are text go as text. */
export function payloadFields(bytes: Buffer): Fields {
  return isUtf8(bytes) ? { payload: bytes.toString('utf8') } : { payload_base64: bytes.toString('base64') };
}

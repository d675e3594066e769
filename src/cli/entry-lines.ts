import { isWellFormed } from '../core/well-formed.js';
import { EXIT, Failure } from './failure.js';
import { payloadBytes } from './payload.js';
import type { Fields } from './reply-data.js';
import { jsonLine } from './text.js';

/** Entries of a queue as a file holds them: one JSON object a line (NDJSON). */

/** `attempts` is not told: it belongs to who takes. */
export function entryLine({ task_id, seq, ts, topic, payload, payload_base64 }: Fields): string {
  return `${jsonLine({ task_id, seq, ts, topic, payload, payload_base64 })}\n`;
}

/** The payload that a line carries.
 *  @throws Failure with exit code 2 that says what is wrong with it */
export function payloadOfLine(line: Buffer): Buffer {
  const entry = objectOf(line);
  const { payload, payload_base64: base64 } = entry;
  if ((payload === undefined) === (base64 === undefined)) {
    throw wrong('payload or payload_base64', payload === undefined ? 'neither' : 'both');
  }
  if (base64 === undefined && typeof payload !== 'string') throw wrong('text as payload', JSON.stringify(payload));
  if (typeof payload === 'string' && !isWellFormed(payload)) {
    throw wrong('text that UTF-8 can carry as payload', 'half of a surrogate pair');
  }
  if (base64 !== undefined && !(typeof base64 === 'string' && isBase64(base64))) {
    throw wrong('whole bytes in base64 as payload_base64', JSON.stringify(base64));
  }
  return payloadBytes(entry);
}

function objectOf(line: Buffer): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch (error) {
    throw wrong('JSON in UTF-8', error instanceof SyntaxError ? `none (${error.message})` : 'other bytes');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong('a JSON object', line.toString('utf8'));
  }
  return { ...value };
}

/** RFC 4648 §4, with its padding or without. */
function isBase64(text: string): boolean {
  const digits = text.replace(/={1,2}$/, '');
  const isPadded = digits.length < text.length;
  return /^[A-Za-z0-9+/]*$/.test(digits) && digits.length % 4 !== 1 && (!isPadded || text.length % 4 === 0);
}

function wrong(expected: string, got: string): Failure {
  return new Failure(EXIT.usage, `expected ${expected}, got ${got.slice(0, SHOWN_CHARS)}`);
}

const SHOWN_CHARS = 100;

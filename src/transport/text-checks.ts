import { isUtf8 } from 'node:buffer';
import { describe } from '../core/errors.js';
import { byteAt } from './bytes.js';
import { isMqttText } from './utf8.js';
import { type Violation, violation } from './violation.js';

const HASH = 0x23;
const PLUS = 0x2b;

/** Why `buffer[from, to)` is no text that MQTT allows; nothing if it is. */
export function checkText(buffer: Buffer, from: number, to: number, what: string): Violation | undefined {
  if (isMqttText(buffer, from, to)) return undefined;
  const bytes = buffer.subarray(from, to);
  if (!isUtf8(bytes)) return violation('MQTT-1.5.3-1', what, 'well-formed UTF-8', `0x${bytes.toString('hex', 0, 16)}`);
  const got = describe(bytes.toString());
  if (bytes.includes(0)) return violation('MQTT-1.5.3-2', what, 'no U+0000', got);
  return violation('§1.5.3', what, 'no control characters', got);
}

/** Why `buffer[from, to)` is no topic name; nothing if it is.
 *  @param wildcardClause What forbids wildcards at this place. */
export function checkTopicName(
  buffer: Buffer,
  from: number,
  to: number,
  what: string,
  wildcardClause: string,
): Violation | undefined {
  if (from === to) return violation('MQTT-4.7.3-1', what, 'at least one character', 'none');
  if (isPlainTopicName(buffer, from, to)) return undefined;
  const fault = checkText(buffer, from, to, what);
  if (fault) return fault;
  const name = buffer.subarray(from, to);
  if (!name.includes(PLUS) && !name.includes(HASH)) return undefined;
  return violation(wildcardClause, what, 'no wildcard', describe(name.toString()));
}

/** One pass for what nearly every topic is: printable ASCII without wildcards. */
function isPlainTopicName(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const byte = byteAt(buffer, at);
    if (byte < 0x20 || byte > 0x7e || byte === HASH || byte === PLUS) return false;
  }
  return true;
}

import { isUtf8 } from 'node:buffer';
import { byteAt } from './bytes.js';

/** True if `buffer[from, to)` is text that MQTT allows: well-formed UTF-8, so no surrogates either [MQTT-1.5.3-1],
 *  no U+0000 [MQTT-1.5.3-2], and none of U+0001–U+001F and U+007F–U+009F, for which §1.5.3 lets a receiver close.
 *  U+FEFF is text like any other [MQTT-1.5.3-3]. */
export function isMqttText(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const byte = byteAt(buffer, at);
    if (byte >= 0x80) return isMqttTextBeyondAscii(buffer.subarray(at, to));
    if (byte < 0x20 || byte === 0x7f) return false;
  }
  return true;
}

function isMqttTextBeyondAscii(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = byteAt(bytes, at);
    if (byte < 0x20 || byte === 0x7f) return false;
    // In well-formed UTF-8 a U+0080–U+009F is 0xC2 and one byte below 0xA0.
    if (byte === 0xc2 && byteAt(bytes, at + 1) < 0xa0) return false;
  }
  return true;
}

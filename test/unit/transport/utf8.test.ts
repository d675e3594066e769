import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMqttText } from '../../../src/transport/utf8.js';

function check(bytes: Buffer): boolean {
  const framed = Buffer.concat([Buffer.of(0xff), bytes, Buffer.of(0x00)]);
  return isMqttText(framed, 1, 1 + bytes.length);
}

describe('isMqttText', () => {
  it.each([
    ['no bytes at all', ''],
    ['ASCII', 'sensor/temp 1~'],
    ['letters of two, three and four bytes', 'é/温度/🌡'],
    ['U+FEFF, wherever it stands [MQTT-1.5.3-3]', '\uFEFFa\uFEFF'],
    ['U+00A0, the first behind the control characters', 'a\u00A0'],
    ['the replacement character', '\uFFFD'],
  ])('accepts %s', (_, text) => {
    expect(check(Buffer.from(text))).toBe(true);
  });

  it.each([
    ['a byte that starts nothing [MQTT-1.5.3-1]', [0x61, 0x80]],
    ['a letter that is cut [MQTT-1.5.3-1]', [0xe6, 0xb8]],
    ['an overlong form [MQTT-1.5.3-1]', [0xc0, 0xaf]],
    ['an overlong form of U+0080 [MQTT-1.5.3-1]', [0xe0, 0x82, 0x80]],
    ['a surrogate [MQTT-1.5.3-1]', [0xed, 0xa0, 0x80]],
    ['a pair of surrogates [MQTT-1.5.3-1]', [0xed, 0xa0, 0x81, 0xed, 0xb0, 0x80]],
    ['what lies above U+10FFFF [MQTT-1.5.3-1]', [0xf4, 0x90, 0x80, 0x80]],
    ['U+0000 [MQTT-1.5.3-2]', [0x61, 0x00]],
    ['U+0000 behind a letter of two bytes [MQTT-1.5.3-2]', [0xc3, 0xa9, 0x00]],
    ['U+0001', [0x01]],
    ['U+001F', [0x1f]],
    ['U+007F', [0x7f]],
    ['U+0080', [0xc2, 0x80]],
    ['U+009F', [0xc2, 0x9f]],
    ['U+001F behind a letter of two bytes', [0xc3, 0xa9, 0x1f]],
    ['U+007F behind a letter of two bytes', [0xc3, 0xa9, 0x7f]],
  ])('refuses %s', (_, bytes) => {
    expect(check(Buffer.from(bytes))).toBe(false);
  });

  it('looks at nothing outside its bounds', () => {
    const buffer = Buffer.from([0x00, 0x61, 0xff]);
    expect(isMqttText(buffer, 1, 2)).toBe(true);
  });

  it('agrees with a decoder and a pattern on any text', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 });
    fc.assert(
      fc.property(text, (value) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the subject
        expect(check(Buffer.from(value))).toBe(!/[\u0000-\u001f\u007f-\u009f]/.test(value));
      }),
    );
  });

  it('agrees with a decoder and a pattern on any bytes', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc.constantFrom('a', 'é', '温', '🌡').map((letter) => Buffer.from(letter)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const bytes = Buffer.concat(pieces);
        expect(check(bytes)).toBe(naive(bytes));
      }),
      { numRuns: 500 },
    );
  });
});

function naive(bytes: Buffer): boolean {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    return !/\p{Cc}/u.test(decoder.decode(bytes));
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import { checkPacket } from '../../../src/transport/packets.js';
import type { Violation } from '../../../src/transport/violation.js';

/** A packet, in hex with spaces; its length byte is filled in, and bytes of a next packet lie behind it. */
function check(header: number, bodyHex: string): Violation | undefined {
  const body = Buffer.from(bodyHex.replaceAll(' ', ''), 'hex');
  const reader = new FrameReader(1_000);
  reader.feed(Buffer.concat([Buffer.of(header, body.length), body, NEXT]));
  expect(reader.next()).toBe('frame');
  return checkPacket(reader.buffer, reader.header, reader.body, reader.end);
}

const NEXT = Buffer.alloc(8, 0x01);
const TOPIC = '0003 612f62'; // a/b

describe('checkPacket', () => {
  it.each([
    ['PUBLISH at QoS 0', 0x30, `${TOPIC} 00ff`],
    ['PUBLISH at QoS 0 without a payload', 0x30, TOPIC],
    ['PUBLISH at QoS 1, DUP and RETAIN', 0x3b, `${TOPIC} 0001`],
    ['PUBLISH at QoS 2', 0x34, `${TOPIC} ffff 01`],
    ['PUBLISH with a topic beyond ASCII', 0x30, '0002 c3a9'],
    ['PUBLISH with an empty level', 0x30, '0001 2f'],
    ['PUBACK', 0x40, '0001'],
    ['PUBREC', 0x50, '0001'],
    ['PUBREL', 0x62, '0001'],
    ['PUBCOMP', 0x70, '0001'],
    ['SUBSCRIBE with one filter', 0x82, `0001 ${TOPIC} 00`],
    ['SUBSCRIBE with wildcards', 0x82, '0001 0003 2b2f23 02 0001 23 01'],
    ['UNSUBSCRIBE with two filters', 0xa2, `0001 ${TOPIC} 0001 2b`],
    ['PINGREQ', 0xc0, ''],
    ['DISCONNECT', 0xe0, ''],
  ])('accepts %s', (_, header, body) => {
    expect(check(header, body)).toBeUndefined();
  });

  it.each([
    ['MQTT-2.2.2-2', 'PUBACK with flags', 0x42, '0001'],
    ['MQTT-2.2.2-2', 'PUBREC with flags', 0x51, '0001'],
    ['MQTT-2.2.2-2', 'PUBREL without its flag', 0x60, '0001'],
    ['MQTT-2.2.2-2', 'PUBREL with one flag more', 0x63, '0001'],
    ['MQTT-2.2.2-2', 'PUBCOMP with flags', 0x78, '0001'],
    ['MQTT-2.2.2-2', 'SUBSCRIBE without its flag', 0x80, `0001 ${TOPIC} 00`],
    ['MQTT-2.2.2-2', 'UNSUBSCRIBE without its flag', 0xa0, `0001 ${TOPIC}`],
    ['MQTT-2.2.2-2', 'PINGREQ with flags', 0xc1, ''],
    ['MQTT-2.2.2-2', 'DISCONNECT with flags', 0xe2, ''],

    ['MQTT-3.3.1-4', 'PUBLISH at QoS 3', 0x36, `${TOPIC} 0001`],
    ['MQTT-3.3.1-2', 'PUBLISH with DUP at QoS 0', 0x38, TOPIC],
    ['MQTT-3.3.2-1', 'PUBLISH without a body', 0x30, ''],
    ['MQTT-3.3.2-1', 'PUBLISH with half a topic length', 0x30, '00'],
    ['MQTT-3.3.2-1', 'PUBLISH with a topic longer than the packet', 0x30, '0004 612f62'],
    ['MQTT-4.7.3-1', 'PUBLISH with an empty topic', 0x30, '0000 61'],
    ['MQTT-1.5.3-1', 'PUBLISH with a topic that is not UTF-8', 0x30, '0002 61ff'],
    ['MQTT-1.5.3-2', 'PUBLISH with U+0000 in its topic', 0x30, '0002 6100'],
    ['§1.5.3', 'PUBLISH with a control character in its topic', 0x30, '0002 6107'],
    ['MQTT-3.3.2-2', 'PUBLISH to +', 0x30, '0003 612f2b'],
    ['MQTT-3.3.2-2', 'PUBLISH to #', 0x30, '0001 23'],
    ['MQTT-3.3.2-2', 'PUBLISH to a wildcard inside a level beyond ASCII', 0x30, '0003 c3a92b'],
    ['MQTT-2.3.1-1', 'PUBLISH at QoS 1 without a packet id', 0x32, TOPIC],
    ['MQTT-2.3.1-1', 'PUBLISH at QoS 2 with half a packet id', 0x34, `${TOPIC} 00`],
    ['MQTT-2.3.1-1', 'PUBLISH at QoS 1 with packet id 0', 0x32, `${TOPIC} 0000`],

    ['§3.4.1', 'PUBACK without a packet id', 0x40, ''],
    ['§3.4.1', 'PUBACK with more than a packet id', 0x40, '0001 00'],
    ['§3.5.1', 'PUBREC with half a packet id', 0x50, '01'],
    ['§3.6.1', 'PUBREL with more than a packet id', 0x62, '0001 00'],
    ['§3.7.1', 'PUBCOMP without a packet id', 0x70, ''],
    ['§3.4.2', 'PUBACK with packet id 0', 0x40, '0000'],
    ['§3.5.2', 'PUBREC with packet id 0', 0x50, '0000'],
    ['§3.6.2', 'PUBREL with packet id 0', 0x62, '0000'],
    ['§3.7.2', 'PUBCOMP with packet id 0', 0x70, '0000'],

    ['MQTT-2.3.1-1', 'SUBSCRIBE without a packet id', 0x82, '00'],
    ['MQTT-2.3.1-1', 'SUBSCRIBE with packet id 0', 0x82, `0000 ${TOPIC} 00`],
    ['MQTT-3.8.3-3', 'SUBSCRIBE without a filter', 0x82, '0001'],
    ['MQTT-3.8.3-1', 'SUBSCRIBE with a filter that is cut', 0x82, '0001 0004 612f62'],
    ['MQTT-3.8.3-1', 'SUBSCRIBE with a byte behind its filters', 0x82, `0001 ${TOPIC} 00 00`],
    ['MQTT-3.8.3-4', 'SUBSCRIBE with a filter and no QoS', 0x82, `0001 ${TOPIC}`],
    ['MQTT-3.8.3-4', 'SUBSCRIBE at QoS 3', 0x82, `0001 ${TOPIC} 03`],
    ['MQTT-3.8.3-4', 'SUBSCRIBE with reserved bits', 0x82, `0001 ${TOPIC} 05`],
    ['MQTT-4.7.3-1', 'SUBSCRIBE with an empty filter', 0x82, '0001 0000 00'],
    ['MQTT-1.5.3-1', 'SUBSCRIBE with a filter that is not UTF-8', 0x82, '0001 0001 ff 00'],
    ['MQTT-1.5.3-2', 'SUBSCRIBE with U+0000 in its filter', 0x82, '0001 0001 00 00'],
    ['MQTT-4.7.1-2', 'SUBSCRIBE with # inside', 0x82, '0001 0003 232f61 00'],
    ['MQTT-4.7.1-3', 'SUBSCRIBE with + beside a letter', 0x82, '0001 0002 612b 00'],
    ['MQTT-4.7.1-2', 'SUBSCRIBE with a bad second filter', 0x82, `0001 ${TOPIC} 00 0002 6123 00`],

    ['MQTT-2.3.1-1', 'UNSUBSCRIBE without a packet id', 0xa2, ''],
    ['MQTT-2.3.1-1', 'UNSUBSCRIBE with packet id 0', 0xa2, `0000 ${TOPIC}`],
    ['MQTT-3.10.3-2', 'UNSUBSCRIBE without a filter', 0xa2, '0001'],
    ['MQTT-3.10.3-1', 'UNSUBSCRIBE with a filter that is cut', 0xa2, '0001 0004 612f62'],
    ['MQTT-3.10.3-1', 'UNSUBSCRIBE with a byte behind its filters', 0xa2, `0001 ${TOPIC} 00`],
    ['MQTT-4.7.3-1', 'UNSUBSCRIBE with an empty filter', 0xa2, '0001 0000'],
    ['MQTT-1.5.3-1', 'UNSUBSCRIBE with a filter that is not UTF-8', 0xa2, '0001 0001 ff'],
    ['MQTT-4.7.1-2', 'UNSUBSCRIBE with # beside a letter', 0xa2, '0001 0002 6123'],
    ['MQTT-4.7.1-3', 'UNSUBSCRIBE with + beside a letter', 0xa2, '0001 0002 2b61'],

    ['§3.12.1', 'PINGREQ with a body', 0xc0, '00'],
    ['§3.14.1', 'DISCONNECT with a body', 0xe0, '00'],
    ['MQTT-3.1.0-2', 'a second CONNECT', 0x10, '0004 4d515454 04 02 0000 0000'],
    ['§2.2.1', 'reserved type 0', 0x00, ''],
    ['§2.2.1', 'reserved type 15', 0xf0, ''],
    ['§2.2.1', 'CONNACK', 0x20, '0000'],
    ['§2.2.1', 'SUBACK', 0x90, '0001 00'],
    ['§2.2.1', 'UNSUBACK', 0xb0, '0001'],
    ['§2.2.1', 'PINGRESP', 0xd0, ''],
  ])('refuses by %s: %s', (clause, _, header, body) => {
    expect(check(header, body)?.clause).toBe(clause);
  });

  it('says what was expected and what came', () => {
    expect(check(0x30, '0003 612f2b')?.message).toBe('PUBLISH topic: expected no wildcard, got "a/+"');
    expect(check(0x82, '0001 0002 612b 00')?.message).toBe('SUBSCRIBE filter: expected + as a whole level, got "a+"');
    expect(check(0x40, '0000')?.message).toBe('PUBACK packet id: expected 1 to 65535, got 0');
  });

  it('refuses what is cut, at every place', () => {
    const packets: [number, string][] = [
      [0x82, '0001 0003612f62 00'],
      [0xa2, '0001 0003612f62'],
      [0x32, '0003612f62 0001'],
      [0x40, '0001'],
    ];
    for (const [header, hex] of packets) {
      const digits = hex.replaceAll(' ', '');
      for (let length = 0; length < digits.length; length += 2) {
        expect(check(header, digits.slice(0, length)), `${hex} cut at ${length / 2}`).toBeDefined();
      }
    }
  });

  it('never reads beyond the end of the packet', () => {
    const chunk = Buffer.concat([Buffer.from('3003000361', 'hex'), Buffer.alloc(100, 0x61)]);
    expect(checkPacket(chunk, 0x30, 2, 5)?.clause).toBe('MQTT-3.3.2-1');
  });

  it('never throws on random bytes', () => {
    const type = fc.constantFrom(0x30, 0x32, 0x40, 0x62, 0x82, 0xa2);
    const header = fc.oneof(type, fc.nat(255));
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 60 }), (first, bytes) => {
        const found = checkPacket(Buffer.from(bytes), first, 0, bytes.length);
        expect(found === undefined || found.message.length > 0).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConnectOutcome, readConnect } from '../../../src/transport/connect-packet.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import { encodeConnect } from '../../fixtures/raw-client.js';

function read(packet: Buffer): ConnectOutcome {
  const reader = new FrameReader(100_000);
  reader.feed(packet);
  expect(reader.next()).toBe('frame');
  return readConnect(reader.buffer, reader.header, reader.body, reader.end);
}

/** CONNECT from the hex of its body, spaces allowed; bytes of a next packet lie behind it. */
function readHex(bodyHex: string, header = 0x10): ConnectOutcome {
  const body = Buffer.from(bodyHex.replaceAll(' ', ''), 'hex');
  return read(Buffer.concat([Buffer.of(header, body.length), body, NEXT]));
}

const NEXT = Buffer.alloc(8, 0xff);
const MQTT4 = '0004 4d515454 04';
const MQISDP3 = '0006 4d5149736470 03';
const ID = '0001 63'; // c

describe('readConnect', () => {
  it('reads the least that a client can say', () => {
    expect(readHex(`${MQTT4} 02 0000 0000`)).toEqual({
      kind: 'accepted',
      connect: { protocolLevel: 4, clientId: '', clean: true, keepaliveS: 0 },
    });
  });

  it('reads everything that a client can say', () => {
    const will = { topic: 'w/ch/a/state', payload: Buffer.from('lost'), qos: 1, retain: true } as const;
    const packet = encodeConnect({
      clientId: 'camera-1',
      clean: false,
      keepalive: 65_535,
      will,
      username: 'größe',
      password: Buffer.of(0, 255),
    });
    expect(read(packet)).toEqual({
      kind: 'accepted',
      connect: {
        protocolLevel: 4,
        clientId: 'camera-1',
        clean: false,
        keepaliveS: 65_535,
        will,
        username: 'größe',
        password: Buffer.of(0, 255),
      },
    });
  });

  it('reads MQTT 3.1', () => {
    const outcome = readHex(`${MQISDP3} 00 000a ${ID}`);
    expect(outcome).toMatchObject({ kind: 'accepted', connect: { protocolLevel: 3, clientId: 'c', keepaliveS: 10 } });
  });

  it('keeps nothing of the chunk', () => {
    const packet = encodeConnect({
      clientId: 'c',
      will: { topic: 't', payload: 'p' },
      username: 'u',
      password: 'secret',
    });
    const outcome = read(packet);
    packet.fill(0);
    expect(outcome).toMatchObject({
      connect: { password: Buffer.from('secret'), will: { payload: Buffer.from('p') } },
    });
  });

  it.each([
    ['MQTT-2.2.2-2', 'flags in the first byte', `${MQTT4} 02 0000 ${ID}`, 0x11],
    ['§3.1', 'no body', '', 0x10],
    ['§3.1', 'a protocol name that is cut', '0004 4d5154', 0x10],
    ['§3.1', 'no protocol level', '0004 4d515454', 0x10],
    ['MQTT-3.1.2-1', 'an unknown protocol name', `0004 6d717474 04 02 0000 ${ID}`, 0x10],
    ['MQTT-3.1.2-1', 'an empty protocol name', `0000 04 02 0000 ${ID}`, 0x10],
    ['§3.1', 'no flags', MQTT4, 0x10],
    ['§3.1', 'half a keepalive', `${MQTT4} 02 00`, 0x10],
    ['MQTT-3.1.2-3', 'the reserved flag', `${MQTT4} 03 0000 ${ID}`, 0x10],
    ['MQTT-3.1.2-13', 'a will QoS without a will', `${MQTT4} 0a 0000 ${ID}`, 0x10],
    ['MQTT-3.1.2-15', 'a will retain without a will', `${MQTT4} 22 0000 ${ID}`, 0x10],
    ['MQTT-3.1.2-14', 'will QoS 3', `${MQTT4} 1e 0000 ${ID} 0001 74 0000`, 0x10],
    ['MQTT-3.1.2-22', 'a password without a user name', `${MQTT4} 42 0000 ${ID} 0001 70`, 0x10],
    ['§3.1', 'no client id', `${MQTT4} 02 0000`, 0x10],
    ['§3.1', 'a client id that is cut', `${MQTT4} 02 0000 0002 63`, 0x10],
    ['MQTT-1.5.3-1', 'a client id that is not UTF-8', `${MQTT4} 02 0000 0001 ff`, 0x10],
    ['MQTT-1.5.3-2', 'U+0000 in the client id', `${MQTT4} 02 0000 0001 00`, 0x10],
    ['§3.1', 'a will flag and no will', `${MQTT4} 06 0000 ${ID}`, 0x10],
    ['§3.1', 'a will topic and no will payload', `${MQTT4} 06 0000 ${ID} 0001 74`, 0x10],
    ['MQTT-1.5.3-1', 'a will topic that is not UTF-8', `${MQTT4} 06 0000 ${ID} 0001 ff 0000`, 0x10],
    ['MQTT-4.7.3-1', 'an empty will topic', `${MQTT4} 06 0000 ${ID} 0000 0000`, 0x10],
    ['MQTT-4.7.1-1', 'a will topic with +', `${MQTT4} 06 0000 ${ID} 0001 2b 0000`, 0x10],
    ['MQTT-4.7.1-1', 'a will topic with #', `${MQTT4} 06 0000 ${ID} 0003 612f23 0000`, 0x10],
    ['§3.1', 'a user name flag and no user name', `${MQTT4} 82 0000 ${ID}`, 0x10],
    ['MQTT-1.5.3-1', 'a user name that is not UTF-8', `${MQTT4} 82 0000 ${ID} 0001 ff`, 0x10],
    ['§3.1', 'a password flag and no password', `${MQTT4} c2 0000 ${ID} 0001 75`, 0x10],
    ['§3.1', 'a password that is cut', `${MQTT4} c2 0000 ${ID} 0001 75 0002 70`, 0x10],
    ['§3.1.3', 'bytes behind the last field', `${MQTT4} 02 0000 ${ID} 00`, 0x10],
  ])('closes by %s: %s', (clause, _, body, header) => {
    expect(readHex(body, header)).toMatchObject({ kind: 'closed', violation: { clause } });
  });

  it.each([
    ['MQTT-3.1.2-2', 'MQTT level 3', `0004 4d515454 03 02 0000 ${ID}`, 1],
    ['MQTT-3.1.2-2', 'MQTT level 6', `0004 4d515454 06 02 0000 ${ID}`, 1],
    ['MQTT-3.1.2-2', 'MQIsdp level 4', `0006 4d5149736470 04 02 0000 ${ID}`, 1],
    ['MQTT-3.1.2-2', 'MQIsdp level 5', `0006 4d5149736470 05 02 0000 ${ID}`, 1],
    ['MQTT-3.1.2-2', 'a bridge of level 3', `0006 4d5149736470 83 02 0000 ${ID}`, 1],
    ['MQTT-3.1.2-2', 'a bridge of level 4', `0004 4d515454 84 02 0000 ${ID}`, 1],
    ['MQTT-3.1.2-2', 'an unknown level with nothing behind it', '0004 4d515454 07', 1],
    ['MQTT-3.1.3-8', 'no client id for a session that stays', `${MQTT4} 00 0000 0000`, 2],
    ['MQTT 3.1 §3.1', 'MQTT 3.1 without a client id', `${MQISDP3} 02 0000 0000`, 2],
    ['MQTT 3.1 §3.1', 'MQTT 3.1 with a client id of 24 bytes', `${MQISDP3} 02 0000 0018 ${'63'.repeat(24)}`, 2],
  ])('refuses by %s: %s', (clause, _, body, code) => {
    const outcome = readHex(body);
    expect(outcome).toMatchObject({ kind: 'refused', violation: { clause }, connack: Buffer.of(0x20, 2, 0, code) });
  });

  it('accepts a client id of 23 bytes in MQTT 3.1, and longer ones in 3.1.1', () => {
    expect(readHex(`${MQISDP3} 02 0000 0017 ${'63'.repeat(23)}`).kind).toBe('accepted');
    expect(readHex(`${MQTT4} 02 0000 0060 ${'63'.repeat(96)}`).kind).toBe('accepted');
  });

  it('answers MQTT 5 in its own language, whatever follows the level', () => {
    const outcome = readHex('0004 4d515454 05 ff');
    if (outcome.kind !== 'refused') throw new Error(`expected a refusal, got ${outcome.kind}`);
    const { connack } = outcome;
    expect(connack.subarray(0, 4)).toEqual(Buffer.of(0x20, connack.length - 2, 0, 0x84));
    expect(connack[4]).toBe(connack.length - 5);
    expect(connack[5]).toBe(0x1f);
    expect(connack.readUInt16BE(6)).toBe(connack.length - 8);
    expect(connack.toString('utf8', 8)).toContain('3.1.1');
  });

  it('closes on a packet that is cut, at every place behind the level', () => {
    const packet = encodeConnect({ clientId: 'c', will: { topic: 't', payload: 'p' }, username: 'u', password: 'p' });
    for (let end = 9; end < packet.length; end++) {
      expect(readConnect(packet, 0x10, 2, end).kind, `cut at ${end}`).toBe('closed');
    }
    expect(readConnect(packet, 0x10, 2, packet.length).kind).toBe('accepted');
  });

  it('never throws on random bytes', () => {
    const start = fc.constantFrom(`${MQTT4}`, MQISDP3, '').map((hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 60 }), (prefix, bytes) => {
        const body = Buffer.concat([prefix, bytes]);
        expect(['accepted', 'refused', 'closed']).toContain(readConnect(body, 0x10, 0, body.length).kind);
      }),
      { numRuns: 2_000 },
    );
  });
});

import fc from 'fast-check';
import { generate, type Packet, parser } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { readConnect } from '../../../src/transport/connect-packet.js';
import {
  ACK_HEADER,
  encodeAcks,
  encodeConnack,
  encodeField,
  encodePacket,
  encodePublish,
  encodeSuback,
  encodeSubscribe,
  encodeUnsuback,
  encodeUnsubscribe,
  PINGRESP,
} from '../../../src/transport/encode.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import { checkPacket } from '../../../src/transport/packets.js';
import {
  publishDup,
  publishPacketId,
  publishPayloadStart,
  publishQos,
  publishRetain,
  publishTopicEnd,
} from '../../../src/transport/publish-packet.js';
import { readSubscribe, readUnsubscribe } from '../../../src/transport/subscribe-packet.js';

/** `mqtt-packet` is the second opinion: what Aedes and mqtt.js read and write with. */
function theirs(bytes: Buffer): Packet[] {
  const packets: Packet[] = [];
  const reader = parser({ protocolVersion: 4 });
  reader.on('packet', (packet: Packet) => packets.push(packet));
  reader.on('error', (error: Error) => {
    throw error;
  });
  expect(reader.parse(bytes)).toBe(0);
  return packets;
}

function frameOf(bytes: Buffer): FrameReader {
  const reader = new FrameReader(1_000_000);
  reader.feed(bytes);
  expect(reader.next()).toBe('frame');
  expect(reader.pendingBytes).toBe(0);
  return reader;
}

const packetId = fc.integer({ min: 1, max: 65_535 });
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);
// No control characters, which mqtt-packet would write; ours are tested to refuse them.
const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((value) => value.replaceAll(/\p{Cc}/gu, ''));
const topic = text.map((value) => value.replaceAll(/[+#]/g, '')).filter((value) => value.length > 0);
const filter = fc
  .array(fc.oneof(topic, fc.constant('+')), { minLength: 1, maxLength: 4 })
  .chain((levels) => fc.constantFrom([], ['#']).map((last) => [...levels, ...last]))
  .map((levels) => levels.join('/').replaceAll(/[^/]+[+#]|[+#][^/]+/g, 'x'));
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.constantFrom(127, 128, 16_383, 16_384, 70_000).map((bytes) => Buffer.alloc(bytes)),
);
const publish = fc
  .record({ topic, payload, qos, retain: fc.boolean(), dup: fc.boolean(), packetId })
  .map((fields) => ({ ...fields, dup: fields.dup && fields.qos > 0 }));
const connect = fc
  .record({
    clientId: text.filter((value) => value.length > 0),
    clean: fc.boolean(),
    keepalive: fc.nat(65_535),
    will: fc.option(
      fc.record({ topic, payload: fc.uint8Array({ maxLength: 50 }).map(Buffer.from), qos, retain: fc.boolean() }),
      { nil: undefined },
    ),
    username: fc.option(
      text.filter((value) => value.length > 0),
      { nil: undefined },
    ),
    password: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  })
  .map(({ will, username, password, ...fields }) => ({
    ...fields,
    ...(will ? { will } : {}),
    ...(username ? { username, password } : {}),
  }));

describe('encode', () => {
  it('writes PUBLISH that mqtt-packet reads alike, and that passes our check', () => {
    fc.assert(
      fc.property(publish, (fields) => {
        const bytes = encodePublish(fields);
        const { packetId: messageId, payload, ...rest } = fields;
        const [packet] = theirs(bytes);
        expect(packet).toMatchObject({ ...rest, ...(rest.qos > 0 ? { messageId } : {}) });
        expect(packet?.cmd === 'publish' && Buffer.compare(payload, Buffer.from(packet.payload))).toBe(0);
        const { buffer, header, body, end } = frameOf(bytes);
        expect(checkPacket(buffer, header, body, end)).toBeUndefined();
      }),
    );
  });

  it('writes SUBSCRIBE and UNSUBSCRIBE that mqtt-packet reads alike', () => {
    const filters = fc.array(fc.record({ filter, qos }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(packetId, filters, (id, list) => {
        const subscriptions = list.map((entry) => ({ topic: entry.filter, qos: entry.qos }));
        expect(theirs(encodeSubscribe(id, list))).toMatchObject([{ cmd: 'subscribe', messageId: id, subscriptions }]);
        const unsubscriptions = list.map((entry) => entry.filter);
        expect(theirs(encodeUnsubscribe(id, unsubscriptions))).toMatchObject([
          { cmd: 'unsubscribe', messageId: id, unsubscriptions },
        ]);
      }),
    );
  });

  it('writes acknowledgements, one behind the other, that mqtt-packet reads alike', () => {
    const kind = fc.constantFrom('puback' as const, 'pubrec' as const, 'pubrel' as const, 'pubcomp' as const);
    fc.assert(
      fc.property(kind, fc.array(packetId, { maxLength: 20 }), (cmd, ids) => {
        const expected = ids.map((messageId) => expect.objectContaining({ cmd, messageId }));
        expect(theirs(encodeAcks(ACK_HEADER[cmd], ids))).toEqual(expected);
      }),
    );
  });

  it('writes the other answers of a server', () => {
    expect(encodeConnack(0, true)).toEqual(Buffer.of(0x20, 2, 1, 0));
    expect(encodeConnack(5, true), 'no session with a refusal').toEqual(Buffer.of(0x20, 2, 0, 5));
    expect(theirs(encodeSuback(7, [0, 1, 2, 128]))).toMatchObject([
      { cmd: 'suback', messageId: 7, granted: [0, 1, 2, 128] },
    ]);
    expect(theirs(encodeUnsuback(258))).toMatchObject([{ cmd: 'unsuback', messageId: 258 }]);
    expect(PINGRESP).toEqual(Buffer.of(0xd0, 0));
  });

  it.each([
    [127, [0x30, 0x7f]],
    [128, [0x30, 0x80, 0x01]],
    [16_383, [0x30, 0xff, 0x7f]],
    [16_384, [0x30, 0x80, 0x80, 0x01]],
    [2_097_151, [0x30, 0xff, 0xff, 0x7f]],
    [2_097_152, [0x30, 0x80, 0x80, 0x80, 0x01]],
  ])('writes the length %i in as few bytes as it takes', (bytes, start) => {
    const packet = encodePacket(0x30, [Buffer.alloc(bytes)]);
    expect([...packet.subarray(0, start.length)]).toEqual(start);
    expect(packet).toHaveLength(start.length + bytes);
  });

  it.each([
    ['a field of 65536 bytes', () => encodeField(Buffer.alloc(65_536))],
    ['a topic of 65536 bytes', () => encodePublish({ ...PLAIN, topic: 'a'.repeat(65_536) })],
    ['packet id 0 at QoS 1', () => encodePublish({ ...PLAIN, qos: 1, packetId: 0 })],
    ['packet id 65536', () => encodeAcks(ACK_HEADER.puback, [65_536])],
    ['a packet id that is no integer', () => encodeUnsuback(1.5)],
  ])('throws on %s', (_, encode) => {
    expect(encode).toThrow(expect.objectContaining({ code: 'SN_ERR_INTERNAL' }));
  });

  const PLAIN = {
    topic: 'a',
    payload: Buffer.alloc(0),
    qos: 0,
    retain: false,
    dup: false,
    packetId: 0,
  } as const;
});

describe('what mqtt-packet writes', () => {
  it('is accepted and read alike: PUBLISH', () => {
    fc.assert(
      fc.property(publish, ({ packetId: messageId, ...fields }) => {
        const bytes = generate({ cmd: 'publish', ...fields, payload: Buffer.from(fields.payload), messageId });
        const { buffer, header, body, end } = frameOf(bytes);
        expect(checkPacket(buffer, header, body, end)).toBeUndefined();
        const topicEnd = publishTopicEnd(buffer, body);
        expect(buffer.toString('utf8', body + 2, topicEnd)).toBe(fields.topic);
        expect(publishPacketId(buffer, header, topicEnd)).toBe(fields.qos === 0 ? 0 : messageId);
        expect(buffer.subarray(publishPayloadStart(header, topicEnd), end).equals(fields.payload)).toBe(true);
        expect(publishQos(header)).toBe(fields.qos);
        expect(publishRetain(header)).toBe(fields.retain);
        expect(publishDup(header)).toBe(fields.dup);
      }),
    );
  });

  it('is accepted and read alike: SUBSCRIBE and UNSUBSCRIBE', () => {
    const filters = fc.array(fc.record({ filter, qos }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(packetId, filters, (id, list) => {
        const subscriptions = list.map((entry) => ({ topic: entry.filter, qos: entry.qos }));
        const subscribe = frameOf(generate({ cmd: 'subscribe', messageId: id, subscriptions }));
        expect(checkPacket(subscribe.buffer, subscribe.header, subscribe.body, subscribe.end)).toBeUndefined();
        expect(readSubscribe(subscribe.buffer, subscribe.body, subscribe.end)).toEqual({ id, filters: list });

        const unsubscriptions = list.map((entry) => entry.filter);
        const unsubscribe = frameOf(generate({ cmd: 'unsubscribe', messageId: id, unsubscriptions }));
        expect(checkPacket(unsubscribe.buffer, unsubscribe.header, unsubscribe.body, unsubscribe.end)).toBeUndefined();
        expect(readUnsubscribe(unsubscribe.buffer, unsubscribe.body, unsubscribe.end)).toEqual({
          id,
          filters: unsubscriptions,
        });
      }),
    );
  });

  it('is accepted: acknowledgements, PINGREQ, DISCONNECT', () => {
    const packets: Packet[] = [
      { cmd: 'puback', messageId: 1 },
      { cmd: 'pubrec', messageId: 2 },
      { cmd: 'pubrel', messageId: 3 },
      { cmd: 'pubcomp', messageId: 65_535 },
      { cmd: 'pingreq' },
      { cmd: 'disconnect' },
    ];
    for (const packet of packets) {
      const { buffer, header, body, end } = frameOf(generate(packet));
      expect(checkPacket(buffer, header, body, end), packet.cmd).toBeUndefined();
    }
  });

  it('is accepted and read alike: CONNECT', () => {
    fc.assert(
      fc.property(connect, ({ keepalive, ...fields }) => {
        const { buffer, header, body, end } = frameOf(generate({ cmd: 'connect', keepalive, ...fields }));
        expect(readConnect(buffer, header, body, end)).toEqual({
          kind: 'accepted',
          connect: { protocolLevel: 4, keepaliveS: keepalive, ...fields },
        });
      }),
    );
  });
});

import { mismatch } from '../core/errors.js';
import { PACKET_TYPE, type Qos } from './packet-type.js';

/** MQTT 3.1.1 packets from their fields. A field that cannot be written is a fault of ours, so it throws. */

const FIELD_BYTES_MAX = 65_535;
/** What four length bytes can say [§2.2.3]. */
const REMAINING_BYTES_MAX = 268_435_455;

/** First byte of each acknowledgement. PUBREL has its reserved bits [MQTT-3.6.1-1]. */
export const ACK_HEADER = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;
export type AckHeader = (typeof ACK_HEADER)[keyof typeof ACK_HEADER];

/** Return codes of CONNACK [§3.2.2.3]. */
export const CONNACK_CODE = {
  accepted: 0,
  protocolLevel: 1,
  clientId: 2,
  unavailable: 3,
  badCredentials: 4,
  notAuthorized: 5,
} as const;

/** SUBACK's answer to a filter that is not granted [§3.9.3]. */
export const SUBACK_REFUSED = 128;

export const PINGRESP: Buffer = Buffer.of(PACKET_TYPE.pingresp << 4, 0);

export type PublishFields = {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 1–65535; with QoS 0 not written. */
  readonly packetId: number;
};

/** @throws SuperNodeError SN_ERR_INTERNAL: topic over 65535 bytes, packet over 256 MiB, packet id out of its range. */
export function encodePublish({ topic, payload, qos, retain, dup, packetId }: PublishFields): Buffer {
  const topicBytes = Buffer.byteLength(topic);
  const idBytes = qos === 0 ? 0 : 2;
  const header = (PACKET_TYPE.publish << 4) | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  const packet = startPacket(header, 2 + topicBytes + idBytes + payload.length);
  let at = packet.length - payload.length - idBytes - topicBytes - 2;
  at = writeUint16(packet, at, fieldLength(topicBytes));
  at += packet.write(topic, at);
  if (qos !== 0) at = writeUint16(packet, at, checkedPacketId(packetId));
  packet.set(payload, at);
  return packet;
}

/** One Buffer with an acknowledgement of the same kind for each id, in the order of the list. */
export function encodeAcks(header: AckHeader, packetIds: readonly number[]): Buffer {
  const packets = Buffer.allocUnsafe(4 * packetIds.length);
  let at = 0;
  for (const id of packetIds) {
    packets[at] = header;
    packets[at + 1] = 2;
    at = writeUint16(packets, at + 2, checkedPacketId(id));
  }
  return packets;
}

/** @param code 0–5 [§3.2.2.3]; only with 0 can a session be present [MQTT-3.2.2-4]. */
export function encodeConnack(code: number, sessionPresent: boolean): Buffer {
  return Buffer.of(PACKET_TYPE.connack << 4, 2, sessionPresent && code === CONNACK_CODE.accepted ? 1 : 0, code);
}

export function encodeSubscribe(
  id: number,
  filters: readonly { readonly filter: string; readonly qos: Qos }[],
): Buffer {
  const fields = filters.flatMap(({ filter, qos }) => [encodeField(filter), Buffer.of(qos)]);
  return encodePacket((PACKET_TYPE.subscribe << 4) | 2, [encodePacketId(id), ...fields]);
}

/** @param codes Granted QoS or 128, one for each filter, in their order [MQTT-3.9.3-1]. */
export function encodeSuback(id: number, codes: readonly number[]): Buffer {
  return encodePacket(PACKET_TYPE.suback << 4, [encodePacketId(id), Buffer.from(codes)]);
}

export function encodeUnsubscribe(id: number, filters: readonly string[]): Buffer {
  return encodePacket((PACKET_TYPE.unsubscribe << 4) | 2, [encodePacketId(id), ...filters.map(encodeField)]);
}

export function encodeUnsuback(id: number): Buffer {
  return encodePacket(PACKET_TYPE.unsuback << 4, [encodePacketId(id)]);
}

/** Any packet: first byte, remaining length, and the parts in their order. */
export function encodePacket(header: number, parts: readonly Uint8Array[]): Buffer {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const packet = startPacket(header, bytes);
  let at = packet.length - bytes;
  for (const part of parts) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

/** Text or bytes behind their length in two bytes [§1.5.3]. */
export function encodeField(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const field = Buffer.allocUnsafe(2 + bytes.length);
  field.set(bytes, writeUint16(field, 0, fieldLength(bytes.length)));
  return field;
}

function encodePacketId(id: number): Buffer {
  return Buffer.of(checkedPacketId(id) >> 8, id & 0xff);
}

/** A packet of the right size with its first byte and length written, and the rest still to be. */
function startPacket(header: number, remaining: number): Buffer {
  if (remaining > REMAINING_BYTES_MAX) {
    throw mismatch('SN_ERR_INTERNAL', 'packet', `at most ${REMAINING_BYTES_MAX} bytes`, remaining);
  }
  const lengthBytes = remaining < 128 ? 1 : remaining < 16_384 ? 2 : remaining < 2_097_152 ? 3 : 4;
  const packet = Buffer.allocUnsafe(1 + lengthBytes + remaining);
  packet[0] = header;
  let rest = remaining;
  for (let at = 1; at < lengthBytes; at++) {
    packet[at] = (rest & 0x7f) | 0x80;
    rest >>= 7;
  }
  packet[lengthBytes] = rest;
  return packet;
}

function writeUint16(target: Buffer, at: number, value: number): number {
  target[at] = value >> 8;
  target[at + 1] = value & 0xff;
  return at + 2;
}

function fieldLength(bytes: number): number {
  if (bytes <= FIELD_BYTES_MAX) return bytes;
  throw mismatch('SN_ERR_INTERNAL', 'field', `at most ${FIELD_BYTES_MAX} bytes`, bytes);
}

function checkedPacketId(id: number): number {
  if (Number.isInteger(id) && id >= 1 && id <= 65_535) return id;
  throw mismatch('SN_ERR_INTERNAL', 'packet id', '1 to 65535', id);
}

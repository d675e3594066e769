import { uint16At } from './bytes.js';
import { PACKET_NAME, PACKET_TYPE } from './packet-type.js';
import { checkPublish } from './publish-packet.js';
import { checkSubscribe, checkUnsubscribe } from './subscribe-packet.js';
import { type Violation, violation } from './violation.js';

/** Checks one packet of a client that is connected: everything but its first CONNECT.
 *  `body` and `end` are those of the FrameReader. Returns nothing for a packet that MQTT 3.1.1 allows. */
export function checkPacket(buffer: Buffer, header: number, body: number, end: number): Violation | undefined {
  const type = header >> 4;
  switch (type) {
    case PACKET_TYPE.publish:
      return checkPublish(buffer, header, body, end);
    case PACKET_TYPE.puback:
    case PACKET_TYPE.pubrec:
    case PACKET_TYPE.pubcomp:
      return checkFlags(header, 0) ?? checkAck(buffer, type, body, end);
    case PACKET_TYPE.pubrel:
      return checkFlags(header, 2) ?? checkAck(buffer, type, body, end);
    case PACKET_TYPE.subscribe:
      return checkFlags(header, 2) ?? checkSubscribe(buffer, body, end);
    case PACKET_TYPE.unsubscribe:
      return checkFlags(header, 2) ?? checkUnsubscribe(buffer, body, end);
    case PACKET_TYPE.pingreq:
    case PACKET_TYPE.disconnect:
      return checkFlags(header, 0) ?? checkEmpty(type, body, end);
    case PACKET_TYPE.connect:
      return violation('MQTT-3.1.0-2', 'CONNECT', 'one in a connection', 'a second one');
    default:
      return violation('§2.2.1', 'packet type', 'one that a client sends', nameOf(type));
  }
}

/** The reserved bits have fixed values [MQTT-2.2.2-1]; with others the connection is closed [MQTT-2.2.2-2]. */
export function checkFlags(header: number, expected: number): Violation | undefined {
  const flags = header & 0x0f;
  if (flags === expected) return undefined;
  return violation('MQTT-2.2.2-2', `${nameOf(header >> 4)} flags`, String(expected), String(flags));
}

function checkAck(buffer: Buffer, type: number, body: number, end: number): Violation | undefined {
  const bytes = end - body;
  if (bytes !== 2) return violation(`§3.${type}.1`, `${nameOf(type)} remaining length`, '2', String(bytes));
  if (uint16At(buffer, body) === 0) return violation(`§3.${type}.2`, `${nameOf(type)} packet id`, '1 to 65535', '0');
  return undefined;
}

function checkEmpty(type: number, body: number, end: number): Violation | undefined {
  const bytes = end - body;
  return bytes === 0 ? undefined : violation(`§3.${type}.1`, `${nameOf(type)} remaining length`, '0', String(bytes));
}

function nameOf(type: number): string {
  return PACKET_NAME[type] ?? 'nothing';
}

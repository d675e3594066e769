import { CUT, fieldEnd, uint16At } from './bytes.js';
import { type Qos, qosOf } from './packet-type.js';
import { checkTopicName } from './text-checks.js';
import { type Violation, violation } from './violation.js';

/** ```
 *  header      body       topicEnd
 *  |0011 DQQR| … |len|topic|packet id, QoS > 0 only|payload …|
 *  ```
 *  The readers below are for packets that passed the check. */

const DUP = 0x08;
const RETAIN = 0x01;

/** Nothing is allocated for a good packet with an ASCII topic: this runs for every message. */
export function checkPublish(buffer: Buffer, header: number, body: number, end: number): Violation | undefined {
  const qos = (header >> 1) & 3;
  if (qos === 3) return violation('MQTT-3.3.1-4', 'PUBLISH QoS', '0, 1 or 2', '3');
  if (qos === 0 && header & DUP) return violation('MQTT-3.3.1-2', 'PUBLISH DUP', '0 with QoS 0', '1');
  const topicEnd = fieldEnd(buffer, body, end);
  if (topicEnd === CUT) return violation('MQTT-3.3.2-1', 'PUBLISH topic', 'a whole field', 'the end of the packet');
  const fault = checkTopicName(buffer, body + 2, topicEnd, 'PUBLISH topic', 'MQTT-3.3.2-2');
  if (fault) return fault;
  if (qos === 0) return undefined;
  if (topicEnd + 2 > end) {
    return violation('MQTT-2.3.1-1', 'PUBLISH packet id', 'two bytes', 'the end of the packet');
  }
  if (uint16At(buffer, topicEnd) === 0) return violation('MQTT-2.3.1-1', 'PUBLISH packet id', '1 to 65535', '0');
  return undefined;
}

export function publishQos(header: number): Qos {
  return qosOf((header >> 1) & 3);
}

export function publishRetain(header: number): boolean {
  return (header & RETAIN) !== 0;
}

export function publishDup(header: number): boolean {
  return (header & DUP) !== 0;
}

/** The topic is `buffer[body + 2, topicEnd)`. */
export function publishTopicEnd(buffer: Buffer, body: number): number {
  return body + 2 + uint16At(buffer, body);
}

/** 0 with QoS 0, which has none. */
export function publishPacketId(buffer: Buffer, header: number, topicEnd: number): number {
  return publishQos(header) === 0 ? 0 : uint16At(buffer, topicEnd);
}

/** The payload is `buffer[payloadStart, end)`. */
export function publishPayloadStart(header: number, topicEnd: number): number {
  return publishQos(header) === 0 ? topicEnd : topicEnd + 2;
}

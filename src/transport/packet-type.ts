/** The upper four bits of a packet's first byte [§2.2.1]. The section of the specification has the same number:
 *  PUBLISH is type 3 and §3.3. */
export const PACKET_TYPE = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
} as const;

export const PACKET_NAME = [
  'reserved 0',
  'CONNECT',
  'CONNACK',
  'PUBLISH',
  'PUBACK',
  'PUBREC',
  'PUBREL',
  'PUBCOMP',
  'SUBSCRIBE',
  'SUBACK',
  'UNSUBSCRIBE',
  'UNSUBACK',
  'PINGREQ',
  'PINGRESP',
  'DISCONNECT',
  'reserved 15',
] as const;

export type Qos = 0 | 1 | 2;

/** 3 never passes the checks; here it would read as 0. */
export function qosOf(bits: number): Qos {
  return bits === 1 || bits === 2 ? bits : 0;
}

import { describe } from '../core/errors.js';
import { byteAt, CUT, fieldEnd, uint16At } from './bytes.js';
import { CONNACK_CODE, encodeConnack, encodeField, encodePacket } from './encode.js';
import { PACKET_TYPE, type Qos, qosOf } from './packet-type.js';
import { checkFlags } from './packets.js';
import { checkText, checkTopicName } from './text-checks.js';
import { type Violation, violation } from './violation.js';

/** ```
 *  |len|"MQTT"|level|flags|keepalive|len|client id|len|will topic|len|will payload|len|user name|len|password|
 *                                    always        will flag                       flag          flag
 *  ``` */

type Will = { readonly topic: string; readonly payload: Buffer; readonly qos: Qos; readonly retain: boolean };

/** What a client asks for in its CONNECT. Buffers are copies: they outlive the packet. */
export type ConnectInfo = {
  /** 4 is MQTT 3.1.1, 3 is MQTT 3.1. */
  readonly protocolLevel: 3 | 4;
  /** May be empty, in a clean session of level 4. */
  readonly clientId: string;
  readonly clean: boolean;
  /** Seconds; 0 means never. */
  readonly keepaliveS: number;
  readonly username?: string;
  readonly password?: Buffer;
  readonly will?: Will;
};

export type ConnectOutcome =
  | { readonly kind: 'accepted'; readonly connect: ConnectInfo }
  /** Write `connack`, then close [MQTT-3.2.2-5]. */
  | { readonly kind: 'refused'; readonly connack: Buffer; readonly violation: Violation }
  /** Close without a word [MQTT-3.1.4-1]. */
  | { readonly kind: 'closed'; readonly violation: Violation };

const FLAG = { reserved: 0x01, clean: 0x02, will: 0x04, willRetain: 0x20, password: 0x40, username: 0x80 } as const;

/** MQTT 3.1 clients may be counted on to keep to this; 3.1.1 has no bound. */
const CLIENT_ID_BYTES_MAX_3_1 = 23;

const REASON = 'this server speaks MQTT 3.1.1: choose protocol version 3.1.1 (level 4)';

/** Reads the packet that opens a connection.
 *  `body` and `end` are those of the FrameReader; the caller knows that its type is CONNECT [MQTT-3.1.0-1]. */
export function readConnect(buffer: Buffer, header: number, body: number, end: number): ConnectOutcome {
  const headerFault = checkFlags(header, 0);
  if (headerFault) return closed(headerFault);
  const nameEnd = fieldEnd(buffer, body, end);
  if (nameEnd === CUT || nameEnd + 1 > end) return closed(cut('protocol name and level'));
  const name = buffer.toString('latin1', body + 2, nameEnd);
  const level = byteAt(buffer, nameEnd);
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    return closed(violation('MQTT-3.1.2-1', 'CONNECT protocol name', '"MQTT" or "MQIsdp"', describe(name)));
  }
  const protocolLevel = knownLevel(name, level);
  if (protocolLevel === undefined) return refusedLevel(name, level);

  if (nameEnd + 4 > end) return closed(cut('flags and keepalive'));
  const flags = byteAt(buffer, nameEnd + 1);
  const flagFault = checkConnectFlags(flags);
  if (flagFault) return closed(flagFault);
  const payload = readPayload(buffer, flags, nameEnd + 4, end);
  if ('clause' in payload) return closed(payload);

  const connect = {
    protocolLevel,
    clean: (flags & FLAG.clean) !== 0,
    keepaliveS: uint16At(buffer, nameEnd + 2),
    ...payload,
  };
  const clientIdFault = checkClientId(connect);
  if (!clientIdFault) return { kind: 'accepted', connect };
  return { kind: 'refused', connack: encodeConnack(CONNACK_CODE.clientId, false), violation: clientIdFault };
}

function knownLevel(name: 'MQTT' | 'MQIsdp', level: number): 3 | 4 | undefined {
  if (name === 'MQTT' && level === 4) return 4;
  return name === 'MQIsdp' && level === 3 ? 3 : undefined;
}

/** An MQTT 5 client is told in its own language; what follows the level differs there, so it is not read. */
function refusedLevel(name: string, level: number): ConnectOutcome {
  const connack = name === 'MQTT' && level === 5 ? encodeConnack5() : encodeConnack(CONNACK_CODE.protocolLevel, false);
  const got = `${name} level ${level}`;
  return {
    kind: 'refused',
    connack,
    violation: violation('MQTT-3.1.2-2', 'CONNECT protocol level', 'MQTT level 4 or MQIsdp level 3', got),
  };
}

/** CONNACK of MQTT 5 §3.2: flags 0, 0x84 Unsupported Protocol Version, one property: 0x1F Reason String. */
function encodeConnack5(): Buffer {
  const reason = encodeField(REASON);
  return encodePacket(PACKET_TYPE.connack << 4, [Buffer.of(0, 0x84, 1 + reason.length, 0x1f), reason]);
}

function checkConnectFlags(flags: number): Violation | undefined {
  if (flags & FLAG.reserved) return violation('MQTT-3.1.2-3', 'CONNECT reserved flag', '0', '1');
  const willQos = willQosBits(flags);
  if (flags & FLAG.will) {
    if (willQos === 3) return violation('MQTT-3.1.2-14', 'CONNECT will QoS', '0, 1 or 2', '3');
  } else {
    // [MQTT-3.1.2-11] says both at once.
    if (willQos !== 0) return violation('MQTT-3.1.2-13', 'CONNECT will QoS', '0 without a will', String(willQos));
    if (flags & FLAG.willRetain) return violation('MQTT-3.1.2-15', 'CONNECT will retain', '0 without a will', '1');
  }
  if (flags & FLAG.password && !(flags & FLAG.username)) {
    return violation('MQTT-3.1.2-22', 'CONNECT password flag', '0 without a user name', '1');
  }
  return undefined;
}

type Payload = Pick<ConnectInfo, 'clientId' | 'will' | 'username' | 'password'>;

/** The fields that the flags announce, in their order [MQTT-3.1.3-1], and nothing behind them. */
function readPayload(buffer: Buffer, flags: number, from: number, end: number): Payload | Violation {
  const fields: (Buffer | undefined)[] = [];
  let at = from;
  for (const { what, flag, isText } of PAYLOAD_FIELDS) {
    if (flag !== undefined && !(flags & flag)) {
      fields.push(undefined);
      continue;
    }
    const to = fieldEnd(buffer, at, end);
    if (to === CUT) return cut(what);
    const fault = isText ? checkText(buffer, at + 2, to, `CONNECT ${what}`) : undefined;
    if (fault) return fault;
    fields.push(Buffer.from(buffer.subarray(at + 2, to)));
    at = to;
  }
  if (at !== end) return violation('§3.1.3', 'CONNECT', 'its end', `${end - at} more bytes`);
  const [clientId, willTopic, willPayload, username, password] = fields;
  const willFault = willTopic && checkTopicName(willTopic, 0, willTopic.length, 'CONNECT will topic', 'MQTT-4.7.1-1');
  if (willFault) return willFault;
  return {
    clientId: clientId?.toString() ?? '',
    ...(willTopic && willPayload ? { will: willOf(flags, willTopic, willPayload) } : {}),
    ...(username ? { username: username.toString() } : {}),
    ...(password ? { password } : {}),
  };
}

const PAYLOAD_FIELDS = [
  { what: 'client id', flag: undefined, isText: true },
  { what: 'will topic', flag: FLAG.will, isText: true },
  { what: 'will payload', flag: FLAG.will, isText: false },
  { what: 'user name', flag: FLAG.username, isText: true },
  { what: 'password', flag: FLAG.password, isText: false },
] as const;

function willOf(flags: number, topic: Buffer, payload: Buffer): Will {
  const retain = (flags & FLAG.willRetain) !== 0;
  return { topic: topic.toString(), payload, qos: qosOf(willQosBits(flags)), retain };
}

function willQosBits(flags: number): number {
  return (flags >> 3) & 3;
}

function checkClientId({ protocolLevel, clientId, clean }: ConnectInfo): Violation | undefined {
  const bytes = Buffer.byteLength(clientId);
  if (protocolLevel === 3) {
    if (bytes >= 1 && bytes <= CLIENT_ID_BYTES_MAX_3_1) return undefined;
    return violation('MQTT 3.1 §3.1', 'CONNECT client id', `1 to ${CLIENT_ID_BYTES_MAX_3_1} bytes`, String(bytes));
  }
  if (bytes > 0 || clean) return undefined;
  return violation('MQTT-3.1.3-8', 'CONNECT client id', 'one, to keep a session', 'none');
}

function cut(what: string): Violation {
  return violation('§3.1', `CONNECT ${what}`, 'whole fields', 'the end of the packet');
}

function closed(fault: Violation): ConnectOutcome {
  return { kind: 'closed', violation: fault };
}

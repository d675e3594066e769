import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

/** What is kept for sessions, on disk. Keys are text; a value is a line of JSON and what follows it as it is:
 *
 *  ```
 *  about              {"format": "super-node broker 1"}
 *  s<session>         {"id": "logger", "offline_since": 1700000000000, "subscriptions": [{"topic": "tele/#", "qos": 1}]}
 *  o<n>               {"session": "s…", "topic": "tele/x", "qos": 1, "messageId": 7, …} payload
 *  i<session>.<id>    {"session": "s…", "messageId": 7}
 *  r<n>               {"topic": "tele/x", "qos": 0, …} payload
 *  w<n>               {"clientId": "logger", "topic": "gone", …} payload
 *  ```
 *  Numbers are hexadecimal, of one length, and never used again: keys are in the order in which they were made. */
export const FORMAT = 'super-node broker 1';
export const ABOUT = 'about';

const NUMBER_DIGITS = 12;
const LINE_END = 10;
const Qos = Type.Union([Type.Literal(0), Type.Literal(1), Type.Literal(2)]);
const PacketId = Type.Integer({ minimum: 1, maximum: 65_535 });

const AboutSchema = Type.Object({ format: Type.String() });
const SubscriptionSchema = Type.Object({ topic: Type.String(), qos: Qos });
const SessionSchema = Type.Object({
  id: Type.String(),
  offline_since: Type.Optional(Type.Number()),
  subscriptions: Type.Array(SubscriptionSchema),
  takes: Type.Optional(Type.Array(SubscriptionSchema)),
});
const MessageSchema = Type.Object({
  cmd: Type.Optional(Type.String()),
  topic: Type.Optional(Type.String()),
  qos: Type.Optional(Qos),
  retain: Type.Optional(Type.Boolean()),
  messageId: Type.Optional(PacketId),
});
const OutgoingSchema = Type.Composite([MessageSchema, Type.Object({ session: Type.String() })]);
const IncomingSchema = Type.Object({ session: Type.String(), messageId: PacketId });
const RetainedSchema = Type.Composite([MessageSchema, Type.Object({ topic: Type.String() })]);
const WillSchema = Type.Composite([RetainedSchema, Type.Object({ clientId: Type.String() })]);

export type SessionRecord = Static<typeof SessionSchema>;

const SCHEMAS = { s: SessionSchema, o: OutgoingSchema, i: IncomingSchema, r: RetainedSchema, w: WillSchema } as const;
type Schemas = typeof SCHEMAS;
export type RecordKind = keyof Schemas;
type RecordOf<K extends RecordKind> = Static<Schemas[K]>;

export interface Loaded<K extends RecordKind> {
  readonly key: string;
  readonly record: RecordOf<K>;
  readonly payload: Buffer;
}

export function keyOf(kind: RecordKind, number: number): string {
  return kind + number.toString(16).padStart(NUMBER_DIGITS, '0');
}

export function numberOf(key: string): number {
  return Number.parseInt(key.slice(1, 1 + NUMBER_DIGITS), 16);
}

export function encodeRecord(record: object, payload?: string | Uint8Array): Buffer {
  const line = Buffer.from(`${JSON.stringify(record)}\n`);
  if (payload === undefined || payload.length === 0) return line;
  return Buffer.concat([line, typeof payload === 'string' ? Buffer.from(payload) : payload]);
}

/** A packet as it is, without its payload, and that. */
export function encodePacket(packet: { readonly payload?: string | Uint8Array }, more: object = {}): Buffer {
  const { payload, ...fields } = packet;
  return encodeRecord({ ...fields, ...more }, payload);
}

/** Undefined: it is none of ours. */
export function decodeRecord<K extends RecordKind>(kind: K, key: string, bytes: Uint8Array): Loaded<K> | undefined {
  const { value, payload } = split(bytes);
  const schema: Schemas[K] = SCHEMAS[kind];
  return Value.Check(schema, value) ? { key, record: value, payload } : undefined;
}

/** What a store says that it is. Undefined: nothing that we understand. */
export function formatOf(bytes: Uint8Array): string | undefined {
  const { value } = split(bytes);
  return Value.Check(AboutSchema, value) ? value.format : undefined;
}

function split(bytes: Uint8Array): { value: unknown; payload: Buffer } {
  const end = bytes.indexOf(LINE_END);
  const text = Buffer.from(bytes.subarray(0, Math.max(0, end))).toString();
  // The bytes are not ours to keep.
  const payload = Buffer.from(bytes.subarray(end + 1));
  try {
    return { value: JSON.parse(text), payload };
  } catch (error) {
    if (error instanceof SyntaxError) return { value: undefined, payload };
    throw error;
  }
}

import { type Static, Type } from '@sinclair/typebox';
import { LIMITS } from './limits.js';
import { exact, oneOf } from './schema-parts.js';
import { SIGNALS, TaskIdField, TaskSchema } from './task-schema.js';
import { DEAD_GROUP, GROUP_PATTERN } from './topics.js';

/** The shapes of requests. */

/** Fields that every JSON request may carry beside its own. */
const RequestFields = {
  transaction: Type.Optional(Type.Unknown({ description: 'Returned in the reply as it is.' })),
  reply_to: Type.Optional(
    Type.String({ maxLength: 1_024, description: 'Where the reply goes: `m/reply` or a topic below it.' }),
  ),
};

const TaskOnly = { task_id: TaskIdField };

const GroupName = Type.String({ pattern: GROUP_PATTERN, description: 'A group of takers.' });

const LeaseMs = Type.Integer({
  minimum: 1,
  maximum: LIMITS.leaseMsMax,
  description: 'How long a lease lasts from now.',
});

/** One of the two. */
const PayloadFields = {
  payload: Type.Optional(Type.Unknown({ description: 'Text goes out as it is, anything else as JSON.' })),
  payload_base64: Type.Optional(
    Type.String({ pattern: '^[A-Za-z0-9+/]*={0,2}$', description: 'Instead of `payload`: any bytes.' }),
  ),
};

export const COMMAND_SCHEMAS = {
  start: Type.Composite([TaskSchema, exact({ cmd: Type.Literal('start'), ...RequestFields })], {
    additionalProperties: false,
  }),
  stop: exact({ cmd: Type.Literal('stop'), ...TaskOnly, ...RequestFields }),
  restart: exact({ cmd: Type.Literal('restart'), ...TaskOnly, ...RequestFields }),
  remove: exact({ cmd: Type.Literal('remove'), ...TaskOnly, ...RequestFields }),
  signal: exact({
    cmd: Type.Literal('signal'),
    ...TaskOnly,
    sig: oneOf(SIGNALS, 'Signal for the whole process group.'),
    ...RequestFields,
  }),
  send: exact({
    cmd: Type.Literal('send'),
    ...TaskOnly,
    ...PayloadFields,
    ...RequestFields,
  }),
  call: exact({
    cmd: Type.Literal('call'),
    ...TaskOnly,
    ...PayloadFields,
    timeout_ms: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LIMITS.callTimeoutMsMax,
        default: LIMITS.callTimeoutMs,
        description: 'Longest wait for the whole answer.',
      }),
    ),
    ...RequestFields,
  }),
  logs: exact({
    cmd: Type.Literal('logs'),
    ...TaskOnly,
    lines: Type.Optional(
      Type.Integer({ minimum: 1, maximum: LIMITS.logTailLines, default: 100, description: 'How many, the newest.' }),
    ),
    ...RequestFields,
  }),
  purge: exact({
    cmd: Type.Literal('purge'),
    ...TaskOnly,
    group: Type.Optional(Type.Literal(DEAD_GROUP, { description: 'The dead entries alone.' })),
    ...RequestFields,
  }),
  requeue: exact({ cmd: Type.Literal('requeue'), ...TaskOnly, ...RequestFields }),
  remove_group: exact({ cmd: Type.Literal('remove_group'), ...TaskOnly, group: GroupName, ...RequestFields }),
  workers: exact({ cmd: Type.Literal('workers'), ...RequestFields }),
} as const;
export type CommandName = keyof typeof COMMAND_SCHEMAS;
export const COMMAND_NAMES = Object.keys(COMMAND_SCHEMAS) as CommandName[];

export const FetchSchema = exact({
  max: Type.Optional(
    Type.Integer({ minimum: 1, maximum: LIMITS.fetchEntriesMax, default: 1, description: 'Most entries.' }),
  ),
  max_bytes: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.fetchBytesMax,
      default: LIMITS.fetchBytes,
      description: 'Most bytes of payload together; the first entry is not held to it.',
    }),
  ),
  wait_ms: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: LIMITS.fetchWaitMsMax,
      default: 0,
      description: 'How long an empty queue may keep the answer waiting, which comes with the first entry.',
    }),
  ),
  lease_ms: Type.Optional(LeaseMs),
  group: Type.Optional(
    Type.String({ pattern: `${GROUP_PATTERN}|^\\$dead$`, description: 'Who takes: each group sees every entry.' }),
  ),
  from: Type.Optional(
    exact(
      {
        seq: Type.Optional(
          Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'From this one on.' }),
        ),
        ts: Type.Optional(
          Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'From this time on, ms.' }),
        ),
      },
      'Only looks at entries: nothing is taken.',
    ),
  ),
  encoding: Type.Optional(oneOf(['auto', 'base64'], 'base64: payloads of all entries as payload_base64.', 'auto')),
  ...RequestFields,
});

export type FetchWire = Static<typeof FetchSchema>;

export const AckSchema = exact({
  lease: Type.String({ minLength: 1, maxLength: 64, description: 'As the fetch gave it.' }),
  ok: Type.Optional(Type.Boolean({ description: 'true: settled. false: to be handed out again.' })),
  seqs: Type.Optional(
    Type.Array(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
      minItems: 1,
      maxItems: LIMITS.fetchEntriesMax,
      description: 'Only these of its entries.',
    }),
  ),
  lease_ms: Type.Optional(LeaseMs),
  ...RequestFields,
});

export const StatSchema = exact({ ...RequestFields });

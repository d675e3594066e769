import { type TSchema, Type } from '@sinclair/typebox';
import { count, duration, instant, lines, named, optional, TaskIdExample } from './reply-parts.js';
import { type CommandName, FetchSchema } from './request-schema.js';
import { oneOf } from './schema-parts.js';
import { TemplateSchema } from './task-schema.js';

/** The shapes of what the node answers, for the API documents. Nothing is checked against them while the node runs:
 *  test/contract/reply-schema.test.ts holds them against what a real node says. */

/** One of the two. */
const PayloadFields = {
  payload: optional(Type.String({ description: 'The bytes as text, when they are valid UTF-8.' })),
  payload_base64: optional(Type.String({ description: 'The bytes in base64, when they are not, or when asked for.' })),
};

const TransactionField = Type.Unknown({ description: 'As the request had it; missing when it had none.' });

export const ErrorReplySchema = named(
  'ErrorReply',
  {
    status: Type.Literal('error'),
    error: Type.String({ description: 'For people: what was concerned, what was expected, what came.' }),
    code: Type.String({ pattern: '^SN_ERR_[A-Z_]+$', description: 'For programs.' }),
    transaction: optional(TransactionField),
    data: optional(
      Type.Object(
        { entries: count('Entries that are in the queue all the same.') },
        { description: 'Of a put of several entries over HTTP.' },
      ),
    ),
  },
  'The request was not carried out.',
  { status: 'error', error: 'task_id: expected a task of this node, got "cam9"', code: 'SN_ERR_TASK_UNKNOWN' },
);

/** The envelope of an answer that holds `data`. */
export function okReply<T extends TSchema>(title: string, data: T) {
  return Type.Object(
    { status: Type.Literal('ok'), data, transaction: optional(TransactionField) },
    { title, description: 'The request was carried out.' },
  );
}

export const EntrySchema = named(
  'Entry',
  {
    task_id: TaskIdExample,
    seq: Type.Integer({
      minimum: 1,
      description: 'Counts from 1 within the queue; a gap means that entries are gone.',
    }),
    ts: instant('When the node took it.'),
    attempts: count('1 at the first hand-out, one more each time it comes back; 0 when it was only looked at.'),
    topic: optional(Type.String({ description: 'The topic it came on, when a route copied it from there.' })),
    ...PayloadFields,
  },
  'One datum in the queue of a task.',
  { task_id: 'host', seq: 41, ts: 1_767_225_600_000, attempts: 1, payload: '{"load":[0.1,0.1,0.1]}' },
);

export const LiveEntrySchema = named(
  'LiveEntry',
  { ts: instant('When it was told.'), ...PayloadFields },
  'A live copy of what was put.',
  { ts: 1_767_225_600_000, payload: '{"load":[0.1,0.1,0.1]}' },
);

export const LiveEntryOfAllSchema = named(
  'LiveEntryOfAll',
  { task_id: TaskIdExample, ts: instant('When it was told.'), ...PayloadFields },
  'A live copy of what was put, among those of all tasks.',
  { task_id: 'host', ts: 1_767_225_600_000, payload: '{"load":[0.1,0.1,0.1]}' },
);

export const LogLineOfAllSchema = named(
  'LogLineOfAll',
  {
    task_id: TaskIdExample,
    ts: instant('When it was told.'),
    line: Type.String({ description: 'As it was written.' }),
  },
  'A line of output, among those of all tasks.',
  { task_id: 'host', ts: 1_767_225_600_000, line: 'listening on 8080' },
);

export const FetchDataSchema = named(
  'FetchData',
  {
    entries: Type.Array(EntrySchema, { description: 'In order; empty when there are none.' }),
    epoch: optional(
      Type.String({ description: '(`epoch`, `seq`) never comes twice for a task. Missing in a fetch of all tasks.' }),
    ),
    dropped: optional(count('Entries that the bounds evicted since the epoch began.')),
    remaining: optional(count('Entries that can be fetched next.')),
    lease: optional(Type.String({ description: 'With `lease_ms`: what `m/ack` is to name.' })),
  },
  'Entries that were taken, or with `from` only looked at: then `entries` alone.',
);

export const AckDataSchema = named(
  'AckData',
  {
    lease: Type.String(),
    settled: optional(count('Entries that left the queue.')),
    returned: optional(count('Entries that are to be handed out again.')),
    extended: optional(count('Entries whose lease lasts longer now.')),
    lease_ms: optional(duration('How long the lease lasts from now, where it was extended.')),
  },
  'What the lease was ended or extended for.',
  { lease: 'q3Zk0vQb1xTt9aLw', settled: 3 },
);

export const CallPartSchema = named(
  'CallPart',
  {
    part: Type.Integer({ minimum: 1, description: 'Counts from 1.' }),
    last: Type.Boolean({ description: 'True on the final one.' }),
    ...PayloadFields,
    worker_id: Type.String({ description: 'The worker that answers.' }),
  },
  'A part of the answer to a call.',
  { part: 1, last: true, payload: '4', worker_id: 'calc~2' },
);

const OutputLineSchema = named(
  'OutputLine',
  {
    ts: instant('When it was read.'),
    stream: oneOf(['stdout', 'stderr'], 'Where it was written.'),
    line: Type.String(),
    worker_id: optional(Type.String({ description: 'The worker, in a pool.' })),
  },
  'A line of output.',
);

/** A put has no `transaction`: its body is the entry. */
export const PutReplySchema = named(
  'PutReply',
  {
    status: Type.Literal('ok'),
    data: Type.Object({
      entries: count('Entries that are in the queue, or were dropped by the policy of the task and counted.'),
    }),
  },
  'The answer to a put over HTTP.',
  { status: 'ok', data: { entries: 1 } },
);

const ChannelsDataSchema = named('ChannelsData', { channels: count('Channels that it went to.') }, 'How many got it.');

const WorkerTemplateSchema = named(
  'WorkerTemplate',
  {
    name: Type.String(),
    ...TemplateSchema.properties,
    env: optional(lines('Names of variables; the values stay in the node.')),
  },
  'What may be started.',
);

const TaskData = named('TaskData', { task_id: TaskIdExample }, 'The task.', { task_id: 'host' });

/** `data` of the reply to each command. */
export const COMMAND_DATA_SCHEMAS = {
  start: TaskData,
  stop: TaskData,
  restart: TaskData,
  remove: TaskData,
  signal: TaskData,
  send: ChannelsDataSchema,
  call: CallPartSchema,
  logs: named('LogsData', { lines: Type.Array(OutputLineSchema) }, 'The newest lines, the oldest of them first.'),
  purge: named('PurgeData', { purged: count('Entries that were forgotten.') }, 'What was forgotten.'),
  requeue: named('RequeueData', { requeued: count('Dead entries that are handed out again.') }, 'What lives again.'),
  remove_group: named('GroupData', { task_id: TaskIdExample, group: Type.String() }, 'The group that was forgotten.'),
  workers: named('WorkersData', { workers: Type.Array(WorkerTemplateSchema) }, 'The templates of the config.'),
} as const satisfies Record<CommandName, TSchema>;

/** What goes in and out of the JSON WebSocket of a worker, beside entries and raw commands. */
export const WORKER_SOCKET_SCHEMAS = {
  call: named(
    'SocketCall',
    { call: Type.String({ description: 'Names the call in its answer.' }), ...PayloadFields },
    'A question; the answer is lines with `reply`.',
    { call: 'k3J9', payload: '2+2' },
  ),
  cancel: named('SocketCancel', { cancel: Type.String() }, 'Nobody waits for that answer any more.', {
    cancel: 'k3J9',
  }),
  answer: named(
    'SocketAnswer',
    {
      reply: Type.String({ description: 'The call.' }),
      payload: optional(Type.Unknown({ description: 'Text as it is, anything else as JSON.' })),
      payload_base64: optional(Type.String({ description: 'Instead of `payload`: any bytes.' })),
      last: optional(Type.Boolean({ default: false, description: 'True on the last part.' })),
      error: optional(Type.Unknown({ description: 'A failure, as text; null is none.' })),
    },
    'A part of the answer to a call, or its failure.',
    { reply: 'k3J9', payload: '4', last: true },
  ),
  taken: named(
    'SocketTaken',
    { taken: count('Entries of this socket, from its opening on, that are in the queue for good.') },
    'Told with `?acks=true`.',
    { taken: 12 },
  ),
};

/** The body of a fetch over HTTP as query parameters: `from` is cut in two. */
export const FETCH_QUERY_SCHEMA = Type.Object({
  max: FetchSchema.properties.max,
  max_bytes: FetchSchema.properties.max_bytes,
  wait_ms: FetchSchema.properties.wait_ms,
  lease_ms: FetchSchema.properties.lease_ms,
  group: FetchSchema.properties.group,
  from_seq: FetchSchema.properties.from.properties.seq,
  from_ts: FetchSchema.properties.from.properties.ts,
  encoding: FetchSchema.properties.encoding,
  transaction: optional(Type.String({ description: 'Returned in the envelope, as text.' })),
});

import { Type } from '@sinclair/typebox';
import { TaskIdExample } from '../core/reply-parts.js';
import {
  AckDataSchema,
  CallPartSchema,
  COMMAND_DATA_SCHEMAS,
  EntrySchema,
  ErrorReplySchema,
  FETCH_QUERY_SCHEMA,
  FetchDataSchema,
  LiveEntryOfAllSchema,
  LiveEntrySchema,
  LogLineOfAllSchema,
  okReply,
  PutReplySchema,
} from '../core/reply-schema.js';
import { AckSchema, COMMAND_NAMES, COMMAND_SCHEMAS, FetchSchema } from '../core/request-schema.js';
import { EventSchema, InfoSchema, NodeStatSchema, TaskStatSchema } from '../core/status-schema.js';
import { type JsonObject, type JsonValue, plain, titled } from './schema-components.js';

/** What the routes' documentation is made of. Bodies and answers are given by media type. */

export const TASK_PARAMS = plain(Type.Object({ task: TaskIdExample }));

const BYTES: JsonObject = { type: 'string', format: 'binary' };
const TEXT: JsonObject = { type: 'string' };
const ANY_JSON: JsonObject = { description: 'Any JSON.' };

/** @param schema Of each line of NDJSON */
const linesOf = (schema: JsonObject, description: string): JsonObject => ({
  type: 'string',
  description,
  'x-line': schema,
});

/** Whatever a worker is to get or a queue to hold: the bytes count, not their type. */
export const ANY_BODY: JsonObject = {
  content: {
    'text/plain': { schema: { ...TEXT, examples: ['hello'] } },
    'application/json': { schema: { ...ANY_JSON, examples: [{ interval_ms: 500 }] } },
    'application/octet-stream': { schema: BYTES },
  },
};

export const PUT_BODY: JsonObject = {
  content: {
    'text/plain': { schema: { ...TEXT, examples: ['21.5'] } },
    'application/json': { schema: { ...ANY_JSON, examples: [{ celsius: 21.5 }] } },
    'application/x-ndjson': {
      schema: {
        ...TEXT,
        description: 'Each line that is not empty is one entry.',
        examples: ['{"celsius":21.5}\n{"celsius":21.6}\n'],
      },
    },
    'application/octet-stream': { schema: BYTES },
  },
};

export const PUT_HEADERS: JsonObject = {
  type: 'object',
  properties: {
    'Content-Encoding': { type: 'string', enum: ['gzip'], description: 'The body is compressed.' },
  },
};

const COMMAND_TITLES = {
  start: 'StartCommand',
  stop: 'StopCommand',
  restart: 'RestartCommand',
  remove: 'RemoveCommand',
  signal: 'SignalCommand',
  send: 'SendCommand',
  call: 'CallCommand',
  logs: 'LogsCommand',
  purge: 'PurgeCommand',
  requeue: 'RequeueCommand',
  remove_group: 'RemoveGroupCommand',
  workers: 'WorkersCommand',
} as const satisfies Record<keyof typeof COMMAND_SCHEMAS, string>;

/** Each command; its title is the name of its shape. */
export const COMMANDS: readonly { readonly title: string; readonly schema: JsonObject }[] = COMMAND_NAMES.map(
  (name) => ({
    title: COMMAND_TITLES[name],
    schema: titled(COMMAND_TITLES[name], COMMAND_SCHEMAS[name]),
  }),
);

/** Any command. */
export const COMMAND: JsonObject = {
  title: 'Command',
  description: 'A command; its name in `cmd` says which.',
  oneOf: COMMANDS.map(({ schema }) => schema),
  examples: [
    { cmd: 'workers' },
    { cmd: 'start', task_id: 'host2', worker: 'host', start_params: '500' },
    { cmd: 'call', task_id: 'calc', payload: '2+2', timeout_ms: 5_000 },
    { cmd: 'stop', task_id: 'host2' },
  ],
};
export const FETCH = titled('Fetch', FetchSchema, { max: 10, wait_ms: 1_000 });
export const ACK = titled('Ack', AckSchema, { lease: 'q3Zk0vQb1xTt9aLw', ok: true });

const CallAnswerSchema = Type.Object(
  {
    ...CallPartSchema.properties,
    parts: Type.Optional(
      Type.Array(CallPartSchema, { description: 'The parts before the last one, if there are any.' }),
    ),
  },
  { title: 'CallAnswer', description: 'The last part of the answer to a call, with those before it.' },
);
const { call: _, start, send, logs, purge, requeue, remove_group, workers } = COMMAND_DATA_SCHEMAS;
const DATA_OF_COMMANDS = [start, send, CallAnswerSchema, logs, purge, requeue, remove_group, workers];

/** Several commands answer with a task; `anyOf`, because all shapes are open. */
const COMMAND_REPLY = plain(okReply('CommandReply', Type.Union(DATA_OF_COMMANDS, { description: 'By command.' })));
const PART_REPLY = plain(okReply('PartReply', CallPartSchema));

export const COMMAND_ANSWER: JsonObject = {
  description: 'The command was carried out.',
  content: {
    'application/json': { schema: COMMAND_REPLY },
    'application/x-ndjson': {
      schema: linesOf(PART_REPLY, 'One envelope a line, as the parts of the answer come; the last may be an error.'),
    },
  },
};

const FETCH_HEADERS: JsonObject = {
  'SN-Epoch': { type: 'string', description: 'The epoch of the queue.' },
  'SN-Dropped': { type: 'integer', description: 'Entries that the bounds evicted since the epoch began.' },
  'SN-Remaining': { type: 'integer', description: 'Entries that can be fetched next.' },
  'SN-Lease': { type: 'string', description: 'With `lease_ms`: what `m/ack` is to name.' },
};
const ENTRY_HEADERS: JsonObject = {
  'SN-Task': { type: 'string', description: 'Of a raw entry: its task.' },
  'SN-Seq': { type: 'integer', description: 'Of a raw entry: its number in the queue.' },
  'SN-Timestamp': { type: 'integer', description: 'Of a raw entry: when the node took it, ms since 1970-01-01 UTC.' },
  'SN-Attempts': { type: 'integer', description: 'Of a raw entry: 1 at the first hand-out.' },
  'SN-Topic': { type: 'string', description: 'Of a raw entry: the topic that a route copied it from.' },
};

export const FETCH_ANSWER: JsonObject = {
  description: 'Entries. They are settled once this is written, and given back if the connection breaks before.',
  headers: { ...FETCH_HEADERS, ...ENTRY_HEADERS },
  content: {
    'application/json': { schema: plain(okReply('FetchReply', FetchDataSchema)) },
    'application/x-ndjson': { schema: linesOf(plain(EntrySchema), 'One entry a line.') },
    'application/octet-stream': { schema: BYTES },
  },
};
export const NO_ENTRY: JsonObject = { type: 'null', description: 'Of `application/octet-stream`: there is no entry.' };

const QUERY = plain(FETCH_QUERY_SCHEMA);
const { from_seq: _seq, from_ts: _ts, ...taking } = Object(QUERY.properties);
/** A look at entries is of one task. */
export const FETCH_TASK_QUERY = QUERY;
export const FETCH_QUERY: JsonObject = { ...QUERY, properties: taking };

function answerOf(description: string, schema: JsonObject): JsonObject {
  return { description, content: { 'application/json': { schema } } };
}

export const SENT_ANSWER = answerOf('So many channels got it.', plain(okReply('SendReply', COMMAND_DATA_SCHEMAS.send)));
export const ACK_ANSWER = answerOf('Done, for so many entries.', plain(okReply('AckReply', AckDataSchema)));
export const NODE_ANSWER = answerOf('The node and its tasks.', plain(okReply('NodeStatReply', NodeStatSchema)));
export const TASK_ANSWER = answerOf('The task.', plain(okReply('TaskStatReply', TaskStatSchema)));
export const PUT_ANSWER = answerOf(
  'In the queue (with `storage: disk` flushed), or dropped by the policy of the task and counted: what a PUBACK means.',
  plain(PutReplySchema),
);

const CHECK: JsonObject = { type: 'object', required: ['ok'], properties: { ok: { type: 'boolean' } } };
const READINESS: JsonObject = {
  title: 'Readiness',
  type: 'object',
  required: ['ready', 'checks'],
  properties: {
    ready: { type: 'boolean' },
    checks: {
      type: 'object',
      description: 'What was looked at: each with `ok`, and with what is wrong.',
      additionalProperties: CHECK,
      examples: [
        { listeners: { ok: true }, store: { ok: true }, tasks: { ok: true, total: 3, waiting: [], trouble: [] } },
      ],
    },
  },
};
export const READY_ANSWER = answerOf('It can.', READINESS);
export const UNREADY_ANSWER = answerOf('It cannot, or it is shutting down.', {
  anyOf: [READINESS, plain(ErrorReplySchema)],
});
export const HEALTH_ANSWER = answerOf('It is alive.', {
  title: 'HealthReply',
  type: 'object',
  required: ['status', 'data'],
  properties: {
    status: { const: 'ok' },
    data: { type: 'object', properties: { name: { type: 'string' }, version: { type: 'string' } } },
  },
});

export const STREAM_HEADERS: JsonObject = {
  type: 'object',
  properties: {
    'Last-Event-ID': {
      type: 'string',
      description: 'Go on behind the message with this id, as far as it is still held.',
    },
  },
};

const EPOCH = 'q3Zk0vQb';
const LIVE_ENTRY = plain(LiveEntrySchema);
const LIVE_ENTRY_OF_ALL = plain(LiveEntryOfAllSchema);
const LOG_LINE_OF_ALL = plain(LogLineOfAllSchema);
const EVENT = plain(EventSchema);

/** Messages that do not end, each with an id. */
function stream(description: string, data: JsonObject, example: JsonValue): JsonObject {
  const line = typeof example === 'string' ? example : JSON.stringify(example);
  const schema = { ...TEXT, examples: [`id: ${EPOCH}-7\ndata: ${line}\n\n`], 'x-data': data };
  return { description, content: { 'text/event-stream': { schema } } };
}

const exampleIn = ({ examples }: JsonObject): JsonValue => (Array.isArray(examples) ? examples[0] : undefined);

export const EVENT_STREAM = stream('One message an event.', EVENT, exampleIn(EVENT));
export const DATA_STREAM = stream('One message a put.', LIVE_ENTRY, exampleIn(LIVE_ENTRY));
export const ALL_DATA_STREAM = stream('One message a put.', LIVE_ENTRY_OF_ALL, exampleIn(LIVE_ENTRY_OF_ALL));
export const ALL_LOG_STREAM = stream('One message a line.', LOG_LINE_OF_ALL, exampleIn(LOG_LINE_OF_ALL));
export const LOG_STREAM = stream('One message a line.', TEXT, 'listening on 8080');

export function text(description: string, type: string): JsonObject {
  return { description, content: { [type]: { schema: TEXT } } };
}

export function json(description: string, schema: JsonObject): JsonObject {
  return answerOf(description, schema);
}

export const INFO_ANSWER = json('As on `m/info`.', plain(InfoSchema));

import type { TSchema } from '@sinclair/typebox';
import {
  AckDataSchema,
  COMMAND_DATA_SCHEMAS,
  ErrorReplySchema,
  FetchDataSchema,
  okReply,
  WORKER_SOCKET_SCHEMAS,
} from '../core/reply-schema.js';
import { StatSchema } from '../core/request-schema.js';
import {
  EventSchema,
  InfoSchema,
  NodeStateSchema,
  NodeStatSchema,
  TaskStateSchema,
  TaskStatSchema,
  UsageSchema,
  WorkerReportSchema,
} from '../core/status-schema.js';
import { ACK, COMMANDS, FETCH } from './openapi-parts.js';
import { type JsonObject, plain, titled } from './schema-components.js';

/** The messages of the AsyncAPI document, by name. */

const DATA = COMMAND_DATA_SCHEMAS;

/** Told apart by `transaction`. */
const CORRELATION: JsonObject = {
  correlationId: { description: 'Returned as it is.', location: '$message.payload#/transaction' },
};

const json = (summary: string, payload: JsonObject): JsonObject => ({
  summary,
  contentType: 'application/json',
  payload,
});
const request = (summary: string, payload: JsonObject): JsonObject => ({ ...json(summary, payload), ...CORRELATION });
const reply = (title: string, summary: string, data: TSchema): JsonObject =>
  request(summary, plain(okReply(title, data)));
const text = (summary: string, payload: JsonObject): JsonObject => ({ summary, contentType: 'text/plain', payload });
const bytes = (summary: string): JsonObject => ({ summary, contentType: 'application/octet-stream' });

const commandMessages = Object.fromEntries(
  COMMANDS.map(({ title, schema }) => [title.charAt(0).toLowerCase() + title.slice(1), request('A command.', schema)]),
);
export const COMMAND_MESSAGES = Object.keys(commandMessages);

/** Start, stop, restart, remove and signal are answered alike. */
const commandReplies: Record<string, JsonObject> = {
  taskReply: reply('TaskReply', 'The command on a task was carried out.', DATA.start),
  callReply: reply('PartReply', 'A part of the answer to a call.', DATA.call),
  sendReply: reply('SendReply', 'So many channels got it.', DATA.send),
  logsReply: reply('LogsReply', 'The newest lines of output.', DATA.logs),
  purgeReply: reply('PurgeReply', 'So many entries were forgotten.', DATA.purge),
  requeueReply: reply('RequeueReply', 'So many entries are handed out again.', DATA.requeue),
  removeGroupReply: reply('RemoveGroupReply', 'The group was forgotten.', DATA.remove_group),
  workersReply: reply('WorkersReply', 'The templates.', DATA.workers),
};
export const COMMAND_REPLIES = Object.keys(commandReplies);

export const MESSAGES: Readonly<Record<string, JsonObject>> = {
  ...commandMessages,
  ...commandReplies,
  errorReply: request('The request was not carried out.', plain(ErrorReplySchema)),
  fetchRequest: request('Asks for entries; an empty payload asks for the next one.', FETCH),
  fetchReply: reply('FetchReply', 'Entries.', FetchDataSchema),
  ackRequest: request('Ends or extends a lease.', ACK),
  ackReply: reply('AckReply', 'Done, for so many entries.', AckDataSchema),
  statRequest: request('Asks for the status; the payload may be empty.', titled('Stat', StatSchema)),
  nodeStatReply: reply('NodeStatReply', 'The node and its tasks.', NodeStatSchema),
  taskStatReply: reply('TaskStatReply', 'The task.', TaskStatSchema),
  entry: bytes('An entry: any bytes.'),
  rawCommand: bytes('Bytes for a worker, handed on as they are.'),
  rawCall: bytes('A question; its answer comes below `reply`.'),
  cancel: bytes('Nobody waits for the answer any more; empty.'),
  answer: bytes('A part of the answer; the last one may be empty.'),
  failure: text('Why the call failed.', { type: 'string' }),
  workerReport: text('Birth, goodbye or last will.', plain(WorkerReportSchema)),
  nodeState: text('Whether the node runs.', plain(NodeStateSchema)),
  taskState: json('The state of a task; empty once the task is removed.', plain(TaskStateSchema)),
  info: json('What the node is.', plain(InfoSchema)),
  event: json('Something happened.', plain(EventSchema)),
  usage: json('What a task takes.', plain(UsageSchema)),
  outputLine: text('A line of output.', { type: 'string' }),
  socketCall: json('A call, as a text message.', plain(WORKER_SOCKET_SCHEMAS.call)),
  socketCancel: json('The end of a call, as a text message.', plain(WORKER_SOCKET_SCHEMAS.cancel)),
  socketAnswer: json('A part of an answer, as a text message.', plain(WORKER_SOCKET_SCHEMAS.answer)),
  socketTaken: json('How many entries are in the queue for good.', plain(WORKER_SOCKET_SCHEMAS.taken)),
};

import { Type } from '@sinclair/typebox';
import { count, duration, instant, lines, named, optional, TaskIdExample } from './reply-parts.js';
import { RESTART_CAUSES } from './restart-causes.js';
import { oneOf } from './schema-parts.js';
import { QueueSchema, TaskSchema } from './task-schema.js';
import { WORKER_REPORTS } from './topics.js';

/** The shapes of what the node tells of itself and its tasks; like those of reply-schema.ts they are for the API
 *  documents, and held against a real node by a test. */

export const TASK_STATES = [
  'pending',
  'starting',
  'ready',
  'stopping',
  'stopped',
  'backoff',
  'exited',
  'failed',
  'unkillable',
  'sleeping',
  'lost',
] as const;

const GenerationField = count('Starts so far.');
const ChannelCountField = count('Open connections of its workers.');

/** How a task or a worker stands. */
const StandingFields = {
  state: oneOf(TASK_STATES, '`sleeping` and `lost` are states of net tasks alone.'),
  ts: instant('Since when.'),
  pid: optional(Type.Integer({ minimum: 1, description: 'Of the running child.' })),
  cause: optional(oneOf(RESTART_CAUSES, 'Why it was ended or restarted last.')),
  exit_code: optional(Type.Union([Type.Integer(), Type.Null()], { description: 'How its process ended last.' })),
  signal: optional(Type.Union([Type.String(), Type.Null()], { description: 'How its process ended last.' })),
  rss_kb: optional(
    count('Resident memory of the process tree: of the running one, else when last seen before its end.'),
  ),
  next_start_ts: optional(instant('When it is tried again, in `backoff`.')),
  error: optional(Type.String({ description: 'Why its program could not be started, with cause `spawn_error`.' })),
};

const StderrField = optional(lines('The last lines it wrote to stderr before the end.'));

const StateFields = {
  task_id: TaskIdExample,
  ...StandingFields,
  kind: oneOf(['process', 'net'], '`process`: the node starts it. `net`: clients connect by themselves.'),
  storage_error: optional(Type.String({ description: 'Why nothing can be put into its queue on disk now.' })),
};

export const TaskStateSchema = named(
  'TaskState',
  {
    ...StateFields,
    stderr: StderrField,
    generation: optional(GenerationField),
    channels: optional(ChannelCountField),
    workers: optional(
      Type.Record(Type.String(), Type.Integer(), { description: 'Of a pool: how many in which state.' }),
    ),
  },
  'The state of a task. A job that goes well tells neither `generation` nor `channels`: each run is another process.',
  { task_id: 'host', state: 'ready', ts: 1_767_225_600_000, kind: 'process', generation: 1, channels: 1, pid: 4711 },
);

const UsageFields = {
  cpu_percent: optional(Type.Number({ minimum: 0, description: 'A share of one core, of the whole process trees.' })),
  rss_kb: optional(count('Resident memory of the whole process trees. KiB.')),
  children: optional(count('Processes beside the workers themselves.')),
};

export const UsageSchema = named(
  'Usage',
  {
    task_id: TaskIdExample,
    ts: instant('Of the sample.'),
    ...UsageFields,
    queue: Type.Object({ length: count('Entries.'), bytes: count('Payload bytes.'), dropped: count('Dropped ever.') }),
  },
  'What a task takes. A net task has only its queue.',
);

const CauseCounts = Type.Record(Type.String(), Type.Integer(), { description: 'How many, by cause.' });

const ChannelSchema = named(
  'Channel',
  {
    client_id: Type.String(),
    worker_id: optional(Type.String({ description: 'The worker, in a pool.' })),
    address: optional(Type.String()),
    keepalive_s: Type.Number({ description: 'Seconds.' }),
    last_seen_ms: duration('How long ago anything was heard on it.'),
  },
  'A connection of a worker.',
);

const WorkerStatusSchema = named(
  'WorkerStatus',
  {
    worker_id: Type.String(),
    ...StandingFields,
    ...UsageFields,
    generation: GenerationField,
    channels: ChannelCountField,
    restarts: CauseCounts,
    calls: count('Calls under way.'),
  },
  'One worker of a pool.',
);

const GroupStatusSchema = Type.Object({
  ready: count('Entries that it can be handed.'),
  leased: count('Entries that it has on lease.'),
  dropped: count('Entries that it lost to the bounds.'),
});

const QueueStatusSchema = named(
  'QueueStatus',
  {
    length: optional(count('Entries, leased ones included.')),
    ready: optional(count('Entries that the default group can be handed.')),
    bytes: optional(count('Payload bytes.')),
    seq: optional(count('The newest; 0 before the first.')),
    dropped: optional(count('Lost to the bounds since the epoch began.')),
    discarded: optional(count('Put while the task was stopped.')),
    epoch: optional(Type.String()),
    bounds: optional(Type.Object(QueueSchema.properties)),
    storage_error: optional(Type.String({ description: 'Why nothing can be put now.' })),
    dead: optional(count('Entries that were given back too often.')),
    groups: optional(Type.Record(Type.String(), GroupStatusSchema)),
  },
  'The queue of a task.',
);

const RunSchema = named(
  'LastRun',
  {
    started_ts: optional(instant('When it began.')),
    duration_ms: Type.Number({ minimum: 0, description: 'How long it took. Milliseconds.' }),
    exit_code: StandingFields.exit_code,
    signal: StandingFields.signal,
    cause: StandingFields.cause,
    stdout: lines('Its last lines.'),
    stderr: lines('Its last lines.'),
  },
  'The last run of a job.',
);

const StatusFields = {
  ...StateFields,
  ...UsageFields,
  generation: GenerationField,
  restarts: CauseCounts,
  restarts_total: count('How many in all.'),
  uptime_ms: optional(Type.Number({ minimum: 0, description: 'Of the running child. Milliseconds.' })),
  last_seen_ms: optional(duration('How long ago anything was heard of it, on its channels or by a put.')),
  instances: optional(Type.Integer({ description: 'Of a pool: its workers.' })),
  // Of one worker the state has nothing to count, of a pool this list stands in place of the counts.
  workers: optional(Type.Array(WorkerStatusSchema)),
  runs: optional(count('Of a job: runs so far.')),
  runs_failed: optional(count('Of a job: runs that went wrong.')),
  missed_runs: optional(count('Of a job: runs that the one before held up.')),
  calls: optional(Type.Object({ in_flight: count('Under way.'), total: count('Ever.'), failed: count('Ever.') })),
  channels: Type.Array(ChannelSchema),
  queue: QueueStatusSchema,
};

const TaskSummarySchema = named('TaskSummary', StatusFields, 'How a task stands.');

export const TaskStatSchema = named(
  'TaskStat',
  {
    ...StatusFields,
    stderr: StderrField,
    next_run_ts: optional(instant('Of a job: when it runs next.')),
    last_run: optional(RunSchema),
    record: optional(
      Type.Object(
        { ...TaskSchema.properties, env: lines('Names of variables; the values stay in the node.') },
        { description: 'All fields of the task, defaults filled in.' },
      ),
    ),
  },
  'How a task stands, with its record.',
);

export const NodeStatSchema = named(
  'NodeStat',
  {
    name: Type.String(),
    version: Type.String(),
    uptime_ms: duration('Since the start of the node.'),
    connections: count('Open connections.'),
    queue_bytes: count('Payload bytes of all queues.'),
    calls: Type.Object({ in_flight: count('Under way.'), late: count('Answers that nobody waited for.') }),
    events: Type.Record(Type.String(), Type.Integer(), { description: 'Events so far, by type.' }),
    tasks: Type.Array(TaskSummarySchema),
  },
  'How the node stands.',
);

export const EventSchema = named(
  'Event',
  {
    type: Type.String({
      description: 'Types are added over time; ignore those you do not know.',
      examples: ['dropped'],
    }),
    task_id: optional(TaskIdExample),
    ts: instant('When it was told.'),
    data: Type.Record(Type.String(), Type.Unknown(), { description: 'By type; see the wire protocol.' }),
  },
  'Something happened: a change of state, a drop, a restart with its cause, a refusal.',
  { type: 'ready', task_id: 'host', ts: 1_767_225_600_000, data: { generation: 1, pid: 4711 } },
);

const ListenerSchema = Type.Object({
  type: oneOf(['mqtt', 'http'], 'What it speaks.'),
  host: Type.String(),
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  url: Type.String(),
});

export const InfoSchema = named(
  'Info',
  {
    name: Type.String(),
    version: Type.String(),
    prefix: Type.String({ description: 'Stands before every topic; may be empty.' }),
    started_ts: instant('When the node started.'),
    limits: Type.Object({ packet_bytes: count('Largest MQTT packet.'), connections: count('Most connections.') }),
    listeners: optional(Type.Array(ListenerSchema)),
  },
  'What the node is.',
);

export const NodeStateSchema = oneOf(['online', 'offline'], '`offline` is its last word at a planned end.');
export const WorkerReportSchema = oneOf(WORKER_REPORTS, 'What a worker says of itself, or leaves as its last will.');

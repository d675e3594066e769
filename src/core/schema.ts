import { type Static, type TObject, type TProperties, Type } from '@sinclair/typebox';
import { LIMITS } from './limits.js';
import { TASK_ID_PATTERN } from './topics.js';

/** The shapes of everything that comes from outside, as JSON Schema: validation, types and docs have this one source.
 *  Field names are those of the wire and of the config file. A `description` is what docs/config.md says. */

function exact<T extends TProperties>(properties: T, description?: string): TObject<T> {
  return Type.Object(properties, { additionalProperties: false, ...(description ? { description } : {}) });
}

function oneOf<T extends readonly string[]>(values: readonly [...T], description: string, byDefault?: T[number]) {
  return Type.Unsafe<T[number]>({
    type: 'string',
    enum: [...values],
    description,
    ...(byDefault === undefined ? {} : { default: byDefault }),
  });
}

const milliseconds = (description: string, byDefault: number, minimum = 0) =>
  Type.Integer({ minimum, maximum: 31_536_000_000, default: byDefault, description });

/** Milliseconds from `minimum` on, or 0: off. */
const zeroOrFrom = (minimum: number, description: string) =>
  Type.Union([Type.Literal(0), Type.Integer({ minimum, maximum: 31_536_000_000 })], { default: 0, description });

/** What the system takes as one argument, variable or path: no NUL in it (execve(2)). */
const WORD = { maxLength: 65_536, pattern: '^[^\\u0000]*$' };

const text = (description: string) => Type.String({ ...WORD, description });

export const SIGNALS = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGCONT',
  'SIGSTOP',
  'SIGWINCH',
  'SIGKILL',
] as const;
export type SignalName = (typeof SIGNALS)[number];

const QueueFields = {
  length: Type.Integer({
    minimum: 1,
    maximum: LIMITS.queueLengthMax,
    default: LIMITS.queueLength,
    description: 'Most entries the queue holds, leased ones included.',
  }),
  bytes: Type.Integer({
    minimum: 1,
    maximum: LIMITS.queueBytesMax,
    default: LIMITS.queueBytes,
    description: 'Most payload bytes the queue holds.',
  }),
  overflow: oneOf(
    ['drop_oldest', 'drop_newest'],
    'What a put to a full queue does: evict the oldest entry, or drop the new one. Both are counted and told.',
    'drop_oldest',
  ),
};

const QueueSchema = Type.Partial(exact(QueueFields));
export type QueueFieldsWire = Static<typeof QueueSchema>;

const BackoffSchema = Type.Partial(
  exact({
    initial_ms: milliseconds('Pause before the first restart.', LIMITS.backoffInitialMs),
    factor: Type.Number({
      minimum: 1,
      maximum: 100,
      default: LIMITS.backoffFactor,
      description: 'Each further pause is longer by this factor.',
    }),
    max_ms: milliseconds('Longest pause.', LIMITS.backoffMaxMs),
    jitter: Type.Number({
      minimum: 0,
      maximum: 1,
      default: LIMITS.backoffJitter,
      description: 'Share of the pause that is left to chance, up and down, so that a fleet does not move in step.',
    }),
    reset_ms: milliseconds('A worker that was ready for so long starts again at `initial_ms`.', LIMITS.backoffResetMs),
  }),
);

const RunFields = {
  command: Type.Array(Type.String({ ...WORD, minLength: 1 }), {
    minItems: 1,
    maxItems: 1_000,
    description:
      'Program and arguments, no shell. `{start_params}` and `{task_id}` inside an argument are replaced. In a request only callers that may run any command may give it.',
  }),
  start_params: Type.String({
    ...WORD,
    default: '',
    description: 'Handed to the worker as SN_START_PARAMS, and as `{start_params}` inside the command.',
  }),
  env: Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), Type.String(WORD), {
    additionalProperties: false,
    description: 'Environment variables, beside the few a worker inherits (docs/config.md) and SN_….',
  }),
  cwd: text('Working directory. Relative ones start at the config file.'),
  user: text('User name or `uid:gid` to run as; needs a node that runs as root.'),
  first_sig: oneOf(SIGNALS, 'First signal of a stop, to the whole process group.', 'SIGTERM'),
  second_sig_duration: milliseconds('Time between `first_sig` and SIGKILL.', LIMITS.secondSigMs),
  heartbeat_interval: zeroOrFrom(
    1_000,
    'Longest pause between two signs of life, in ms, 1000 or more (MQTT counts keepalive in seconds); 1.5 × this without one means frozen. 0: the keepalive that the client asks for.',
  ),
  accept_tasks: Type.Unsafe<boolean | 'yes' | 'no'>({
    anyOf: [{ type: 'boolean' }, { type: 'string', enum: ['yes', 'no'] }],
    description:
      'Whether `m/cmd/<task>` and `send` reach the worker. Unset: they do when it subscribes to its commands.',
  }),
  exec_timeout_ms: milliseconds('Longest run of the process; 0: no bound.', 0),
  stale_after_ms: zeroOrFrom(
    1_000,
    'No entry put for so long, in ms, 1000 or more, means hung, although it still pings; 0: off.',
  ),
  ready: oneOf(
    ['connect', 'spawn'],
    'When the worker counts as ready: its channel is up, or its process runs (for programs that know no MQTT).',
    'connect',
  ),
  ready_timeout_ms: milliseconds('Longest time from start to ready.', LIMITS.readyTimeoutMs, 1),
  stdout: oneOf(
    ['log', 'ignore'],
    'Where the lines of stdout go: `m/log/<task>` and the node’s log, or nowhere.',
    'log',
  ),
  stderr: oneOf(['log', 'ignore'], 'The same for stderr.', 'log'),
  restart: oneOf(
    ['always', 'on-failure', 'never'],
    'Whether an ended worker is started again. `on-failure`: unless it ended by itself with a success code.',
    'always',
  ),
  success_codes: Type.Array(Type.Integer({ minimum: 0, maximum: 255 }), {
    maxItems: 256,
    default: [0],
    description: 'Exit codes that mean success.',
  }),
  max_restarts: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    description: 'Restarts in a row (see `backoff.reset_ms`) before the task is `failed`. Unset: never give up.',
  }),
  retain_last: Type.Boolean({
    default: false,
    description: 'Keep the last entry as the retained message of `m/data/<task>`.',
  }),
};

const NestedFields = {
  backoff: Type.Unsafe<Static<typeof BackoffSchema>>({ ...BackoffSchema, description: 'Pauses between restarts.' }),
  queue: Type.Unsafe<QueueFieldsWire>({ ...QueueSchema, description: 'Bounds of the task’s queue.' }),
};

/** Fields of a task record that a template may hold as well. */
const TaskFields = { ...RunFields, ...NestedFields };
export type TaskFieldName = keyof typeof TaskFields;
const TASK_FIELD_NAMES = Object.keys(TaskFields) as TaskFieldName[];

export const TemplateSchema = Type.Composite(
  [
    Type.Partial(exact(TaskFields)),
    exact({
      pin: Type.Optional(
        Type.Array(oneOf(TASK_FIELD_NAMES, 'A field name.'), {
          description:
            'Fields that no task may override. In a request, `command`, `env`, `cwd` and `user` are always pinned.',
        }),
      ),
    }),
  ],
  { additionalProperties: false },
);
export type TemplateWire = Static<typeof TemplateSchema>;

const TaskIdField = Type.String({ pattern: TASK_ID_PATTERN, description: 'Unique in the node.' });
const WorkerField = Type.String({ minLength: 1, maxLength: 64, description: 'Name of a template below `workers`.' });

export const TaskSchema = Type.Composite(
  [exact({ task_id: TaskIdField, worker: Type.Optional(WorkerField) }), Type.Partial(exact(TaskFields))],
  { additionalProperties: false },
);
export type TaskWire = Static<typeof TaskSchema>;

const RouteSchema = exact({
  from: Type.String({
    minLength: 1,
    maxLength: 65_535,
    description: 'Topic filter. Publishes that match pass the broker unchanged and are copied into the task’s queue.',
  }),
  task_id: Type.String({
    minLength: 1,
    maxLength: 256,
    description: 'The task; `{1}`, `{2}` … stand for what the wildcards matched, in order.',
  }),
});
export type RouteWire = Static<typeof RouteSchema>;

const ListenerSchema = exact({
  type: oneOf(['mqtt', 'http'], '`mqtt`: MQTT over TCP. `http`: MQTT over WebSocket at `/mqtt`.'),
  host: Type.Optional(
    Type.String({
      default: '127.0.0.1',
      description: 'Address to bind. Without users only loopback: 127.0.0.1, ::1, localhost.',
    }),
  ),
  port: Type.Integer({ minimum: 0, maximum: 65_535, description: '0 takes a free one; `m/info` tells which.' }),
  origins: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      description: 'Web origins that may connect beside the listener’s own, like `https://dash.example`.',
    }),
  ),
});
export type ListenerWire = Static<typeof ListenerSchema>;

export const ConfigSchema = exact({
  name: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$',
      default: 'super-node',
      description: 'Name of the node, in `m/info`.',
    }),
  ),
  data_dir: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Where the node remembers its children, so that a start after a crash first ends what is left of them. Created with mode 0700, used by one node at a time. Unset: nothing is remembered.',
    }),
  ),
  topics: Type.Optional(
    exact({
      prefix: Type.Optional(
        Type.String({
          pattern: '^[^#+$\\u0000-\\u001f\\u007f]{0,128}$',
          default: '',
          description: 'Stands before every topic of the node. `site7/` makes a namespace, `/` leading-slash names.',
        }),
      ),
    }),
  ),
  listeners: Type.Optional(Type.Array(ListenerSchema, { minItems: 1, maxItems: 16 })),
  workers: Type.Optional(
    Type.Record(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' }), TemplateSchema, {
      additionalProperties: false,
      description: 'Templates: what may be started, by name. Each holds any field of a task as a default.',
    }),
  ),
  tasks: Type.Optional(
    Type.Array(TaskSchema, { maxItems: 100_000, description: 'Tasks that the node starts by itself.' }),
  ),
  routes: Type.Optional(Type.Array(RouteSchema, { maxItems: 1_000 })),
  net: Type.Optional(
    exact({
      auto: Type.Optional(
        Type.Boolean({ default: true, description: 'A put, birth or will that names an unknown task creates it.' }),
      ),
    }),
  ),
  queue: Type.Optional(
    Type.Unsafe<QueueFieldsWire>({ ...QueueSchema, description: 'Defaults for the queues of all tasks.' }),
  ),
  limits: Type.Optional(
    Type.Partial(
      exact({
        packet_bytes: Type.Integer({
          minimum: 1_024,
          maximum: 268_435_455,
          default: LIMITS.packetBytes,
          description: 'Largest MQTT packet. A larger one closes its connection.',
        }),
        connections: Type.Integer({
          minimum: 1,
          maximum: 1_000_000,
          default: LIMITS.connectionsMax,
          description: 'Open connections, all listeners together.',
        }),
        tasks: Type.Integer({
          minimum: 1,
          maximum: 100_000,
          default: LIMITS.tasksMax,
          description: 'Tasks, of the config, commanded and registered by themselves.',
        }),
        queue_bytes: Type.Integer({
          minimum: 65_536,
          maximum: LIMITS.queueBytesMax,
          default: LIMITS.queuesBytesMax,
          description: 'Payload bytes of all queues together. A put over it evicts from its own queue, or is dropped.',
        }),
        subscriptions_per_client: Type.Integer({
          minimum: 1,
          maximum: 100_000,
          default: LIMITS.subscriptionsPerClientMax,
          description: 'Filters one client may hold.',
        }),
      }),
    ),
  ),
  log: Type.Optional(
    exact({
      level: Type.Optional(
        oneOf(['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'Least level that is logged.', 'info'),
      ),
      format: Type.Optional(
        oneOf(['auto', 'pretty', 'json'], '`auto`: pretty on a terminal, JSON lines otherwise.', 'auto'),
      ),
    }),
  ),
});
export type ConfigWire = Static<typeof ConfigSchema>;

/** Fields that every JSON request may carry beside its own. */
const RequestFields = {
  transaction: Type.Optional(Type.Unknown({ description: 'Returned in the reply as it is.' })),
  reply_to: Type.Optional(
    Type.String({ maxLength: 1_024, description: 'Where the reply goes: `m/reply` or a topic below it.' }),
  ),
};

const TaskOnly = { task_id: TaskIdField };

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
    payload: Type.Unknown({ description: 'Text goes out as it is, anything else as JSON.' }),
    ...RequestFields,
  }),
  workers: exact({ cmd: Type.Literal('workers'), ...RequestFields }),
} as const;
export type CommandName = keyof typeof COMMAND_SCHEMAS;
export const COMMAND_NAMES = Object.keys(COMMAND_SCHEMAS) as CommandName[];

export const FetchSchema = exact({
  max: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.fetchEntriesMax, default: 1 })),
  max_bytes: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.fetchBytesMax, default: LIMITS.fetchBytes })),
  wait_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.fetchWaitMsMax, default: 0 })),
  encoding: Type.Optional(oneOf(['auto', 'base64'], 'base64: payloads of all entries as payload_base64.', 'auto')),
  ...RequestFields,
});

export const StatSchema = exact({ ...RequestFields });

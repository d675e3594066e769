import { type Static, Type } from '@sinclair/typebox';
import { LIMITS } from './limits.js';
import { exact, milliseconds, oneOf, text, WORD, zeroOrFrom } from './schema-parts.js';
import { GROUP_PATTERN, TASK_ID_PATTERN } from './topics.js';

/** The shape of a task and of a template, as JSON Schema: validation, types and docs have this one source. Field names
 *  are those of the wire and of the config file. A `description` is what docs/config.md says. */

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

/** A stop must end a process: these would only stop it, let it go on, or tell it nothing. */
const FIRST_SIGNALS = SIGNALS.filter((name) => name !== 'SIGSTOP' && name !== 'SIGCONT' && name !== 'SIGWINCH');

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
    ['drop_oldest', 'drop_newest', 'block'],
    'What a put to a full queue does: evict the oldest entry, or drop the new one, which is counted and told; or wait for room, without an acknowledgement (at QoS 0 it is dropped).',
    'drop_oldest',
  ),
  ttl_ms: Type.Integer({
    minimum: 0,
    maximum: LIMITS.queueTtlMsMax,
    default: 0,
    description: 'An entry older than this is evicted, leased or not, and counted as dropped; 0: none is.',
  }),
  max_attempts: Type.Integer({
    minimum: 0,
    maximum: LIMITS.queueAttemptsMax,
    default: 0,
    description:
      'An entry that came back after so many hand-outs is not handed out again but kept as dead (`"group": "$dead"`); 0: it is, for ever.',
  }),
};

const QueueStorageFields = {
  storage: oneOf(
    ['memory', 'disk'],
    'Where entries are kept. `disk`: in `data_dir`, flushed before a put is acknowledged, there again after a restart. Default: `disk` for `super-node run` with a `data_dir`, else `memory`.',
  ),
  groups: Type.Array(
    exact({
      name: Type.String({ pattern: GROUP_PATTERN, description: 'As in a fetch.' }),
      from: Type.Optional(
        oneOf(
          ['first', 'new'],
          'Where it begins when it is made: at the oldest entry, or with what comes from then on.',
          'first',
        ),
      ),
    }),
    {
      maxItems: LIMITS.groupsMax,
      description: 'Groups that are there from the start, not from their first use on.',
    },
  ),
};

export const QueueSchema = Type.Partial(exact({ ...QueueFields, ...QueueStorageFields }));
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
  command: Type.Array(Type.String(WORD), {
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
  first_sig: oneOf(FIRST_SIGNALS, 'First signal of a stop, to the whole process group.', 'SIGTERM'),
  second_sig_duration: milliseconds('Time between `first_sig` and SIGKILL.', LIMITS.secondSigMs),
  instances: Type.Integer({
    minimum: 1,
    maximum: LIMITS.instancesMax,
    default: 1,
    description:
      'Workers of the task, `<task>~1` and so on: one queue, and calls go to the least busy. Each counts as a task in `limits.tasks`.',
  }),
  heartbeat_interval: zeroOrFrom(
    1_000,
    'Longest pause between two signs of life, in ms, 1000 or more (MQTT counts keepalive in seconds); 1.5 × this without one means frozen. 0: the keepalive that the client asks for.',
  ),
  accept_tasks: Type.Unsafe<boolean | 'yes' | 'no'>({
    anyOf: [{ type: 'boolean' }, { type: 'string', enum: ['yes', 'no'] }],
    description:
      'Whether `m/cmd/<task>`, `send` and `call` reach the worker. Unset: they do when it subscribes to its commands.',
  }),
  exec_interval: zeroOrFrom(
    100,
    'Run the command at start and then each so many ms, 100 or more, never overlapping; between runs the task stays `ready`. 0: off.',
  ),
  exec_timeout_ms: milliseconds('Longest run of the process; 0: no bound.', 0),
  memory_limit_kb: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    default: 0,
    description:
      'Most resident memory of the whole process tree; over it on two samples running, it is restarted. 0: none.',
  }),
  stale_after_ms: zeroOrFrom(
    1_000,
    'No entry put for so long, in ms, 1000 or more, means hung, although it still pings; 0: off.',
  ),
  ready: oneOf(
    ['connect', 'spawn'],
    'When the worker counts as ready: its channel is up, or its process runs (for programs that know no MQTT). Unset: `spawn` with `exec_interval`, `stdout: data` or `stdin: lines`, else `connect`.',
  ),
  ready_timeout_ms: milliseconds('Longest time from start to ready.', LIMITS.readyTimeoutMs, 1),
  stdin: oneOf(
    ['ignore', 'lines'],
    '`lines`: `send` and `call` reach the process as lines of its stdin, for programs that know no MQTT.',
    'ignore',
  ),
  stdout: oneOf(
    ['log', 'data', 'ignore'],
    'Where the lines of stdout go: to the log (`m/log/<task>`, log files), into the queue, each line one entry, or nowhere.',
    'log',
  ),
  stderr: oneOf(['log', 'data', 'ignore'], 'The same for stderr.', 'log'),
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

export const TaskIdField = Type.String({ pattern: TASK_ID_PATTERN, description: 'Unique in the node.' });
const WorkerField = Type.String({ minLength: 1, maxLength: 64, description: 'Name of a template below `workers`.' });

export const TaskSchema = Type.Composite(
  [exact({ task_id: TaskIdField, worker: Type.Optional(WorkerField) }), Type.Partial(exact(TaskFields))],
  { additionalProperties: false },
);
export type TaskWire = Static<typeof TaskSchema>;

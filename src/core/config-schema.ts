import { type Static, Type } from '@sinclair/typebox';
import { LIMITS } from './limits.js';
import { exact, oneOf } from './schema-parts.js';
import { type QueueFieldsWire, QueueSchema, TaskSchema, TemplateSchema } from './task-schema.js';

/** The shape of the config file. */

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
  type: oneOf(
    ['mqtt', 'http'],
    '`mqtt`: MQTT over TCP. `http`: REST, JSON WebSockets, server-sent events, documents and metrics; MQTT over WebSocket at `/mqtt`.',
  ),
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
        'Where the node remembers its children, so that a start after a crash first ends what is left of them, what was commanded, so that it holds after the next start, and queues with `storage: disk`. Created with mode 0700, used by one node at a time. Unset: nothing is remembered.',
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
  sys_interval: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: LIMITS.sysIntervalSMax,
      default: LIMITS.sysIntervalS,
      description:
        'How often the broker tells its figures below `$SYS/broker`, as Mosquitto does. Seconds; 0: not at all, which is the default of a plugin.',
    }),
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
          description:
            'Open connections of MQTT, all listeners together; and of each HTTP listener, whatever they speak.',
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
          description:
            'Payload bytes of all queues in memory together. A put over it evicts from its own queue, or does what that queue’s `overflow` says.',
        }),
        queue_disk_bytes: Type.Integer({
          minimum: 65_536,
          maximum: 1_099_511_627_776,
          default: LIMITS.queuesDiskBytesMax,
          description: 'The same for those on disk.',
        }),
        subscriptions_per_client: Type.Integer({
          minimum: 1,
          maximum: 100_000,
          default: LIMITS.subscriptionsPerClientMax,
          description: 'Filters one client may hold.',
        }),
        session_expiry_s: Type.Integer({
          minimum: 0,
          maximum: LIMITS.sessionExpirySMax,
          default: LIMITS.sessionExpiryS,
          description:
            'How long a client with a stored session may stay away before that, with the messages kept for it, is forgotten. 0: for ever.',
        }),
        take_prefetch: Type.Integer({
          minimum: 1,
          maximum: LIMITS.takePrefetchMax,
          default: LIMITS.takePrefetch,
          description: 'Entries that a client may have unacknowledged, for each filter by which it takes.',
        }),
        take_resume_ms: Type.Integer({
          minimum: 0,
          maximum: LIMITS.takeResumeMsMax,
          default: LIMITS.takeResumeMs,
          description:
            'How long a stored session whose connection is gone keeps what it took and did not acknowledge. 0: not at all.',
        }),
      }),
    ),
  ),
  logs: Type.Optional(
    Type.Partial(
      exact({
        dir: Type.String({
          minLength: 1,
          description:
            'Where the lines of the workers are kept, `<task>.log` for each. Unset: `logs` in `data_dir`; without one no files are written.',
        }),
        file_bytes: Type.Integer({
          minimum: 4_096,
          maximum: 1_073_741_824,
          default: LIMITS.logFileBytes,
          description: 'Size at which a file is rotated.',
        }),
        files: Type.Integer({
          minimum: 0,
          maximum: 1_000,
          default: LIMITS.logFiles,
          description: 'Rotated files kept of each task, beside the current one. 0: no files are written.',
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

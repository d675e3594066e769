import type { TaskRecord } from '../core/task-record.js';
import type { WorkerKey } from '../core/worker-key.js';

/** What a worker inherits from the node: enough to find and run programs, and nothing that may be a secret. */
const INHERITED = new Set(['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR']);

/** Where a worker connects: `mqtt://host:port`, `http://host:port`. Of what is undefined no variable is set. */
export interface WorkerUrls {
  readonly mqtt?: string | undefined;
  readonly http?: string | undefined;
}

export interface WorkerEndpoint {
  readonly urls: WorkerUrls;
  readonly topicPrefix: string;
  /** SN_KEEPALIVE where the task has no `heartbeat_interval`. Seconds. */
  readonly keepaliveS: number;
}

/** The whole environment of a child: what it inherits, its record's own, and SN_…, which nothing overrides. */
export function workerEnvironment(
  inherited: NodeJS.ProcessEnv,
  record: TaskRecord,
  endpoint: WorkerEndpoint,
  { instance, generation }: WorkerKey,
  token: string,
): Record<string, string> {
  const environment: Record<string, string> = {};
  const { mqtt, http } = endpoint.urls;
  for (const [name, value] of Object.entries(inherited)) {
    if (value !== undefined && (INHERITED.has(name) || name.startsWith('LC_'))) environment[name] = value;
  }
  return {
    ...environment,
    ...record.env,
    ...(mqtt === undefined ? {} : { SN_URL: mqtt }),
    ...(http === undefined ? {} : { SN_HTTP_URL: http }),
    SN_TASK_ID: record.taskId,
    SN_TOKEN: token,
    SN_INSTANCE: String(instance),
    SN_GENERATION: String(generation),
    SN_KEEPALIVE: String(keepaliveS(record, endpoint)),
    SN_TOPIC_PREFIX: endpoint.topicPrefix,
    SN_START_PARAMS: record.startParams,
  };
}

/** MQTT counts keepalive in whole seconds; a shorter heartbeat is kept by puts, or judged at one second. */
function keepaliveS(record: TaskRecord, endpoint: WorkerEndpoint): number {
  if (record.heartbeatMs === 0) return endpoint.keepaliveS;
  return Math.max(1, Math.floor(record.heartbeatMs / 1_000));
}

import { mismatch, SuperNodeError } from './errors.js';
import { LIMITS } from './limits.js';
import type { QueueFieldsWire, SignalName, TaskFieldName, TaskWire, TemplateWire } from './task-schema.js';
import { type TaskId, taskIdOf } from './topics.js';

/** Bounds of one queue, all given. */
export interface QueueBounds {
  readonly length: number;
  readonly bytes: number;
  readonly overflow: 'drop_oldest' | 'drop_newest' | 'block';
  /** An entry that is older is evicted; 0: none is. */
  readonly ttlMs: number;
  /** An entry that was given back after so many hand-outs is dead; 0: none is. */
  readonly maxAttempts: number;
  readonly storage: 'memory' | 'disk';
  /** Groups that are there from the start. */
  readonly groups: readonly { readonly name: string; readonly from: 'first' | 'new' }[];
}

export interface BackoffPolicy {
  readonly initialMs: number;
  readonly factor: number;
  readonly maxMs: number;
  readonly jitter: number;
  readonly resetMs: number;
}

/** What becomes of the lines of an output: told and kept, entries of the queue, or nothing. */
export type OutputUse = 'log' | 'data' | 'ignore';

/** A task with everything decided: its own fields over its template's over the defaults.
 *  Without `command` it is a task of net clients, which connect by themselves. */
export interface TaskRecord {
  readonly taskId: TaskId;
  readonly worker: string | undefined;
  readonly command: readonly [string, ...string[]] | undefined;
  readonly startParams: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  readonly user: string | undefined;
  readonly firstSig: SignalName;
  readonly secondSigMs: number;
  /** 0: the client's own keepalive is the heartbeat. */
  readonly heartbeatMs: number;
  /** undefined: decided by whether the worker subscribes to its commands. */
  readonly acceptTasks: boolean | undefined;
  /** Workers of the task; more than 1 is a pool. */
  readonly instances: number;
  /** Distance of the starts of a job that runs again and again; 0: it runs on. */
  readonly execIntervalMs: number;
  readonly execTimeoutMs: number;
  /** Of the whole process tree; 0: none. */
  readonly memoryLimitKb: number;
  readonly staleAfterMs: number;
  readonly ready: 'connect' | 'spawn';
  readonly readyTimeoutMs: number;
  readonly stdin: 'ignore' | 'lines';
  readonly stdout: OutputUse;
  readonly stderr: OutputUse;
  readonly restart: 'always' | 'on-failure' | 'never';
  readonly successCodes: readonly number[];
  readonly backoff: BackoffPolicy;
  /** undefined: never give up. */
  readonly maxRestarts: number | undefined;
  readonly retainLast: boolean;
  readonly queue: QueueBounds;
}

/** A task as it is remembered over the end of the node. */
export interface RememberedTask {
  readonly taskId: string;
  readonly wanted: 'run' | 'stopped';
  /** As a request asked for it; undefined for a task of the config, which only its wanted state is remembered of. */
  readonly task: TaskWire | undefined;
}

/** Fields that decide what runs, and as whom: never taken from a request that names a template. */
const ALWAYS_PINNED: readonly TaskFieldName[] = ['command', 'env', 'cwd', 'user'];

/** What `command` must begin with; its arguments may be empty. */
export const A_PROGRAM = 'a program first';

/** Who gives the record: the config file and code in the process may run anything, a request may not. */
export type RecordSource = 'trusted' | 'request';

/** Resolves a task as it was written into a full record.
 *  @throws SuperNodeError SN_ERR_WORKER_UNKNOWN, SN_ERR_FORBIDDEN, SN_ERR_REQUEST, SN_ERR_TASK_ID */
export function resolveRecord(
  wire: TaskWire,
  templates: ReadonlyMap<string, TemplateWire>,
  queueDefaults: QueueFieldsWire,
  source: RecordSource,
): TaskRecord {
  const taskId = taskIdOf(wire.task_id);
  const template = wire.worker === undefined ? undefined : templates.get(wire.worker);
  if (wire.worker !== undefined && template === undefined) {
    const known = [...templates.keys()].join(', ') || 'none';
    throw new SuperNodeError(
      'SN_ERR_WORKER_UNKNOWN',
      `worker: expected a template of the config (${known}), got ${JSON.stringify(wire.worker)}`,
    );
  }
  refusePinned(wire, template, source);
  const own = { ...template, ...definedOnly(wire) };
  const [program, ...args] = own.command ?? [];
  const backoff = { ...template?.backoff, ...wire.backoff };
  const queue = { ...queueDefaults, ...template?.queue, ...wire.queue };
  const { exec_interval: execIntervalMs = 0, stdin = 'ignore', stdout = 'log' } = own;
  const knowsNoMqtt = execIntervalMs > 0 || stdout === 'data' || stdin === 'lines';
  const record: TaskRecord = {
    taskId,
    worker: wire.worker,
    command: program === undefined ? undefined : [program, ...args],
    startParams: own.start_params ?? '',
    env: { ...template?.env, ...wire.env },
    cwd: own.cwd,
    user: own.user,
    firstSig: own.first_sig ?? 'SIGTERM',
    secondSigMs: own.second_sig_duration ?? LIMITS.secondSigMs,
    heartbeatMs: own.heartbeat_interval ?? 0,
    acceptTasks: yesNo(own.accept_tasks),
    instances: own.instances ?? 1,
    execIntervalMs,
    execTimeoutMs: own.exec_timeout_ms ?? 0,
    memoryLimitKb: own.memory_limit_kb ?? 0,
    staleAfterMs: own.stale_after_ms ?? 0,
    ready: own.ready ?? (knowsNoMqtt ? 'spawn' : 'connect'),
    readyTimeoutMs: own.ready_timeout_ms ?? LIMITS.readyTimeoutMs,
    stdin,
    stdout,
    stderr: own.stderr ?? 'log',
    restart: own.restart ?? 'always',
    successCodes: own.success_codes ?? [0],
    backoff: {
      initialMs: backoff.initial_ms ?? LIMITS.backoffInitialMs,
      factor: backoff.factor ?? LIMITS.backoffFactor,
      maxMs: backoff.max_ms ?? LIMITS.backoffMaxMs,
      jitter: backoff.jitter ?? LIMITS.backoffJitter,
      resetMs: backoff.reset_ms ?? LIMITS.backoffResetMs,
    },
    maxRestarts: own.max_restarts,
    retainLast: own.retain_last ?? false,
    queue: queueBounds(queue),
  };
  refuseNonsense(record);
  return record;
}

/** What cannot be meant, said before it surprises at 3 am. */
function refuseNonsense(record: TaskRecord): void {
  const { command, execIntervalMs, instances, memoryLimitKb, ready, stdin, backoff } = record;
  const ofProcess = {
    exec_interval: execIntervalMs > 0,
    memory_limit_kb: memoryLimitKb > 0,
    stdin: stdin !== 'ignore',
  };
  const lost = Object.entries({ ...ofProcess, instances: instances > 1 }).find(([, isSet]) => isSet);
  if (command === undefined && lost !== undefined) {
    throw mismatch('SN_ERR_REQUEST', lost[0], 'none for a task of net clients, which has no command', 'one');
  }
  if (argvOf(record)?.[0] === '') throw mismatch('SN_ERR_REQUEST', 'command', A_PROGRAM, '');
  if (execIntervalMs > 0 && ready === 'connect') {
    throw mismatch('SN_ERR_REQUEST', 'ready', '"spawn", or none, with exec_interval', ready);
  }
  if (execIntervalMs > 0 && instances > 1) {
    throw mismatch('SN_ERR_REQUEST', 'instances', '1 with exec_interval: a job runs once in its time', instances);
  }
  if (backoff.maxMs < backoff.initialMs) {
    const expected = `max_ms of at least initial_ms, which is ${backoff.initialMs}`;
    throw mismatch('SN_ERR_REQUEST', 'backoff', expected, backoff.maxMs);
  }
}

function queueBounds(wire: QueueFieldsWire): QueueBounds {
  return {
    length: wire.length ?? LIMITS.queueLength,
    bytes: wire.bytes ?? LIMITS.queueBytes,
    overflow: wire.overflow ?? 'drop_oldest',
    ttlMs: wire.ttl_ms ?? 0,
    maxAttempts: wire.max_attempts ?? 0,
    storage: wire.storage ?? 'memory',
    groups: (wire.groups ?? []).map(({ name, from = 'first' }) => ({ name, from })),
  };
}

/** The record as the wire shows it, in `m/stat`. Values of `env` may be secrets: only the names are shown. */
export function recordToWire(record: TaskRecord): Record<string, unknown> {
  return definedOnly({
    task_id: record.taskId,
    worker: record.worker,
    command: record.command,
    start_params: record.startParams,
    env: Object.keys(record.env),
    cwd: record.cwd,
    user: record.user,
    first_sig: record.firstSig,
    second_sig_duration: record.secondSigMs,
    heartbeat_interval: record.heartbeatMs,
    accept_tasks: record.acceptTasks,
    instances: record.instances,
    exec_interval: record.execIntervalMs,
    exec_timeout_ms: record.execTimeoutMs,
    memory_limit_kb: record.memoryLimitKb,
    stale_after_ms: record.staleAfterMs,
    ready: record.ready,
    ready_timeout_ms: record.readyTimeoutMs,
    stdin: record.stdin,
    stdout: record.stdout,
    stderr: record.stderr,
    restart: record.restart,
    success_codes: record.successCodes,
    backoff: {
      initial_ms: record.backoff.initialMs,
      factor: record.backoff.factor,
      max_ms: record.backoff.maxMs,
      jitter: record.backoff.jitter,
      reset_ms: record.backoff.resetMs,
    },
    max_restarts: record.maxRestarts,
    retain_last: record.retainLast,
    queue: queueToWire(record.queue),
  });
}

/** The bounds of a queue as the wire shows them. */
export function queueToWire({
  length,
  bytes,
  overflow,
  ttlMs,
  maxAttempts,
  storage,
  groups,
}: QueueBounds): Record<string, unknown> {
  const base = { length, bytes, overflow, ttl_ms: ttlMs, max_attempts: maxAttempts, storage };
  return groups.length === 0 ? base : { ...base, groups };
}

/** Two starts of one task mean the same when every field is the same. */
export function sameRecord(a: TaskRecord, b: TaskRecord): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The argv with its placeholders filled in; each stays one argument, whatever it holds. */
export function argvOf(record: TaskRecord): readonly [string, ...string[]] | undefined {
  if (record.command === undefined) return undefined;
  const fill = (argument: string) =>
    argument.replaceAll(/\{(start_params|task_id)\}/g, (_, name) =>
      name === 'task_id' ? record.taskId : record.startParams,
    );
  const [program, ...args] = record.command;
  return [fill(program), ...args.map(fill)];
}

function refusePinned(wire: TaskWire, template: TemplateWire | undefined, source: RecordSource): void {
  const given = new Set(Object.keys(definedOnly(wire)));
  if (source === 'request') {
    const refused = ALWAYS_PINNED.find((name) => given.has(name));
    if (refused !== undefined) {
      throw new SuperNodeError(
        'SN_ERR_FORBIDDEN',
        `${refused}: expected a worker template to decide it, got it in a request`,
      );
    }
  }
  const pinned = template?.pin?.find((name) => given.has(name));
  if (pinned !== undefined) {
    throw new SuperNodeError(
      'SN_ERR_FORBIDDEN',
      `${pinned}: expected the template ${JSON.stringify(wire.worker)} to decide it (it pins this field), got it in the task`,
    );
  }
}

function yesNo(value: boolean | 'yes' | 'no' | undefined): boolean | undefined {
  return value === undefined ? undefined : value === true || value === 'yes';
}

function definedOnly<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

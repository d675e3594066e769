import type { TaskStatus } from '../supervisor/status.js';

export interface ReadinessPorts {
  /** Every listener of the config is open. */
  listening(): boolean;
  /** Why a store cannot be read or written; undefined: it can. */
  storageErrors(): Readonly<Record<'queues' | 'sessions', string | undefined>>;
  /** `startTasks` is done: each task of the config was begun, or left stopped as it was commanded. */
  tasksBegun(): boolean;
  /** Tasks of the config, by their id. */
  configured(): readonly string[];
  statuses(): readonly TaskStatus[];
}

/** What is wrong with one task. */
interface TaskTrouble {
  readonly task_id: string;
  readonly state: TaskStatus['state'];
  readonly cause?: string;
  readonly error?: string;
  readonly next_start_ts?: number;
}

export interface Readiness {
  /** The node does what it is there for: it takes connections and entries, and has begun its tasks. A task that fails
   *  does not change that, for the others go on and its queue still takes entries; `checks.tasks.trouble` names it. */
  readonly ready: boolean;
  readonly checks: {
    readonly listeners: { readonly ok: boolean };
    /** `sessions_error`: sessions and retained messages are kept in memory only for now. */
    readonly store: { readonly ok: boolean; readonly error?: string; readonly sessions_error?: string };
    /** Of the config; `waiting` are those that are not begun. */
    readonly tasks: {
      readonly ok: boolean;
      readonly total: number;
      readonly waiting: readonly string[];
      readonly trouble: readonly TaskTrouble[];
    };
  };
}

const TROUBLE: ReadonlySet<TaskStatus['state']> = new Set(['backoff', 'failed', 'unkillable', 'lost']);

/** Whether the node is ready to be used, and if not, why. */
export function readiness(ports: ReadinessPorts): Readiness {
  const listeners = { ok: ports.listening() };
  const { queues: error, sessions } = ports.storageErrors();
  const store = {
    ok: error === undefined,
    ...(error === undefined ? {} : { error }),
    ...(sessions === undefined ? {} : { sessions_error: sessions }),
  };
  const tasks = checkTasks(ports);
  return { ready: listeners.ok && store.ok && tasks.ok, checks: { listeners, store, tasks } };
}

function checkTasks(ports: ReadinessPorts): Readiness['checks']['tasks'] {
  const configured = ports.configured();
  const known = new Map(ports.statuses().map((status) => [String(status.taskId), status]));
  const waiting = configured.filter((taskId) => !isBegun(ports, known.get(taskId)));
  const trouble = configured.flatMap((taskId) => {
    const status = known.get(taskId);
    return status !== undefined && TROUBLE.has(status.state) ? [troubleOf(status)] : [];
  });
  return { ok: waiting.length === 0, total: configured.length, waiting, trouble };
}

function isBegun({ tasksBegun }: ReadinessPorts, status: TaskStatus | undefined): boolean {
  // Once all were begun, one that is not there was removed by command.
  if (status === undefined) return tasksBegun();
  // A task of net clients waits for who may come when they like: with it the node has nothing to begin.
  return status.state !== 'pending' || (tasksBegun() && status.kind === 'net');
}

function troubleOf({ taskId, state, cause, error, nextStartAtMs }: TaskStatus): TaskTrouble {
  return {
    task_id: taskId,
    state,
    ...(cause === undefined ? {} : { cause }),
    ...(error === undefined ? {} : { error }),
    ...(nextStartAtMs === undefined ? {} : { next_start_ts: nextStartAtMs }),
  };
}

import type { ChildJournal, Clock, Logger, ProcessSpawner, Random } from '../core/ports.js';
import type { RestartCause } from '../core/restart-causes.js';
import type { TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import type { WorkerKey } from '../core/worker-key.js';
import type { NetState } from './net-machine.js';
import type { WorkerState } from './worker-states.js';

/** How often a job ran, and what came of it. */
export interface JobStatus {
  readonly runs: number;
  readonly runsFailed: number;
  /** Places on the grid at which the run before was still under way. */
  readonly missedRuns: number;
  /** Wall clock, ms. */
  readonly nextRunAtMs?: number;
  readonly lastRun?: {
    readonly startedAtMs?: number;
    readonly durationMs: number;
    readonly exitCode?: number | null;
    readonly signal?: string | null;
    /** Why it counts as failed. */
    readonly cause?: RestartCause;
    /** Its last lines, at most LIMITS.runOutputLines of each. */
    readonly stdout: readonly string[];
    readonly stderr: readonly string[];
  };
}

/** How a task or a worker stands: what both have. */
interface Standing {
  /** Starts of the process so far, in a pool of the worker that had most; 0 for a net task. */
  readonly generation: number;
  /** Of the process that lives now. */
  readonly pid?: number;
  /** Why the last restart came, or why there is none any more. */
  readonly cause?: RestartCause;
  /** How the last process ended: one of the two is null, as waitpid(2) tells them. */
  readonly exitCode?: number | null;
  readonly signal?: string | null;
  /** Resident memory of its tree as last seen before it ended. */
  readonly rssKb?: number;
  /** The last lines it wrote to stderr, at most LIMITS.lastStderrLines. */
  readonly stderr?: readonly string[];
  /** In `backoff`: when the next try begins. Wall clock, ms. */
  readonly nextStartAtMs?: number;
  readonly restarts: Readonly<Partial<Record<RestartCause, number>>>;
  readonly channels: number;
  /** Of the last change of `state`. Wall clock, ms. */
  readonly sinceMs: number;
  /** When the process that lives now was spawned. Wall clock, ms. */
  readonly startedAtMs?: number;
  /** Why the last start failed. */
  readonly error?: string;
  readonly job?: JobStatus;
}

/** What people see: a job between its runs is ready. */
export type ShownState = Exclude<WorkerState['name'], 'waiting'>;

export function shownState(worker: WorkerState): ShownState {
  if (worker.name === 'waiting') return 'ready';
  return worker.name === 'starting' && worker.rerun ? 'ready' : worker.name;
}

/** One worker of a task. */
export interface WorkerStatus extends Standing {
  readonly instance: number;
  readonly state: ShownState;
}

/** What is known about one task, for `m/state` and `m/stat`. */
export interface TaskStatus extends Standing {
  readonly taskId: TaskId;
  readonly state: ShownState | NetState['name'];
  readonly kind: 'process' | 'net';
  /** The workers of a process task, one or more. */
  readonly workers: readonly WorkerStatus[];
  /** False: puts are acknowledged, dropped and counted. */
  readonly accepting: boolean;
}

export type OutputStream = 'stdout' | 'stderr';

/** What the supervisor tells; none of it may throw or wait. */
export interface SupervisorReport {
  /** A task is there, new or with another record than before. Comes before its first state. */
  defined(record: TaskRecord): void;
  /** After each change of the status. */
  stateChanged(status: TaskStatus): void;
  event(type: string, taskId: TaskId, data: Record<string, unknown>): void;
  /** One line of a worker's output that goes to the log, without its line end. */
  output(worker: WorkerKey, stream: OutputStream, line: string): void;
  /** One line that is an entry; the bytes are only good during the call. A promise: no more until it is settled. */
  data(worker: WorkerKey, line: Uint8Array): undefined | Promise<void>;
  /** A line of stdout of a worker with `stdin: lines`. Undefined: it answers no call, and is a line like any other. */
  answer(worker: WorkerKey, line: Uint8Array): undefined | 'taken' | Promise<void>;
  /** The process of a worker is gone, its heartbeat is, or nothing ends it: whoever waits for it waits in vain.
   *  @param why For people, such as `signal SIGKILL` */
  workerGone(worker: WorkerKey, why: string): void;
  removed(taskId: TaskId): void;
  /** Close what connections this generation, or an older one of the same worker, still has. They are told as closed to
   *  nobody: it is no failure. */
  closeChannels(worker: WorkerKey): void;
}

export interface SupervisorPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly spawner: ProcessSpawner;
  /** undefined: without a data directory nothing is remembered. */
  readonly journal: ChildJournal | undefined;
  readonly log: Logger;
  readonly report: SupervisorReport;
  /** The whole environment of a child: what it inherits, its record's `env`, and SN_…. */
  environment(record: TaskRecord, worker: WorkerKey, token: string): Record<string, string>;
  /** Most tasks, of both kinds; each worker of a pool counts. */
  readonly tasksMax: number;
}

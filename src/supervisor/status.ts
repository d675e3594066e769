import type { ChildJournal, Clock, Logger, ProcessSpawner, Random } from '../core/ports.js';
import type { TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import type { NetState } from './net-machine.js';
import type { RestartCause, WorkerState } from './worker-states.js';

/** What is known about one task, for `m/state` and `m/stat`. */
export interface TaskStatus {
  readonly taskId: TaskId;
  readonly state: WorkerState['name'] | NetState['name'];
  readonly kind: 'process' | 'net';
  /** Starts of the process so far; 0 for a net task. */
  readonly generation: number;
  /** Of the process that lives now. */
  readonly pid?: number;
  /** Why the last restart came, or why there is none any more. */
  readonly cause?: RestartCause;
  /** How the last process ended: one of the two is null, as waitpid(2) tells them. */
  readonly exitCode?: number | null;
  readonly signal?: string | null;
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
  /** False: puts are acknowledged, dropped and counted. */
  readonly accepting: boolean;
}

/** What the supervisor tells; none of it may throw or wait. */
export interface SupervisorReport {
  /** A task is there, new or with another record than before. Comes before its first state. */
  defined(record: TaskRecord): void;
  /** After each change of the status. */
  stateChanged(status: TaskStatus): void;
  event(type: string, taskId: TaskId, data: Record<string, unknown>): void;
  /** One line of a worker's output, without its line end. */
  output(taskId: TaskId, stream: 'stdout' | 'stderr', line: string): void;
  removed(taskId: TaskId): void;
  /** Close what connections this generation still has. They are told as closed to nobody: it is no failure. */
  closeChannels(taskId: TaskId, generation: number): void;
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
  environment(record: TaskRecord, generation: number, token: string): Record<string, string>;
  /** Most tasks, of both kinds. */
  readonly tasksMax: number;
}

import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, ProcessIdentity, ProcessUsage } from '../core/ports.js';
import { sameRecord, type TaskRecord } from '../core/task-record.js';
import type { TaskId, WorkerReport } from '../core/topics.js';
import type { WorkerKey } from '../core/worker-key.js';
import { NetTask } from './net-task.js';
import { ProcessTask, type WorkerStdin } from './process-task.js';
import { RestartBudget } from './restart-budget.js';
import type { SupervisorPorts, TaskStatus } from './status.js';
import type { AnsweredCommand } from './worker-states.js';

type Task = ProcessTask | NetTask;

export type Authentication =
  | { readonly ok: true; readonly instance: number; readonly generation: number; readonly heartbeatMs: number }
  | { readonly ok: false };

/** Every task of the node: what commands do to them, and what the transport tells about their channels. */
export class Supervisor {
  readonly #ports: SupervisorPorts;
  readonly #tasks = new Map<string, Task>();
  readonly #restarts: RestartBudget;
  #closing: Promise<void> | undefined;

  constructor(ports: SupervisorPorts) {
    this.#ports = ports;
    this.#restarts = new RestartBudget(ports.clock);
  }

  /** Creates and starts a task, or starts one that rests. A task that runs with the same record is left as it is,
   *  except that one in `backoff` is tried at once. One that is being stopped starts when that is done; one that is
   *  being removed is created anew when that is done.
   *  @throws SuperNodeError SN_ERR_TASK_EXISTS, SN_ERR_LIMIT, SN_ERR_CLOSING */
  start(record: TaskRecord): void {
    this.#refuseWhenClosing();
    const task = this.#tasks.get(record.taskId);
    if (task?.kind === 'process' && task.removing) {
      this.#refuseTooMany(record);
      task.successor = record;
    } else {
      this.#fit(task, record).start();
    }
  }

  /** Makes a task known without starting anything: a net task that registers by itself. No-op for one that is known.
   *  @throws SuperNodeError SN_ERR_LIMIT, SN_ERR_CLOSING */
  declare(record: TaskRecord): void {
    if (this.#tasks.has(record.taskId)) return;
    this.#refuseWhenClosing();
    this.#create(record);
  }

  /** Resolves when no process of the task is left, also when a start came meanwhile.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN; SN_ERR_UNKILLABLE when SIGKILL does not end it */
  async stop(taskId: TaskId): Promise<void> {
    return this.#command(taskId, 'stop');
  }

  /** Resolves when the next process was spawned, or could not be: its status tells.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN; SN_ERR_SUPERSEDED when a stop or remove came meanwhile;
   *  SN_ERR_UNKILLABLE when SIGKILL does not end it; SN_ERR_CLOSING */
  async restart(taskId: TaskId): Promise<void> {
    this.#refuseWhenClosing();
    return this.#command(taskId, 'restart');
  }

  /** Resolves when no process of the task is left and the task is forgotten.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN; SN_ERR_UNKILLABLE when SIGKILL does not end it (once it goes, so does
   *  the task) */
  async remove(taskId: TaskId): Promise<void> {
    return this.#command(taskId, 'remove');
  }

  /** @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_NOT_RUNNING */
  signal(taskId: TaskId, sig: string): void {
    this.#task(taskId).signal(sig);
  }

  has(taskId: string): boolean {
    return this.#tasks.has(taskId);
  }

  record(taskId: TaskId): TaskRecord | undefined {
    return this.#tasks.get(taskId)?.record;
  }

  /** @throws SuperNodeError SN_ERR_TASK_UNKNOWN */
  status(taskId: TaskId): TaskStatus {
    return this.#task(taskId).status();
  }

  taskIds(): TaskId[] {
    return Array.from(this.#tasks.values(), ({ taskId }) => taskId);
  }

  list(): TaskStatus[] {
    return Array.from(this.#tasks.values(), (task) => task.status());
  }

  /** Whether these are the name and the token of a process that lives now. */
  authenticate(taskId: string, token: string): Authentication {
    const task = this.#tasks.get(taskId);
    if (task?.kind !== 'process') return { ok: false };
    const owner = task.ownerOf(this.#ports.random.hash(token));
    return owner === undefined ? { ok: false } : { ok: true, ...owner, heartbeatMs: task.record.heartbeatMs };
  }

  /** A connection belongs to the task from now on.
   *  @param owner Of the token it came with; undefined for a net client. One that does not fit is ignored. */
  channelUp(taskId: TaskId, channelId: string, owner?: Omit<WorkerKey, 'taskId'>): void {
    const task = this.#tasks.get(taskId);
    if (task?.kind === 'process') task.channelUp(channelId, owner);
    else task?.channelUp(channelId);
  }

  /** It is gone. `silent`: it is still open, but nothing came for 1.5 × its heartbeat. */
  channelDown(taskId: TaskId, channelId: string, how: 'closed' | 'disconnect' | 'silent'): void {
    this.#tasks.get(taskId)?.channelDown(channelId, how);
  }

  /** A net client's own word. That of a process counts nothing: its process and its channel speak for it. */
  report(taskId: TaskId, channelId: string, word: WorkerReport): void {
    const task = this.#tasks.get(taskId);
    if (task?.kind === 'net') task.report(channelId, word);
  }

  /** An entry was put.
   *  @param instance By which worker; undefined: not known, which counts for all */
  putSeen(taskId: TaskId, instance?: number): void {
    this.#tasks.get(taskId)?.putSeen(instance);
  }

  /** The processes of all workers that live now. */
  leaders(): ProcessIdentity[] {
    return this.#processTasks().flatMap((task) => task.leaders());
  }

  /** What the trees of processes take, by the pid of the leader. */
  usageSeen(usage: ReadonlyMap<number, ProcessUsage>): void {
    for (const task of this.#processTasks()) task.usageSeen(usage);
  }

  /** Whether commands and calls may go to the workers of a task.
   *  @param worker One with a process, which must not be on its way out; undefined for a net client */
  takesCommands(taskId: TaskId, worker: Omit<WorkerKey, 'taskId'> | undefined): boolean {
    const task = this.#tasks.get(taskId);
    if (task === undefined || task.record.acceptTasks === false) return false;
    return task.kind === 'net' ? !task.resting : worker !== undefined && task.works(worker);
  }

  /** The stdins of a task's workers that take lines. */
  stdins(taskId: TaskId): WorkerStdin[] {
    const task = this.#tasks.get(taskId);
    if (task?.kind !== 'process' || task.record.acceptTasks === false) return [];
    return task.stdins().filter(({ worker }) => task.works(worker));
  }

  /** Stops every worker, all at once. Resolves when they are gone, or when the slowest had its `secondSigMs` and
   *  `LIMITS.shutdownGraceMs` more; what is left then is for the next start to end. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#stopAll();
    return this.#closing;
  }

  async #stopAll(): Promise<void> {
    const tasks = this.#processTasks();
    const longestMs = Math.max(0, ...tasks.map((task) => task.record.secondSigMs));
    const stopped = Promise.allSettled(tasks.map((task) => task.command('stop')));
    let cancel: Cancel | undefined;
    const timeout = new Promise<void>((resolve) => {
      cancel = this.#ports.clock.after(longestMs + LIMITS.shutdownGraceMs, resolve);
    });
    await Promise.race([stopped, timeout]);
    cancel?.();
    for (const task of tasks) task.dispose();
  }

  /** The task as this record wants it: a new one, or the known one with the record where that may be exchanged. */
  #fit(task: Task | undefined, record: TaskRecord): Task {
    if (task === undefined) return this.#create(record);
    if (sameRecord(task.record, record)) return task;
    if (!task.replaceable) throw exists(record.taskId, 'expected the record it runs with, or a stop first');
    const otherShape = task.kind !== kindOf(record) || task.record.instances !== record.instances;
    if (otherShape && !task.resting) {
      throw exists(record.taskId, 'expected its process to be gone, it is still being stopped');
    }
    if (task.kind !== kindOf(record)) return this.#create(record);
    this.#refuseTooMany(record);
    task.record = record;
    this.#ports.report.defined(record);
    return task;
  }

  #create(record: TaskRecord): Task {
    this.#refuseTooMany(record);
    const task =
      kindOf(record) === 'process'
        ? new ProcessTask(record, this.#ports, this.#restarts, (gone) => this.#forget(gone.taskId, gone.successor))
        : new NetTask(record, this.#ports, (gone) => this.#forget(gone.taskId, undefined));
    this.#tasks.set(record.taskId, task);
    this.#ports.report.defined(record);
    // A process is on its way to `starting`; clients may take their time, so `pending` is told.
    if (task.kind === 'net') this.#ports.report.stateChanged(task.status());
    return task;
  }

  /** Each worker of a pool counts: what is bounded is how many things the node looks after. */
  #refuseTooMany(record: TaskRecord): void {
    const { tasksMax } = this.#ports;
    let count = record.instances;
    for (const task of this.#tasks.values()) if (task.taskId !== record.taskId) count += task.record.instances;
    if (count <= tasksMax) return;
    const expected = `expected at most ${tasksMax}, each worker of a pool counted`;
    throw new SuperNodeError('SN_ERR_LIMIT', `tasks: ${expected}, got one more: ${record.taskId}`);
  }

  #processTasks(): ProcessTask[] {
    return [...this.#tasks.values()].filter((task) => task.kind === 'process');
  }

  #forget(taskId: TaskId, successor: TaskRecord | undefined): void {
    this.#tasks.delete(taskId);
    this.#ports.report.removed(taskId);
    if (successor !== undefined && this.#closing === undefined) this.start(successor);
  }

  async #command(taskId: TaskId, type: AnsweredCommand): Promise<void> {
    const task = this.#task(taskId);
    // The last word counts: whatever comes after a start that waits for the removal takes that start back.
    if (task.kind === 'process') task.successor = undefined;
    return task.command(type);
  }

  #task(taskId: TaskId): Task {
    const task = this.#tasks.get(taskId);
    if (task === undefined)
      throw new SuperNodeError('SN_ERR_TASK_UNKNOWN', `task_id: expected a known task, got ${taskId}`);
    return task;
  }

  #refuseWhenClosing(): void {
    if (this.#closing !== undefined) throw new SuperNodeError('SN_ERR_CLOSING', 'the node is shutting down');
  }
}

function kindOf(record: TaskRecord): Task['kind'] {
  return record.command === undefined ? 'net' : 'process';
}

function exists(taskId: TaskId, why: string): SuperNodeError {
  return new SuperNodeError('SN_ERR_TASK_EXISTS', `start ${taskId}: ${why}`);
}

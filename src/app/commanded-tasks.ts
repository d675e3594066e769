import { asSuperNodeError, SuperNodeError } from '../core/errors.js';
import type { Logger, TaskStore } from '../core/ports.js';
import { type RecordSource, type RememberedTask, sameRecord, type TaskRecord } from '../core/task-record.js';
import type { SignalName, TaskWire } from '../core/task-schema.js';
import { type TaskId, taskIdOf } from '../core/topics.js';
import type { TaskControl } from '../router/ports.js';
import type { Supervisor } from '../supervisor/supervisor.js';

export interface CommandedPorts {
  readonly supervisor: Supervisor;
  readonly log: Logger;
  /** @throws SuperNodeError as `resolveRecord` does */
  resolve(wire: TaskWire, source: RecordSource): TaskRecord;
  event(type: string, data: Record<string, unknown>, taskId: TaskId): void;
  /** Settles when what removed tasks left in the queues is gone for good. Undefined: it is. */
  forgotten(): Promise<void> | undefined;
}

/** What commands make of the tasks, and the memory of it: with a `data_dir`, tasks that were commanded and whether each
 *  task was to run outlive the node. Commands of code in our own process are not remembered: that code runs again. */
export class CommandedTasks implements TaskControl {
  readonly #ports: CommandedPorts;
  readonly #remembered = new Map<string, RememberedTask>();
  readonly #configured = new Map<string, TaskRecord>();
  #store: TaskStore | undefined;

  constructor(ports: CommandedPorts) {
    this.#ports = ports;
  }

  /** Before the first task is there. */
  remember(store: TaskStore | undefined, remembered: readonly RememberedTask[]): void {
    this.#store = store;
    for (const task of remembered) this.#remembered.set(task.taskId, task);
  }

  /** Takes the tasks of the config.
   *  @returns The ids of all tasks that `startAll` will look after
   *  @throws SuperNodeError for a task of the config that makes no record */
  configure(tasks: readonly TaskWire[]): ReadonlySet<string> {
    for (const task of tasks) {
      const record = this.#ports.resolve(task, 'trusted');
      this.#configured.set(record.taskId, record);
    }
    return new Set([...this.#configured.keys(), ...this.#remembered.keys()]);
  }

  /** Starts the tasks of the config, then those that were commanded, each unless it was stopped. Where record and config
   *  differ the config wins. One that cannot be started is told in an event, and stays remembered. */
  startAll(): void {
    for (const [taskId, record] of this.#configured) {
      const remembered = this.#remembered.get(taskId);
      if (remembered !== undefined) this.#yieldToConfig(remembered, record);
      this.#begin(record, remembered?.wanted);
    }
    for (const { taskId: text, task, wanted } of [...this.#remembered.values()]) {
      if (this.#configured.has(text)) continue;
      // It was a task of the config that is none any more.
      if (task === undefined) this.#remembered.delete(text);
      else this.#beginAgain(taskIdOf(text), task, wanted);
    }
    this.#save();
  }

  /** @throws SuperNodeError as `resolve` and `Supervisor.start` do */
  async start(task: TaskWire, source: RecordSource): Promise<TaskId> {
    const record = this.#ports.resolve(task, source);
    this.#ports.supervisor.start(record);
    await this.#wanted(record.taskId, 'run', source === 'request' ? task : undefined);
    return record.taskId;
  }

  async stop(taskId: TaskId): Promise<void> {
    const saved = this.#wanted(taskId, 'stopped');
    await this.#ports.supervisor.stop(taskId);
    await saved;
    await this.#forgetGone(taskId);
  }

  async restart(taskId: TaskId): Promise<void> {
    const saved = this.#wanted(taskId, 'run');
    await this.#ports.supervisor.restart(taskId);
    await saved;
  }

  async remove(taskId: TaskId): Promise<void> {
    this.#remembered.delete(taskId);
    const saved = this.#save();
    await this.#ports.supervisor.remove(taskId);
    await saved;
    await this.#forgetGone(taskId);
    await this.#ports.forgotten();
  }

  signal(taskId: TaskId, sig: SignalName): void {
    this.#ports.supervisor.signal(taskId, sig);
  }

  has(taskId: TaskId): boolean {
    return this.#ports.supervisor.has(taskId);
  }

  #begin(record: TaskRecord, wanted: RememberedTask['wanted'] = 'run'): void {
    const { supervisor } = this.#ports;
    if (wanted === 'run') {
      supervisor.start(record);
      return;
    }
    supervisor.declare(record);
    // Nothing runs yet, so there is nothing to wait for.
    supervisor.stop(record.taskId).catch((error: unknown) => this.#ignored(record.taskId, error));
  }

  #beginAgain(taskId: TaskId, task: TaskWire, wanted: RememberedTask['wanted']): void {
    try {
      this.#begin(this.#ports.resolve(task, 'request'), wanted);
    } catch (error) {
      this.#ignored(taskId, error);
    }
  }

  #yieldToConfig({ taskId, task, wanted }: RememberedTask, record: TaskRecord): void {
    if (task !== undefined && !this.#isSame(task, record)) {
      const why = new SuperNodeError('SN_ERR_TASK_EXISTS', 'the config has this task with another record');
      this.#ignored(record.taskId, why);
    }
    if (wanted === 'run') this.#remembered.delete(taskId);
    else this.#remembered.set(taskId, { taskId, wanted, task: undefined });
  }

  #isSame(task: TaskWire, record: TaskRecord): boolean {
    try {
      return sameRecord(this.#ports.resolve(task, 'request'), record);
    } catch (error) {
      if (error instanceof SuperNodeError) return false;
      throw error;
    }
  }

  #ignored(taskId: TaskId, thrown: unknown): void {
    const { message, code } = asSuperNodeError(thrown);
    this.#ports.log.warn({ task_id: taskId, code, error: message }, `${taskId}: what was commanded before is not done`);
    this.#ports.event('record_ignored', { error: message, code }, taskId);
  }

  /** Notes what was commanded last. Resolves when that is written down.
   *  @param task As it was asked for; undefined: as it was before */
  #wanted(taskId: TaskId, wanted: RememberedTask['wanted'], task?: TaskWire): Promise<void> {
    const known = task ?? this.#remembered.get(taskId)?.task;
    if (known === undefined && wanted === 'run') this.#remembered.delete(taskId);
    else if (known !== undefined || this.#configured.has(taskId))
      this.#remembered.set(taskId, { taskId, wanted, task: known });
    else if (this.#isNet(taskId)) {
      // A net task that registered by itself: what comes for it is not wanted, also after the next start.
      this.#remembered.set(taskId, { taskId, wanted, task: { task_id: taskId } });
    }
    return this.#save();
  }

  /** A removal that was under way had the last word, whatever was commanded meanwhile. */
  async #forgetGone(taskId: TaskId): Promise<void> {
    if (!this.has(taskId) && this.#remembered.delete(taskId)) await this.#save();
  }

  #isNet(taskId: TaskId): boolean {
    const record = this.#ports.supervisor.record(taskId);
    return record !== undefined && record.command === undefined;
  }

  #save(): Promise<void> {
    return this.#store?.save([...this.#remembered.values()]) ?? Promise.resolve();
  }
}

import type { Logger } from '../core/ports.js';
import type { TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import { type WorkerKey, workerIdOf } from '../core/worker-key.js';
import type { OutputStream, SupervisorReport, TaskStatus } from '../supervisor/status.js';
import type { Announcer } from './announcer.js';
import type { TaskCatalog } from './task-catalog.js';
import type { TaskLogs } from './task-logs.js';

/** Events that somebody should look into, unless they were commanded. */
const TROUBLE = new Set(['restarting', 'failed', 'run_failed', 'spawn_error', 'unkillable', 'lost', 'output_dropped']);

export interface DeskPorts {
  readonly log: Logger;
  readonly catalog: () => TaskCatalog;
  readonly announcer: Announcer;
  readonly logs: TaskLogs;
  /** Undefined: the broker keeps up with live copies. A promise: until it does. */
  liveRoom(): undefined | Promise<void>;
  /** A line that may answer a call. */
  answer: SupervisorReport['answer'];
  workerGone: SupervisorReport['workerGone'];
  closeChannels(worker: WorkerKey): void;
  /** The task is gone: so is what the transport knows of it. */
  forget(taskId: TaskId): void;
}

/** Where all that the supervisor tells goes: to the log, to everybody, into the queue, to whoever waits for a call. */
export class SupervisorDesk implements SupervisorReport {
  readonly #ports: DeskPorts;
  readonly #logs = new Map<TaskId, Logger>();

  constructor(ports: DeskPorts) {
    this.#ports = ports;
  }

  defined(record: TaskRecord): void {
    this.#ports.catalog().defined(record);
  }

  stateChanged(status: TaskStatus): void {
    this.#ports.catalog().stateChanged(status.taskId, status.accepting);
    this.#ports.announcer.taskState(status);
  }

  event(type: string, taskId: TaskId, data: Record<string, unknown>): void {
    const isTrouble = TROUBLE.has(type) && data.cause !== 'command';
    this.#logOf(taskId)[isTrouble ? 'warn' : 'info'](data, `${taskId}: ${type}`);
    this.#ports.announcer.event(type, data, taskId);
  }

  output({ taskId, instance }: WorkerKey, stream: OutputStream, line: string): void {
    const instances = this.#ports.catalog().instancesOf(taskId);
    const workerId = instances > 1 ? workerIdOf(taskId, instance, instances) : undefined;
    this.#logOf(taskId).debug({ stream, ...(workerId && { worker_id: workerId }) }, line);
    this.#ports.logs.add(taskId, { stream, line, workerId });
    this.#ports.announcer.output(taskId, line);
  }

  /** An entry, live at QoS 0, which is what a pipe is. The worker is kept from writing while there is no room for it in a
   *  queue that blocks, while it is flushed, and while the broker is behind with telling others. */
  data({ taskId, instance }: WorkerKey, line: Uint8Array): undefined | Promise<void> {
    return this.#ports.catalog().sinkOf(taskId)?.putLine(line, instance) ?? this.#ports.liveRoom();
  }

  answer(worker: WorkerKey, line: Uint8Array): undefined | 'taken' | Promise<void> {
    return this.#ports.answer(worker, line);
  }

  workerGone(worker: WorkerKey, why: string): void {
    this.#ports.workerGone(worker, why);
  }

  removed(taskId: TaskId): void {
    this.#logs.delete(taskId);
    this.#ports.catalog().removed(taskId);
    this.#ports.forget(taskId);
    this.#ports.logs.forget(taskId);
    this.#ports.announcer.forget(taskId);
  }

  closeChannels(worker: WorkerKey): void {
    this.#ports.closeChannels(worker);
  }

  #logOf(taskId: TaskId): Logger {
    const log = this.#logs.get(taskId) ?? this.#ports.log.child({ task_id: taskId });
    this.#logs.set(taskId, log);
    return log;
  }
}

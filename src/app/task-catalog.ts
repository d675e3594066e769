import { mismatch, SuperNodeError } from '../core/errors.js';
import type { Clock } from '../core/ports.js';
import type { ConfigWire, TaskWire, TemplateWire } from '../core/schema.js';
import { type RecordSource, resolveRecord, type TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import type { Queues } from '../queues/queues.js';
import type { Records, TaskControl } from '../router/ports.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import type { Intake, PutSink } from '../transport/ports.js';
import { type IntakePorts, TaskIntake } from './intake.js';

export interface CatalogPorts extends Omit<IntakePorts, 'putSeen'> {
  readonly clock: Clock;
  readonly queues: Queues;
  readonly supervisor: Supervisor;
  /** A task came or went: who remembers where puts go must look again. */
  changed(): void;
}

/** Ties the two halves of a task together, which do not know each other: what the supervisor runs, and what the queues
 *  hold. A task has a queue from its first moment to its removal. */
export class TaskCatalog implements TaskControl, Records, Intake {
  readonly templates: ReadonlyMap<string, TemplateWire>;
  readonly #config: ConfigWire;
  readonly #ports: CatalogPorts;
  readonly #intakes = new Map<TaskId, TaskIntake>();

  constructor(config: ConfigWire, ports: CatalogPorts) {
    this.#config = config;
    this.#ports = ports;
    this.templates = new Map(Object.entries(config.workers ?? {}));
  }

  // ------------------------------------------------------------------ Records

  resolve(wire: TaskWire, source: RecordSource): TaskRecord {
    return resolveRecord(wire, this.templates, this.#config.queue ?? {}, source);
  }

  // ------------------------------------------------------------------ TaskControl

  start(record: TaskRecord): void {
    this.#ports.supervisor.start(record);
  }

  stop(taskId: TaskId): Promise<void> {
    return this.#ports.supervisor.stop(taskId);
  }

  restart(taskId: TaskId): Promise<void> {
    return this.#ports.supervisor.restart(taskId);
  }

  remove(taskId: TaskId): Promise<void> {
    return this.#ports.supervisor.remove(taskId);
  }

  signal(taskId: TaskId, sig: string): void {
    this.#ports.supervisor.signal(taskId, sig);
  }

  has(taskId: TaskId): boolean {
    return this.#ports.supervisor.has(taskId);
  }

  // ------------------------------------------------------------------ Intake

  sink(taskId: TaskId): PutSink {
    this.register(taskId);
    const intake = this.#intakes.get(taskId);
    if (!intake) throw new SuperNodeError('SN_ERR_INTERNAL', `${taskId}: expected a task to have a queue, got none`);
    return intake;
  }

  /** Makes sure the task exists: a net client named it.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_LIMIT, SN_ERR_CLOSING */
  register(taskId: TaskId): void {
    if (this.#intakes.has(taskId)) return;
    if (this.#config.net?.auto === false) {
      throw mismatch('SN_ERR_TASK_UNKNOWN', 'task_id', 'a task of this node (net.auto is off)', taskId);
    }
    this.#ports.supervisor.declare(this.resolve({ task_id: taskId }, 'request'));
  }

  /** The supervisor tells that a task is there, or has another record. */
  defined(record: TaskRecord): void {
    const { supervisor, queues } = this.#ports;
    const { taskId } = record;
    const queue = queues.open(taskId, record.queue);
    const known = this.#intakes.get(taskId);
    const intake = known ?? new TaskIntake(taskId, queue, { ...this.#ports, putSeen: (id) => supervisor.putSeen(id) });
    intake.retainLast = record.retainLast;
    intake.stateChanged(supervisor.status(taskId).accepting);
    if (known) return;
    this.#intakes.set(taskId, intake);
    this.#ports.changed();
  }

  /** The supervisor tells that a task changed its state. */
  stateChanged(taskId: TaskId, accepting: boolean): void {
    this.#intakes.get(taskId)?.stateChanged(accepting);
  }

  /** The supervisor tells that a task is gone. */
  removed(taskId: TaskId): void {
    this.#intakes.delete(taskId);
    this.#ports.queues.drop(taskId);
    this.#ports.changed();
  }
}

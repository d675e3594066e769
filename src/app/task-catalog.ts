import type { ConfigWire } from '../core/config-schema.js';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import { type RecordSource, resolveRecord, type TaskRecord } from '../core/task-record.js';
import type { TaskWire, TemplateWire } from '../core/task-schema.js';
import type { TaskId } from '../core/topics.js';
import type { Queues } from '../queues/queues.js';
import type { Records } from '../router/ports.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import type { Intake } from '../transport/ports.js';
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
export class TaskCatalog implements Records, Intake {
  readonly templates: ReadonlyMap<string, TemplateWire>;
  readonly #config: ConfigWire;
  readonly #ports: CatalogPorts;
  readonly #intakes = new Map<TaskId, TaskIntake>();
  /** Tasks that nobody started: a put, birth or will named them. */
  readonly #auto = new Set<TaskId>();
  #hasStarted = false;

  constructor(config: ConfigWire, ports: CatalogPorts) {
    this.#config = config;
    this.#ports = ports;
    this.templates = new Map(Object.entries(config.workers ?? {}));
  }

  // ------------------------------------------------------------------ Records

  resolve(wire: TaskWire, source: RecordSource): TaskRecord {
    const record = resolveRecord(wire, this.templates, this.#config.queue ?? {}, source);
    if (record.queue.storage === 'disk' && this.#config.data_dir === undefined) {
      throw mismatch('SN_ERR_REQUEST', 'queue.storage', '"memory", since this node has no data_dir', 'disk');
    }
    if (source === 'request' && wire.queue) this.#refuseLargerQueue(wire, record);
    return record;
  }

  /** A request may make a queue smaller than template and config say, not larger. */
  #refuseLargerQueue({ queue: _queue, ...rest }: TaskWire, { queue }: TaskRecord): void {
    const allowed = resolveRecord(rest, this.templates, this.#config.queue ?? {}, 'request').queue;
    for (const bound of ['length', 'bytes'] as const) {
      if (queue[bound] <= allowed[bound]) continue;
      throw mismatch(
        'SN_ERR_LIMIT',
        `queue.${bound}`,
        `at most ${allowed[bound]}, as template or config say`,
        queue[bound],
      );
    }
  }

  // ------------------------------------------------------------------ Intake

  sink(taskId: TaskId): TaskIntake {
    this.register(taskId);
    const intake = this.#intakes.get(taskId);
    if (!intake) throw new SuperNodeError('SN_ERR_INTERNAL', `${taskId}: expected a task to have a queue, got none`);
    return intake;
  }

  /** Where the lines of a worker go as entries; undefined once its task is removed. */
  sinkOf(taskId: TaskId): TaskIntake | undefined {
    return this.#intakes.get(taskId);
  }

  /** Makes sure the task exists: a net client named it.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_LIMIT, SN_ERR_CLOSING */
  register(taskId: TaskId, queue?: TaskWire['queue']): void {
    if (this.#intakes.has(taskId)) return;
    if (this.#config.net?.auto === false) {
      throw mismatch('SN_ERR_TASK_UNKNOWN', 'task_id', 'a task of this node (net.auto is off)', taskId);
    }
    const autoMax = Math.floor(LIMITS.autoTasksShare * (this.#config.limits?.tasks ?? LIMITS.tasksMax));
    if (this.#auto.size >= autoMax) {
      // Otherwise a few made-up names would leave no room for what an operator wants to start.
      const expected = `at most ${autoMax} tasks that register by themselves`;
      throw new SuperNodeError('SN_ERR_LIMIT', `tasks: expected ${expected}, got one more: ${taskId}`);
    }
    this.#ports.supervisor.declare(this.resolve({ task_id: taskId, ...(queue && { queue }) }, 'request'));
    this.#auto.add(taskId);
  }

  /** When the last entry of a task was put. Monotonic, ms. */
  lastPutMs(taskId: TaskId): number | undefined {
    return this.#intakes.get(taskId)?.lastPutMs;
  }

  instancesOf(taskId: TaskId): number {
    return this.#ports.supervisor.record(taskId)?.instances ?? 1;
  }

  /** The supervisor tells that a task is there, or has another record. */
  defined(record: TaskRecord): void {
    const { supervisor, queues } = this.#ports;
    const { taskId } = record;
    const queue = queues.open(taskId, record.queue);
    const known = this.#intakes.get(taskId);
    const intake =
      known ??
      new TaskIntake(taskId, queue, { ...this.#ports, putSeen: (id, instance) => supervisor.putSeen(id, instance) });
    intake.queue = queue;
    intake.retainLast = record.retainLast;
    intake.watchesPuts = record.staleAfterMs > 0;
    intake.stateChanged(supervisor.status(taskId).accepting);
    if (known) return;
    this.#intakes.set(taskId, intake);
    this.#ports.changed();
  }

  /** The supervisor tells that a task changed its state. */
  stateChanged(taskId: TaskId, accepting: boolean): void {
    this.#intakes.get(taskId)?.stateChanged(accepting);
  }

  /** A disk is there that was not: queues on it may be others now. */
  queuesReopened(): void {
    for (const [taskId, intake] of this.#intakes) {
      const queue = this.#ports.queues.get(taskId);
      if (queue !== undefined) intake.queue = queue;
    }
    if (this.#hasStarted) this.registerStored();
  }

  /** Entries that an earlier run left of tasks that nobody has named yet are there to be taken. All other tasks are
   *  known by now. */
  registerStored(): void {
    this.#hasStarted = true;
    for (const taskId of this.#ports.queues.leftBehind()) {
      try {
        this.register(taskId, { storage: 'disk' });
      } catch (error) {
        // They stay where they are.
        if (!(error instanceof SuperNodeError)) throw error;
      }
    }
  }

  /** Entries of a task were evicted because they were too old. */
  expired(taskId: TaskId): void {
    this.#intakes.get(taskId)?.expired();
  }

  /** The supervisor tells that a task is gone. */
  removed(taskId: TaskId): void {
    this.#auto.delete(taskId);
    this.#intakes.get(taskId)?.close();
    this.#intakes.delete(taskId);
    this.#ports.queues.drop(taskId);
    this.#ports.changed();
  }
}

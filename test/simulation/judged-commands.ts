import assert from 'node:assert/strict';
import { SuperNodeError } from '../../src/core/errors.js';
import type { TaskRecord } from '../../src/core/task-record.js';
import type { TaskId } from '../../src/core/topics.js';
import type { Supervisor } from '../../src/supervisor/supervisor.js';
import type { FakeProcess, FakeSpawner } from '../fixtures/fake-spawner.js';
import { TASKS } from './simulated-tasks.js';
import type { Trail, WorkerTrails } from './worker-trails.js';

/** Commands at any moment: each is answered once, and not before what it promised. */
export class JudgedCommands {
  given = 0;
  answered = 0;
  /** The shutdown is through. */
  isDown = false;
  /** Tasks that were told to be so. */
  readonly unkillable = new Set<string>();
  readonly #supervisor: Supervisor;
  readonly #spawner: FakeSpawner;
  readonly #trails: WorkerTrails;
  readonly #errors: unknown[];
  readonly #down: () => void;
  readonly #successors = new Map<string, TaskRecord>();

  constructor(supervisor: Supervisor, spawner: FakeSpawner, trails: WorkerTrails, errors: unknown[], down: () => void) {
    this.#supervisor = supervisor;
    this.#spawner = spawner;
    this.#trails = trails;
    this.#errors = errors;
    this.#down = down;
  }

  start(record: TaskRecord): void {
    const { taskId } = record;
    const before = this.#supervisor.has(taskId) ? this.#supervisor.record(taskId) : undefined;
    const states = this.states(taskId);
    const removing = this.#spawner.living(taskId).some((one) => this.#trailOf(one).wish === 'remove');
    const has = before !== undefined;
    const workers = has && before.instances === record.instances ? states.length : record.instances;
    try {
      if (removing && !this.#trails.isClosing) this.#successors.set(taskId, record);
      else if (!this.#trails.isClosing && this.#mayStart(taskId, before, record)) {
        for (let instance = 1; instance <= workers; instance += 1) {
          this.#trails.commanded(this.#trails.of(taskId, instance), 'start', states[instance - 1] ?? 'pending');
        }
        for (let instance = record.instances + 1; instance <= 3; instance += 1) this.#trails.dropped(taskId, instance);
      }
      this.#supervisor.start(record);
      assert(!this.#trails.isClosing, 'a start was taken during the shutdown');
    } catch (error) {
      if (!(error instanceof SuperNodeError)) throw error;
      if (error.code === 'SN_ERR_CLOSING') assert(this.#trails.isClosing);
      else assert(error.code === 'SN_ERR_TASK_EXISTS' && !this.#mayStart(taskId, before, record), error.message);
    }
  }

  /** Another number of workers needs a task at rest. */
  #mayStart(taskId: TaskId, before: TaskRecord | undefined, record: TaskRecord): boolean {
    if (before === undefined || before === record) return true;
    const resting = new Set(['pending', 'stopped', 'exited', 'failed']);
    return this.#spawner.living(taskId).length === 0 && this.states(taskId).every((state) => resting.has(state));
  }

  states(taskId: TaskId): string[] {
    return this.#supervisor.has(taskId) ? this.#supervisor.status(taskId).workers.map(({ state }) => state) : [];
  }

  give(type: 'stop' | 'restart' | 'remove', taskId: TaskId): void {
    const living = this.#spawner.living(taskId);
    const workers: { trail: Trail; generation: number }[] = [];
    const known = this.#supervisor.has(taskId);
    const closing = this.#trails.isClosing;
    const refused = closing && type === 'restart';
    if (known && !refused) {
      this.#successors.delete(taskId);
      for (const { instance, state } of this.#supervisor.status(taskId).workers) {
        const trail = this.#trails.of(taskId, instance);
        workers.push({ trail, generation: trail.generation });
        this.#trails.commanded(trail, type, state);
      }
    }
    this.given += 1;
    const isDown = this.isDown;
    this.#supervisor[type](taskId)
      .then(
        () => {
          this.answered += 1;
          assert(!living.some((one) => one.lives), `${type} was answered while its process lives`);
          const isEach = workers.every(({ trail, generation }) => trail.generation > generation);
          assert(type !== 'restart' || isEach, 'restart was answered before the start');
          assert(!isDown, `${type} was done after the shutdown`);
        },
        (error: unknown) => {
          this.answered += 1;
          const code = error instanceof SuperNodeError ? error.code : undefined;
          if (!known) assert(code === 'SN_ERR_TASK_UNKNOWN' || refused, `${type} of nothing: ${error}`);
          else if (code === 'SN_ERR_UNKILLABLE') assert(this.unkillable.has(taskId), `${type}: ${error}`);
          else if (code === 'SN_ERR_CLOSING') assert(this.#trails.isClosing, `${type}: ${error}`);
          else assert(code === 'SN_ERR_SUPERSEDED' && type === 'restart', `${type} was refused: ${error}`);
        },
      )
      .catch((error: unknown) => this.#errors.push(error));
  }

  shutdown(): void {
    if (!this.#trails.isClosing) {
      for (const taskId of TASKS) {
        for (const { instance, state } of this.#supervisor.has(taskId) ? this.#supervisor.status(taskId).workers : []) {
          this.#trails.commanded(this.#trails.of(taskId, instance), 'stop', state);
        }
      }
    }
    this.#trails.isClosing = true;
    this.#successors.clear();
    this.#supervisor.shutdown().then(
      () => {
        this.isDown = true;
        this.#down();
      },
      (error: unknown) => this.#errors.push(error),
    );
  }

  /** The task is forgotten; a start that waited for it comes now. */
  removed(taskId: TaskId): void {
    this.#trails.forgotten(taskId);
    const successor = this.#successors.get(taskId);
    this.#successors.delete(taskId);
    for (let instance = 1; instance <= (successor?.instances ?? 0); instance += 1) {
      this.#trails.commanded(this.#trails.of(taskId, instance), 'start', 'pending');
    }
  }

  #trailOf({ taskId, instance }: FakeProcess): Trail {
    return this.#trails.of(taskId, instance);
  }
}

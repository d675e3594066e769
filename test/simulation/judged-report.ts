import assert from 'node:assert/strict';
import type { ProcessExit } from '../../src/core/ports.js';
import type { TaskId } from '../../src/core/topics.js';
import type { WorkerKey } from '../../src/core/worker-key.js';
import type { SupervisorReport, TaskStatus } from '../../src/supervisor/status.js';
import type { JudgedOutput } from './judged-output.js';

export interface ReportHooks {
  told(type: string, taskId: TaskId, instance: number, data: Record<string, unknown>): void;
  removed(taskId: TaskId): void;
  closed(worker: WorkerKey): void;
}

/** What a supervisor tells, kept as far as it is judged. */
export class JudgedReport implements SupervisorReport {
  isDown = false;
  readonly #output: JudgedOutput;
  readonly #hooks: ReportHooks;
  readonly #states = new Map<string, TaskStatus>();
  readonly #news = new Set<string>();
  /** Processes that are gone and were not told to be, by worker. */
  readonly #goneUntold = new Map<string, ProcessExit>();
  /** Workers of which nobody need expect anything, as SIGKILL does not end them; the event that says so comes next. */
  readonly #givenUp = new Set<string>();
  readonly #wrong: (what: string) => void;
  #checks = 0;

  constructor(output: JudgedOutput, hooks: ReportHooks, wrong: (what: string) => void) {
    this.#output = output;
    this.#hooks = hooks;
    this.#wrong = wrong;
  }

  /** A process is gone; the supervisor learns it next. */
  gone(worker: string, exit: ProcessExit): void {
    if (!this.isDown) this.#goneUntold.set(worker, exit);
  }

  /** Whether anything was told of a task since this was asked last. */
  wasTold(taskId: string): boolean {
    return this.#news.delete(taskId);
  }

  /** What people were told last is how the task stands. */
  checkTold(status: TaskStatus): void {
    const told = this.#states.get(status.taskId);
    assert.equal(told?.state, status.state, `the state of ${status.taskId} that was told last`);
    this.#checks += 1;
    if (this.#checks % 16 === 0) assert.equal(textOf(told), textOf(status), 'the status that was told last');
  }

  checkGone(): void {
    assert.deepEqual([...this.#goneUntold.keys()], [], 'gone, and nobody was told');
    assert.deepEqual([...this.#givenUp], [], 'given up, and not told to be unkillable');
  }

  defined(): void {
    // Records are not judged here.
  }
  stateChanged(status: TaskStatus): void {
    this.#states.set(status.taskId, status);
    this.#news.add(status.taskId);
  }
  event(type: string, taskId: TaskId, data: Record<string, unknown>): void {
    if (type === 'output_dropped') this.#output.dropped(data);
    const [, instance = '1'] = String(data.worker_id ?? taskId).split('~');
    if (type === 'unkillable' && !this.#givenUp.delete(`${taskId}~${instance}`)) {
      this.#wrong(`${taskId}~${instance} is unkillable, and who waits for it was not told`);
    }
    this.#hooks.told(type, taskId, Number(instance), data);
  }
  output(): void {
    this.#output.logged();
  }
  data(_worker: WorkerKey, line: Uint8Array): undefined | Promise<void> {
    return this.#output.data(line);
  }
  answer(): undefined {
    return undefined;
  }
  workerGone({ taskId, instance }: WorkerKey, why: string): void {
    if (why.startsWith('silent')) return;
    const worker = `${taskId}~${instance}`;
    if (why.startsWith('SIGKILL')) {
      this.#givenUp.add(worker);
      return;
    }
    const exit = this.#goneUntold.get(worker);
    if (!this.#goneUntold.delete(worker)) this.#wrong(`${worker} was told to be gone, and was not`);
    else if (!why.endsWith(exit?.signal ? `signal ${exit.signal}` : `exit code ${exit?.code}`)) {
      this.#wrong(`${worker} is gone: ${why}`);
    }
  }
  removed(taskId: TaskId): void {
    this.#states.delete(taskId);
    this.#output.removed(taskId);
    this.#hooks.removed(taskId);
  }
  closeChannels(worker: WorkerKey): void {
    this.#hooks.closed(worker);
  }
}

/** Output that comes after the end of a run is not told again. */
function textOf(status: TaskStatus | undefined): string {
  return JSON.stringify(status, (name, value) => (name === 'stdout' ? undefined : value));
}

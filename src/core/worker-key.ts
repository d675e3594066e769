import type { TaskId } from './topics.js';

/** One start of one worker of a task. */
export interface WorkerKey {
  readonly taskId: TaskId;
  /** Which worker of the task, from 1. */
  readonly instance: number;
  /** Which start of this worker, from 1. */
  readonly generation: number;
}

/** The name of a worker: its task's, or `<task>~<instance>` in a pool. */
export function workerIdOf(taskId: TaskId, instance: number, instances: number): string {
  return instances > 1 ? `${taskId}~${instance}` : taskId;
}

/** What stands in `Seat.worker` for a worker with a process. No net client's text has this form. */
export function seatOwner({ taskId, instance, generation }: WorkerKey): string {
  return `${taskId}~${instance}:${generation}`;
}

import type { Cancel, Clock } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import type { TaskQueue } from './task-queue.js';

/** Queues that wait for their next entry to be too old. */
export class Expiries {
  readonly #clock: Clock;
  readonly #expired: (taskId: TaskId) => void;
  readonly #waiting = new Map<TaskQueue, Cancel>();

  /** @param expired Entries of this task were evicted because they were too old */
  constructor(clock: Clock, expired: (taskId: TaskId) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** It got an entry. */
  fed(queue: TaskQueue): void {
    if (queue.bounds.ttlMs > 0 && !this.#waiting.has(queue)) this.look(queue);
  }

  /** Evicts what is too old now, and again when the next one is. */
  look(queue: TaskQueue): void {
    this.forget(queue);
    const nowMs = this.#clock.now();
    const { dropped } = queue;
    const nextMs = queue.expire(nowMs);
    if (queue.dropped > dropped) this.#expired(queue.taskId);
    if (nextMs === undefined) return;
    const cancel = this.#clock.after(nextMs - nowMs, () => this.look(queue));
    this.#waiting.set(queue, cancel);
  }

  forget(queue: TaskQueue): void {
    this.#waiting.get(queue)?.();
    this.#waiting.delete(queue);
  }

  clear(): void {
    for (const cancel of this.#waiting.values()) cancel();
    this.#waiting.clear();
  }
}

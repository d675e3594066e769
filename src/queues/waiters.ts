import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';

/** Somebody who waits for entries. Leaves by itself when it wants no more. */
export interface Waiter {
  /** Something may be there for it. True: it took some, and may want more. */
  serve(): boolean;
  giveUp(): void;
  /** The task it waits for is removed. */
  taskGone(): void;
}

/** Who waits for which task: first come, first served, those who wait for any task among them. Who took some and stays
 *  goes to the end of the line. */
export class Waiters {
  readonly #byTask = new Map<TaskId | undefined, Map<Waiter, number>>();
  #order = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param taskId Undefined: waits for any task.
   *  @returns ends the waiting
   *  @throws SuperNodeError SN_ERR_LIMIT: too many wait */
  add(taskId: TaskId | undefined, waiter: Waiter): Cancel {
    if (this.#size >= LIMITS.waitersMax) {
      const expected = `at most ${LIMITS.waitersMax} fetches that wait and subscriptions that take`;
      throw new SuperNodeError('SN_ERR_LIMIT', `queues: expected ${expected}, got one more`);
    }
    const waiters = this.#byTask.get(taskId) ?? new Map<Waiter, number>();
    this.#byTask.set(taskId, waiters.set(waiter, this.#order++));
    this.#size++;
    return () => {
      if (!waiters.delete(waiter)) return;
      this.#size--;
      if (waiters.size === 0 && this.#byTask.get(taskId) === waiters) this.#byTask.delete(taskId);
    };
  }

  /** Lets those who wait for one of these tasks, or for any, look again, in the order in which they came, until nobody
   *  takes any more. */
  serve(taskIds: Iterable<TaskId | undefined>): void {
    const keys = new Set<TaskId | undefined>([undefined, ...taskIds]);
    let line = [...keys].flatMap((taskId) => {
      const waiters = this.#byTask.get(taskId);
      return waiters ? Array.from(waiters, ([waiter, order]) => ({ waiters, waiter, order })) : [];
    });
    line.sort((a, b) => a.order - b.order);
    while (line.length > 0) line = line.filter(({ waiters, waiter }) => this.#serve(waiters, waiter));
  }

  taskGone(taskId: TaskId): void {
    for (const waiter of [...(this.#byTask.get(taskId)?.keys() ?? [])]) waiter.taskGone();
  }

  giveUp(): void {
    for (const waiters of [...this.#byTask.values()]) {
      for (const waiter of [...waiters.keys()]) waiter.giveUp();
    }
  }

  /** Whether it took some and stays. */
  #serve(waiters: Map<Waiter, number>, waiter: Waiter): boolean {
    if (!waiters.has(waiter) || !waiter.serve() || !waiters.has(waiter)) return false;
    waiters.set(waiter, this.#order++);
    return true;
  }
}

import type { Cancel } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';

/** Somebody who waits for entries. Leaves by itself once it was answered. */
export interface Waiter {
  /** Something may be there for it. */
  serve(): void;
  giveUp(): void;
}

/** Who waits for which task: first come, first served, those who wait for any task among them. */
export class Waiters {
  readonly #byTask = new Map<TaskId | undefined, Map<Waiter, number>>();
  #order = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param taskId Undefined: waits for any task.
   *  @returns ends the waiting */
  add(taskId: TaskId | undefined, waiter: Waiter): Cancel {
    const waiters = this.#byTask.get(taskId) ?? new Map<Waiter, number>();
    this.#byTask.set(taskId, waiters.set(waiter, this.#order++));
    this.#size++;
    return () => {
      if (!waiters.delete(waiter)) return;
      this.#size--;
      if (waiters.size === 0 && this.#byTask.get(taskId) === waiters) this.#byTask.delete(taskId);
    };
  }

  /** Lets those who wait for one of these tasks, or for any, look again, in the order in which they came. */
  serve(taskIds: readonly TaskId[]): void {
    const concerned = [undefined, ...taskIds].flatMap((taskId) => [...(this.#byTask.get(taskId) ?? [])]);
    for (const [waiter] of concerned.sort(([, a], [, b]) => a - b)) waiter.serve();
  }

  giveUp(): void {
    for (const waiters of [...this.#byTask.values()]) {
      for (const waiter of [...waiters.keys()]) waiter.giveUp();
    }
  }
}

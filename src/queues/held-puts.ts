import { deferred } from '../core/deferred.js';
import type { Clock } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import type { ByteBudget } from './entry.js';

/** What a queue says to a put: settled, or when it will be; `full`: not taken. */
export type Attempt = undefined | 'dropped' | 'full' | Promise<void>;

/** A put that its queue has no room for yet. */
export interface HeldPut {
  /** Settled when it is in the queue for good, or dropped and counted. Never rejects. */
  readonly done: Promise<void>;
  /** It leaves the line. False: it is in the queue by now. */
  giveUp(): boolean;
}

interface Waiting {
  attempt(): Attempt;
  /** Undefined: it is settled. */
  go(flushed: Promise<void> | undefined): void;
}

/** Puts that wait for room, a line for each task: first come, first served. */
export class HeldPuts {
  readonly #clock: Clock;
  readonly #budgets: readonly ByteBudget[];
  readonly #lines = new Map<TaskId, Set<Waiting>>();
  #isServing = false;

  /** @param budgets Of all queues */
  constructor(clock: Clock, budgets: readonly ByteBudget[]) {
    this.#clock = clock;
    this.#budgets = budgets;
  }

  /** Whether a put must wait behind others. */
  has(taskId: TaskId): boolean {
    return this.#lines.has(taskId);
  }

  /** @param attempt Puts it, if there is room. Called again and again until it is taken. */
  hold(taskId: TaskId, attempt: () => Attempt): HeldPut {
    const line = this.#lines.get(taskId) ?? new Set<Waiting>();
    this.#lines.set(taskId, line);
    const { promise: done, resolve } = deferred();
    const waiting: Waiting = {
      attempt,
      go: (flushed) => {
        if (flushed === undefined) resolve();
        else flushed.then(resolve);
      },
    };
    line.add(waiting);
    // Whatever leaves any queue may be the room that it waits for: all queues share their bytes.
    for (const budget of this.#budgets) budget.freed = () => this.serveSoon();
    return { done, giveUp: () => this.#leave(taskId, line, waiting) };
  }

  /** There may be room: what waits is tried again at the end of the turn. */
  serveSoon(): void {
    if (this.#isServing || this.#lines.size === 0) return;
    this.#isServing = true;
    this.#clock.soon(() => {
      this.#isServing = false;
      for (const [taskId, line] of [...this.#lines]) this.#serve(taskId, line);
    });
  }

  #serve(taskId: TaskId, line: Set<Waiting>): void {
    for (const waiting of line) {
      const outcome = waiting.attempt();
      if (outcome === 'full') return;
      this.#leave(taskId, line, waiting);
      waiting.go(outcome === 'dropped' ? undefined : outcome);
    }
  }

  #leave(taskId: TaskId, line: Set<Waiting>, waiting: Waiting): boolean {
    if (!line.delete(waiting)) return false;
    if (line.size === 0 && this.#lines.get(taskId) === line) this.#lines.delete(taskId);
    if (this.#lines.size > 0) return true;
    for (const budget of this.#budgets) budget.freed = undefined;
    return true;
  }
}

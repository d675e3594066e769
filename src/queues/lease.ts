import type { TaskId } from '../core/topics.js';
import type { Entry } from './entry.js';
import type { TaskQueue } from './task-queue.js';

/** Entries that were taken together by a group. Each is settled or given back once; what was evicted, purged or handed
 *  out again meanwhile is nobody's here any more. */
export class Lease {
  readonly group: string;
  /** The queues as they were when it was taken: after a `remove`, a new one of the same name owns none of it. */
  readonly #open = new Map<TaskQueue, Set<number>>();

  constructor(group: string) {
    this.group = group;
  }

  hold(entries: readonly Entry[], queueOf: (taskId: TaskId) => TaskQueue | undefined): void {
    for (const { taskId, seq } of entries) {
      const queue = queueOf(taskId);
      if (queue !== undefined) this.#open.set(queue, (this.#open.get(queue) ?? new Set()).add(seq));
    }
  }

  /** Entries that are neither settled nor given back. */
  get size(): number {
    let size = 0;
    for (const seqs of this.#open.values()) size += seqs.size;
    return size;
  }

  /** Of them, those that nobody took from it: by a bound, a purge, a remove. */
  get living(): number {
    let living = 0;
    for (const [queue, seqs] of this.#open) {
      const group = queue.find(this.group);
      for (const seq of seqs) if (group?.isHeldBy(seq, this)) living += 1;
    }
    return living;
  }

  /** Whether it has one of these. */
  hasSome(seqs: readonly number[]): boolean {
    return seqs.some((seq) => [...this.#open.values()].some((open) => open.has(seq)));
  }

  get taskIds(): readonly TaskId[] {
    return Array.from(this.#open.keys(), ({ taskId }) => taskId);
  }

  /** Ends it for one of its entries. */
  endOne({ taskId, seq }: Entry, how: 'settle' | 'giveBack'): void {
    for (const [queue, open] of this.#open) {
      if (queue.taskId !== taskId || !open.delete(seq)) continue;
      if (queue[how](this.group, seq, this)) queue.counts.ended(how);
      if (open.size === 0) this.#open.delete(queue);
      return;
    }
  }

  /** Ends it for all, or for some.
   *  @param seqs Of a lease on one task
   *  @returns How many it was ended for */
  end(how: 'settle' | 'giveBack', seqs?: readonly number[]): number {
    let ended = 0;
    for (const [queue, open] of this.#open) {
      for (const seq of seqs ?? [...open]) {
        if (!open.delete(seq) || !queue[how](this.group, seq, this)) continue;
        queue.counts.ended(how);
        ended += 1;
      }
      if (open.size === 0) this.#open.delete(queue);
    }
    return ended;
  }
}

import type { TaskId } from '../core/topics.js';
import type { Entry, TaskQueue } from './task-queue.js';

interface Item {
  /** As it was when it was taken: after a `remove`, a new queue of the same name owns none of it. */
  readonly queue: TaskQueue;
  readonly seq: number;
}

/** Entries that were taken together by a group. Each is settled or given back once; what was evicted, purged or handed
 *  out again meanwhile is nobody's here any more. */
export class Lease {
  readonly group: string;
  #open: Item[] = [];

  constructor(group: string) {
    this.group = group;
  }

  hold(entries: readonly Entry[], queueOf: (taskId: TaskId) => TaskQueue | undefined): void {
    this.#open = entries.flatMap(({ taskId, seq }) => {
      const queue = queueOf(taskId);
      return queue ? [{ queue, seq }] : [];
    });
  }

  /** Entries that are neither settled nor given back. */
  get size(): number {
    return this.#open.length;
  }

  get taskIds(): ReadonlySet<TaskId> {
    return new Set(this.#open.map(({ queue }) => queue.taskId));
  }

  /** Ends it for all, or for some.
   *  @param seqs Of a lease on one task
   *  @returns How many it was ended for */
  end(how: 'settle' | 'giveBack', seqs?: readonly number[]): number {
    const wanted = seqs && new Set(seqs);
    const ended = wanted ? this.#open.filter(({ seq }) => wanted.has(seq)) : this.#open;
    this.#open = wanted ? this.#open.filter(({ seq }) => !wanted.has(seq)) : [];
    return ended.filter(({ queue, seq }) => queue[how](this.group, seq, this)).length;
  }
}

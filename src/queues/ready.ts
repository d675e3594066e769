import type { TaskQueue } from './task-queue.js';

/** Groups that are remembered; with more of them all queues are looked at each time. */
const GROUPS_MAX = 64;

/** Which queues may have something for a group that takes of all tasks: those that got something since they were found
 *  empty. Without it each take would look at ten thousand queues to find one. */
export class ReadyQueues {
  readonly #byGroup = new Map<string, Set<TaskQueue>>();

  /** @param all Every queue there is, for a group that takes of all tasks for the first time */
  of(group: string, all: Iterable<TaskQueue>): Iterable<TaskQueue> {
    const known = this.#byGroup.get(group);
    if (known !== undefined) return known;
    const queues = new Set(all);
    if (queues.size > 0 && this.#byGroup.size < GROUPS_MAX) this.#byGroup.set(group, queues);
    return queues;
  }

  /** Something came, or came back. */
  fed(queue: TaskQueue): void {
    for (const queues of this.#byGroup.values()) queues.add(queue);
  }

  /** It has nothing for this group now. */
  emptied(group: string, queue: TaskQueue): void {
    this.#byGroup.get(group)?.delete(queue);
  }

  dropped(queue: TaskQueue): void {
    for (const queues of this.#byGroup.values()) queues.delete(queue);
  }
}

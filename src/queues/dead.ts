import { DEAD_GROUP } from '../core/topics.js';
import type { DeadMark, EntryLog } from './entry-log.js';
import { Group } from './group.js';

/** Entries that were given back too often: a group that is done with everything else, and knows where they died. */
export class Dead {
  readonly group: Group;
  /** Names of the groups, by `seq`. */
  readonly #diedIn = new Map<number, Set<string>>();

  constructor(log: EntryLog) {
    const marked = (seq: number) => log.markedDead(seq);
    this.group = new Group({ id: 0, name: DEAD_GROUP, marked }, Number.POSITIVE_INFINITY, 0);
  }

  get length(): number {
    return this.group.readyLength + this.group.leasedLength;
  }

  restore(marks: readonly DeadMark[]): void {
    this.group.restore(marks, 0);
    for (const { seq, groups } of marks) this.#diedIn.set(seq, new Set(groups));
  }

  /** As the log keeps it. */
  mark(seq: number): DeadMark | undefined {
    const groups = this.#diedIn.get(seq);
    return groups && { seq, attempts: this.group.attempts(seq), groups: [...groups] };
  }

  add(seq: number, attempts: number, groupName: string): void {
    this.#diedIn.set(seq, (this.#diedIn.get(seq) ?? new Set()).add(groupName));
    this.group.add(seq, attempts);
  }

  diedIn(seq: number): Iterable<string> {
    return this.#diedIn.get(seq) ?? [];
  }

  all(): readonly number[] {
    return [...this.#diedIn.keys()];
  }

  /** Settled, requeued, purged or evicted. */
  forget(seq: number): void {
    if (!this.#diedIn.delete(seq)) return;
    this.group.finish(seq);
  }

  clear(): void {
    this.group.clear(0);
    this.#diedIn.clear();
  }
}

import { DEAD_GROUP } from '../core/topics.js';
import type { DeadMark, EntryLog } from './entry-log.js';
import { Group } from './group.js';
import type { Groups } from './groups.js';

/** Entries that were given back too often: a group that is done with everything else, and knows where they died. */
export class Dead {
  readonly group: Group;
  /** Names of the groups, by `seq`. */
  readonly #diedIn = new Map<number, Set<string>>();
  readonly #marked: (seq: number) => void;

  constructor(log: EntryLog) {
    this.#marked = (seq) => log.markedDead(seq);
    this.group = new Group({ id: 0, name: DEAD_GROUP, marked: this.#marked }, Number.POSITIVE_INFINITY, 0);
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
    // It may be there already: it died in another group as well.
    this.#marked(seq);
  }

  /** Gives those that nobody has on lease back to where they died, with no attempts behind them; to all groups where
   *  none of those is left.
   *  @returns How many */
  requeue(groups: Groups): number {
    const dead = this.group.allReturned();
    for (const seq of dead) {
      const living = [...(this.#diedIn.get(seq) ?? [])].flatMap((name) => groups.get(name) ?? []);
      for (const group of living.length > 0 ? living : groups) group.add(seq, 0);
      this.forget(seq);
    }
    return dead.length;
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

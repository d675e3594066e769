import { mismatch } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { DEFAULT_GROUP, type TaskId } from '../core/topics.js';
import type { EntryLog, GroupState, Mark } from './entry-log.js';
import { Group } from './group.js';

/** The active groups of one queue. The default group is one while there is no other, or once it was used; a named one
 *  from its first use. */
export class Groups {
  readonly #taskId: TaskId;
  readonly #log: EntryLog;
  readonly #byName = new Map<string, Group>();
  #isDefaultUsed = false;

  constructor(taskId: TaskId, log: EntryLog) {
    this.#taskId = taskId;
    this.#log = log;
  }

  get isDefaultUsed(): boolean {
    return this.#isDefaultUsed;
  }

  /** @param isDefaultUsed As `states` was told */
  restore(states: readonly GroupState[], marks: readonly Mark[], isDefaultUsed: boolean): void {
    this.#isDefaultUsed = isDefaultUsed;
    for (const { id, name, cursor, ahead, dropped } of states) {
      const own = marks.filter(({ groupId }) => groupId === id);
      this.#add(name, cursor, ahead, id).restore(own, dropped);
    }
  }

  /** As the log keeps them.
   *  @param hidden Entries that count as ahead after a restart */
  states(hidden: number): readonly GroupState[] {
    return Array.from(this.#byName.values(), ({ id, name, cursor, ahead, dropped }) => ({
      id,
      name,
      cursor,
      ahead: ahead + hidden,
      dropped,
    }));
  }

  get(name: string): Group | undefined {
    return this.#byName.get(name);
  }

  [Symbol.iterator](): IterableIterator<Group> {
    return this.#byName.values();
  }

  get size(): number {
    return this.#byName.size;
  }

  used(name: string): void {
    if (name === DEFAULT_GROUP) this.#isDefaultUsed = true;
  }

  /** The default group always has its place. */
  hasRoomFor(name: string): boolean {
    return name === DEFAULT_GROUP || this.size - Number(this.#byName.has(DEFAULT_GROUP)) < LIMITS.groupsMax;
  }

  /** @param ahead Entries held from `cursor` on
   *  @throws SuperNodeError SN_ERR_LIMIT */
  create(name: string, cursor: number, ahead: number): Group {
    if (!this.hasRoomFor(name)) {
      throw mismatch('SN_ERR_LIMIT', 'group', `at most ${LIMITS.groupsMax} of ${this.#taskId}`, name);
    }
    const group = this.#add(name, cursor, ahead, this.#freeId());
    // Until then it stood for whoever would come.
    if (name !== DEFAULT_GROUP && !this.#isDefaultUsed) this.#byName.delete(DEFAULT_GROUP);
    this.#log.changed('soon');
    return group;
  }

  /** False: there is none. */
  remove(name: string): boolean {
    const group = this.#byName.get(name);
    if (group === undefined) return false;
    for (const seq of group.all()) this.#log.marked(group.id, seq);
    this.#byName.delete(name);
    if (name === DEFAULT_GROUP) this.#isDefaultUsed = false;
    this.#log.changed('soon');
    return true;
  }

  marksIn(groupId: number, from: number, to: number): readonly Mark[] {
    const marks: Mark[] = [];
    for (const group of this.#byName.values()) {
      if (group.id !== groupId) continue;
      for (let seq = from; seq < to; seq += 1) {
        if (group.has(seq)) marks.push({ groupId, seq, attempts: group.attempts(seq) });
      }
    }
    return marks;
  }

  #add(name: string, cursor: number, ahead: number, id: number): Group {
    const group = new Group({ id, name, marked: (seq) => this.#log.marked(id, seq) }, cursor, ahead);
    this.#byName.set(name, group);
    return group;
  }

  #freeId(): number {
    const taken = new Set(Array.from(this.#byName.values(), ({ id }) => id));
    let id = 1;
    while (taken.has(id)) id += 1;
    return id;
  }
}

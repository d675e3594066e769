import { mismatch } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { QueueBounds } from '../core/task-record.js';
import { DEAD_GROUP, DEFAULT_GROUP, type TaskId } from '../core/topics.js';
import type { EntryLog, LoggedEntry } from './entry-log.js';
import { Group, type Holder } from './group.js';
import { lowerBound } from './lower-bound.js';

/** One datum of a task, as it is handed out. `seq` counts from 1 within the queue's epoch, `tsMs` is wall time and never
 *  falls within a queue, `attempts` is 1 at the first hand-out and 0 for one that was only read. */
export interface Entry {
  readonly taskId: TaskId;
  readonly seq: number;
  readonly tsMs: number;
  readonly payload: Uint8Array;
  readonly topic: string | undefined;
  readonly attempts: number;
}

/** Bytes that several queues share. */
export interface ByteBudget {
  bytes: number;
  readonly bytesMax: number;
}

/** When something is put. */
export interface PutTime {
  readonly wallMs: number;
  readonly nowMs: number;
  /** Counts over all queues of the node. */
  readonly arrival: number;
}

/** A bounded queue: its bounds, and who has got how far with it. The entries themselves are in a log.
 *
 *  Every active group sees every entry, and an entry leaves when all of them are done with it, or a bound evicts it. The
 *  default group is active while there is no other, or once it was used; a named one from its first use. What was given
 *  back too often goes over to the group `$dead`, which is done with everything else. */
export class TaskQueue {
  readonly taskId: TaskId;
  readonly epoch: string;
  /** A change holds from the next put on. */
  bounds: QueueBounds;
  /** Entries lost to the bounds in this epoch. */
  dropped = 0;
  /** Puts that were not wanted, because the task is stopped. */
  discarded = 0;
  /** False while the task is stopped: puts are counted in `discarded`. */
  accepting = true;

  readonly #log: EntryLog;
  readonly #budget: ByteBudget;
  readonly #groups = new Map<string, Group>();
  readonly #dead = new Group(DEAD_GROUP, Number.POSITIVE_INFINITY, 0);
  /** From which groups a dead entry came. */
  readonly #diedIn = new Map<number, Set<string>>();
  #isDefaultUsed = false;
  #length = 0;
  #bytes = 0;
  #seq = 0;
  #lastTsMs = 0;

  constructor(taskId: TaskId, epoch: string, bounds: QueueBounds, budget: ByteBudget, log: EntryLog) {
    this.taskId = taskId;
    this.epoch = epoch;
    this.bounds = bounds;
    this.#budget = budget;
    this.#log = log;
    this.#groups.set(DEFAULT_GROUP, new Group(DEFAULT_GROUP, 1, 0));
  }

  /** Entries held, those on lease and the dead included. */
  get length(): number {
    return this.#length;
  }
  /** Bytes held, of the same. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Entries that the default group could take now; undefined while it is not active. */
  get readyLength(): number | undefined {
    return this.#groups.get(DEFAULT_GROUP)?.readyLength;
  }
  /** The newest `seq` given out, 0 before the first. */
  get seq(): number {
    return this.#seq;
  }
  /** Entries that were given back too often. */
  get deadLength(): number {
    return this.#dead.readyLength + this.#dead.leasedLength;
  }

  /** Adds an entry; the bytes are copied. False: dropped by the queue's own policy, and counted. */
  put(payload: Uint8Array, { wallMs, nowMs, arrival }: PutTime, topic: string | undefined): boolean {
    if (!this.accepting) {
      this.discarded += 1;
      return false;
    }
    this.expire(nowMs);
    const bytes = payload.length + (topic === undefined ? 0 : Buffer.byteLength(topic));
    if (!this.#makeRoom(bytes)) {
      this.dropped += 1;
      for (const group of this.#groups.values()) group.dropped += 1;
      return false;
    }
    this.#lastTsMs = Math.max(this.#lastTsMs, wallMs);
    this.#seq += 1;
    this.#log.append({ seq: this.#seq, tsMs: this.#lastTsMs, arrival, putMs: nowMs, payload, topic });
    this.#length += 1;
    this.#bytes += bytes;
    this.#budget.bytes += bytes;
    for (const group of this.#groups.values()) group.ahead += 1;
    return true;
  }

  /** The group of this name, made where there is none.
   *  @throws SuperNodeError SN_ERR_LIMIT */
  group(name: string): Group {
    if (name === DEAD_GROUP) return this.#dead;
    if (name === DEFAULT_GROUP) this.#isDefaultUsed = true;
    return this.#groups.get(name) ?? this.#newGroup(name);
  }

  /** The group of this name, if it is active, or the dead. */
  find(name: string): Group | undefined {
    return name === DEAD_GROUP ? this.#dead : this.#groups.get(name);
  }

  /** Whether there is such a group, or could be. */
  mayHave(name: string): boolean {
    return this.find(name) !== undefined || this.#hasRoomFor(name);
  }

  /** Those that are active, without the dead. */
  groups(): readonly Group[] {
    return [...this.#groups.values()];
  }

  /** Forgets how far a group has got; what only it still needed leaves. False: there is no such group. */
  removeGroup(name: string): boolean {
    if (!this.#groups.delete(name)) return false;
    if (name === DEFAULT_GROUP) this.#isDefaultUsed = false;
    if (this.#groups.size === 0) this.#newGroup(DEFAULT_GROUP);
    for (const seq of this.#held()) this.#leaveIfDone(seq);
    return true;
  }

  /** The entry that the next `take` of the group would hand out. */
  next(group: Group): number | undefined {
    if (group.returned !== undefined) return group.returned;
    if (group.ahead === 0) return undefined;
    const seq = this.#log.next(group.cursor);
    if (seq !== undefined) group.skipTo(seq);
    return seq;
  }

  /** When it came, counted over all queues; for the order between them. */
  arrivalOf(seq: number): number {
    return this.#log.arrival(seq) ?? Number.POSITIVE_INFINITY;
  }

  bytesOf(seq: number): number {
    return this.#log.bytes(seq);
  }

  /** Leases what `next` gave to a holder. */
  take(group: Group, seq: number, holder: Holder): Entry | undefined {
    const logged = this.#log.read(seq);
    return logged && this.#entryOf(logged, group.take(seq, holder));
  }

  /** The holder has it for good. False: it is not on lease to it any more. */
  settle(name: string, seq: number, holder: Holder): boolean {
    const group = this.find(name);
    if (!group?.isHeldBy(seq, holder)) return false;
    group.finish(seq);
    if (group === this.#dead) this.#diedIn.delete(seq);
    this.#leaveIfDone(seq);
    return true;
  }

  /** The holder does not have it: it is the next again, at its old place, or dead. False: as in `settle`. */
  giveBack(name: string, seq: number, holder: Holder): boolean {
    const group = this.find(name);
    if (!group?.isHeldBy(seq, holder)) return false;
    const { maxAttempts } = this.bounds;
    const attempts = group.attempts(seq);
    if (group === this.#dead || maxAttempts === 0 || attempts < maxAttempts) {
      group.giveBack(seq);
      return true;
    }
    group.finish(seq);
    this.#dead.add(seq, attempts);
    this.#diedIn.set(seq, (this.#diedIn.get(seq) ?? new Set()).add(name));
    return true;
  }

  /** Gives the dead that nobody has on lease back to where they died, with no attempts behind them; to all groups where
   *  none of those is left.
   *  @returns How many */
  requeue(): number {
    const dead = this.#dead.allReturned();
    for (const seq of dead) {
      const living = [...(this.#diedIn.get(seq) ?? [])].flatMap((name) => this.#groups.get(name) ?? []);
      for (const group of living.length > 0 ? living : this.#groups.values()) group.add(seq, 0);
      this.#forgetDead(seq);
    }
    return dead.length;
  }

  /** Forgets all entries, or the dead alone. Whoever has some on lease settles or returns them in vain.
   *  @returns How many */
  purge(which: 'all' | 'dead' = 'all'): number {
    if (which === 'all') return this.#clear();
    const dead = [...this.#diedIn.keys()];
    for (const seq of dead) {
      this.#forgetDead(seq);
      this.#leaveIfDone(seq);
    }
    return dead.length;
  }

  /** Entries from a place on, without taking them.
   *  @param bytesMax The first entry is not held to it */
  readFrom(from: { readonly seq: number } | { readonly tsMs: number }, max: number, bytesMax: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (const seq of this.#held('seq' in from ? from.seq : this.#firstSince(from.tsMs))) {
      const logged = this.#log.read(seq);
      if (logged === undefined) break;
      bytes += this.#log.bytes(seq);
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(this.#entryOf(logged, 0));
      if (entries.length === max) break;
    }
    return entries;
  }

  /** Evicts what is older than `ttlMs`.
   *  @returns When the next one will be, monotonic ms; undefined: none */
  expire(nowMs: number): number | undefined {
    const { ttlMs } = this.bounds;
    if (ttlMs === 0) return undefined;
    for (;;) {
      const oldest = this.#log.next(1);
      const putMs = oldest === undefined ? undefined : this.#log.putMs(oldest);
      if (oldest === undefined || putMs === undefined) return undefined;
      if (nowMs - putMs < ttlMs) return putMs + ttlMs;
      this.#evict(oldest);
    }
  }

  /** Room for an entry of so many bytes, by the queue's policy. False: there is none. */
  #makeRoom(bytes: number): boolean {
    const ofOthers = this.#budget.bytes - this.#bytes;
    // Where it can never fit, nothing is evicted for it.
    if (bytes > this.bounds.bytes || ofOthers + bytes > this.#budget.bytesMax) return false;
    while (!this.#hasRoom(bytes)) {
      if (this.bounds.overflow === 'drop_newest') return false;
      const oldest = this.#log.next(1);
      if (oldest === undefined) return false;
      this.#evict(oldest);
    }
    return true;
  }

  #hasRoom(bytes: number): boolean {
    return (
      this.#length < this.bounds.length &&
      this.#bytes + bytes <= this.bounds.bytes &&
      this.#budget.bytes + bytes <= this.#budget.bytesMax
    );
  }

  #evict(seq: number): void {
    for (const group of this.#groups.values()) group.lose(seq);
    this.#forgetDead(seq);
    this.dropped += 1;
    this.#leave(seq);
  }

  #clear(): number {
    const { length } = this;
    for (const group of this.#groups.values()) group.clear(this.#seq + 1);
    this.#dead.clear(0);
    this.#diedIn.clear();
    this.#log.clear();
    this.#budget.bytes -= this.#bytes;
    this.#bytes = 0;
    this.#length = 0;
    return length;
  }

  /** The first `seq` held that is not older: `tsMs` never falls. */
  #firstSince(tsMs: number): number {
    return lowerBound(1, this.#seq + 1, (at) => {
      const seq = this.#log.next(at);
      const entry = seq === undefined ? undefined : this.#log.read(seq);
      return entry !== undefined && entry.tsMs < tsMs;
    });
  }

  #forgetDead(seq: number): void {
    this.#dead.finish(seq);
    this.#diedIn.delete(seq);
  }

  #leaveIfDone(seq: number): void {
    if (!this.#dead.isDone(seq)) return;
    for (const group of this.#groups.values()) if (!group.isDone(seq)) return;
    this.#leave(seq);
  }

  #leave(seq: number): void {
    const bytes = this.#log.bytes(seq);
    this.#log.remove(seq);
    this.#length -= 1;
    this.#bytes -= bytes;
    this.#budget.bytes -= bytes;
  }

  /** It begins with the oldest entry that is held. */
  #newGroup(name: string): Group {
    if (!this.#hasRoomFor(name)) {
      throw mismatch('SN_ERR_LIMIT', 'group', `at most ${LIMITS.groupsMax} of ${this.taskId}`, name);
    }
    const group = new Group(name, 1, this.#length);
    this.#groups.set(name, group);
    // Until then it stood for whoever would come.
    if (name !== DEFAULT_GROUP && !this.#isDefaultUsed) this.#groups.delete(DEFAULT_GROUP);
    return group;
  }

  /** The default group always has its place. */
  #hasRoomFor(name: string): boolean {
    return name === DEFAULT_GROUP || this.#groups.size - Number(this.#groups.has(DEFAULT_GROUP)) < LIMITS.groupsMax;
  }

  *#held(from = 1): Iterable<number> {
    for (let seq = this.#log.next(from); seq !== undefined; seq = this.#log.next(seq + 1)) yield seq;
  }

  #entryOf({ seq, tsMs, payload, topic }: LoggedEntry, attempts: number): Entry {
    return { taskId: this.taskId, seq, tsMs, payload, topic, attempts };
  }
}

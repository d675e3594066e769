import type { QueueBounds } from '../core/task-record.js';
import { DEAD_GROUP, DEFAULT_GROUP, type TaskId } from '../core/topics.js';
import { Dead } from './dead.js';
import type { ByteBudget, Entry, PutResult, PutTime } from './entry.js';
import type { DeadMark, EntryLog, LoggedEntry, LoggedQueue, Mark, QueueState, StoredQueue } from './entry-log.js';
import type { Group, Holder } from './group.js';
import { Groups } from './groups.js';
import { type DropPolicy, QueueCounts } from './queue-counts.js';
import { held, type Place, readLog } from './reading.js';
import { makeRoom, type Roomy } from './room.js';
import { Visible } from './visible.js';

export interface TaskQueueOptions {
  readonly taskId: TaskId;
  readonly bounds: QueueBounds;
  readonly budget: ByteBudget;
  readonly log: EntryLog;
  /** What happens in it is counted here; default: for itself. */
  readonly counts?: QueueCounts;
  /** A new one, or what it was before the node was started. */
  readonly origin: { readonly epoch: string } | StoredQueue;
  /** Entries that were put before may be handed out now. */
  readonly shown: (queue: TaskQueue) => void;
}

/** From so many on, entries that are all too old leave together. */
const MANY = 1_000;

/** A bounded queue: its bounds, and who has got how far with it. The entries themselves are in a log.
 *
 *  Every active group sees every entry, and an entry leaves when all of them are done with it, or a bound evicts it. What
 *  was given back too often goes over to the group `$dead`. */
export class TaskQueue implements LoggedQueue, Roomy {
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
  counts: QueueCounts;

  readonly #log: EntryLog;
  readonly #budget: ByteBudget;
  readonly #groups: Groups;
  readonly #dead: Dead;
  readonly #shown: (queue: TaskQueue) => void;
  #length = 0;
  #bytes = 0;
  #seq = 0;
  readonly #visible = new Visible();
  #lastTsMs = 0;
  #lastArrival = 0;

  constructor({ taskId, bounds, budget, log, origin, shown, counts = new QueueCounts() }: TaskQueueOptions) {
    this.taskId = taskId;
    this.counts = counts;
    this.bounds = bounds;
    this.#budget = budget;
    this.#log = log;
    this.#shown = shown;
    this.#groups = new Groups(taskId, log);
    this.#dead = new Dead(log);
    log.attach(this);
    if ('state' in origin) {
      this.epoch = origin.state.epoch;
      this.#restore(origin);
    } else {
      this.epoch = origin.epoch;
      this.#groups.create(DEFAULT_GROUP, 1, 0);
    }
  }

  /** Entries and bytes held, those on lease and the dead included. */
  get length(): number {
    return this.#length;
  }
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
  /** False: nothing can be put now, whatever its policy says. */
  get isWritable(): boolean {
    return this.#log.isWritable;
  }
  get deadLength(): number {
    return this.#dead.length;
  }
  /** When the oldest entry was put, monotonic ms; undefined: there is none. */
  get oldestPutMs(): number | undefined {
    const oldest = this.#log.next(1);
    return oldest === undefined ? undefined : this.#log.putMs(oldest);
  }

  /** Adds an entry; the bytes are copied. `dropped`: by the queue's own policy, and counted. */
  put(payload: Uint8Array, { wallMs, nowMs, arrival }: PutTime, topic: string | undefined): PutResult {
    if (!this.accepting) {
      this.discarded += 1;
      this.counts.drop('stopped');
      this.#log.changed('lazily');
      return 'dropped';
    }
    if (!this.#log.isWritable) return 'full';
    this.expire(nowMs);
    const bytes = payload.length + (topic === undefined ? 0 : Buffer.byteLength(topic));
    if (!makeRoom(this, this.#budget, bytes)) {
      // It may just have turned out that the log cannot be read.
      const fits = bytes <= Math.min(this.bounds.bytes, this.#budget.bytesMax);
      if (fits && (this.bounds.overflow === 'block' || !this.#log.isWritable)) return 'full';
      this.refuse(fits && this.bounds.overflow === 'drop_newest' ? 'drop_newest' : 'no_room');
      return 'dropped';
    }
    this.#lastTsMs = Math.max(this.#lastTsMs, wallMs);
    this.#lastArrival = arrival;
    this.#seq += 1;
    this.#log.append({ seq: this.#seq, tsMs: this.#lastTsMs, arrival, putMs: nowMs, payload, topic });
    this.#length += 1;
    this.#bytes += bytes;
    this.#budget.bytes += bytes;
    if (this.#log.flushedSeq >= this.#seq) this.#show();
    return 'stored';
  }

  /** A put is dropped, and counted as one that the queue had no room for. */
  refuse(policy: DropPolicy = 'block'): void {
    this.dropped += 1;
    this.counts.drop(policy);
    for (const group of this.#groups) group.dropped += 1;
    this.#log.changed('soon');
  }

  /** Settles when all that was done so far is flushed. Undefined: it is. */
  whenFlushed = (): Promise<void> | undefined => this.#log.whenFlushed();

  /** The group of this name, made where there is none.
   *  @throws SuperNodeError SN_ERR_LIMIT */
  group(name: string): Group {
    if (name === DEAD_GROUP) return this.#dead.group;
    this.#groups.used(name);
    return this.#groups.get(name) ?? this.#newGroup(name, 'first');
  }

  /** Makes sure that a group is there.
   *  @param from Where a new one begins: at the oldest entry, or with what comes from now on
   *  @throws SuperNodeError SN_ERR_LIMIT */
  define(name: string, from: 'first' | 'new'): void {
    if (this.#groups.get(name) !== undefined) return;
    this.#newGroup(name, from);
    // Where it took the place of the default group nobody needs what came before.
    if (from === 'new') this.#leaveWhatIsDone();
  }

  /** The group of this name, if it is active, or the dead. */
  find(name: string): Group | undefined {
    return name === DEAD_GROUP ? this.#dead.group : this.#groups.get(name);
  }

  /** Whether there is such a group, or could be. */
  mayHave(name: string): boolean {
    return this.find(name) !== undefined || this.#groups.hasRoomFor(name);
  }

  /** Those that are active, without the dead. */
  groups(): readonly Group[] {
    return [...this.#groups];
  }

  /** Forgets how far a group has got; what only it still needed leaves. False: there is no such group. */
  removeGroup(name: string): boolean {
    if (!this.#groups.remove(name)) return false;
    if (this.#groups.size === 0) this.#newGroup(DEFAULT_GROUP, 'first');
    this.#leaveWhatIsDone();
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
    if (logged !== undefined) this.#log.changed('lazily');
    return logged && this.#entryOf(logged, group.take(seq, holder));
  }

  /** The holder has it for good. False: it is not on lease to it any more. */
  settle(name: string, seq: number, holder: Holder): boolean {
    const group = this.find(name);
    if (!group?.isHeldBy(seq, holder)) return false;
    group.finish(seq);
    if (group === this.#dead.group) this.#dead.forget(seq);
    this.#leaveIfDone(seq);
    this.#log.changed('lazily');
    return true;
  }

  /** The holder does not have it: it is the next again, at its old place, or dead. False: as in `settle`. */
  giveBack(name: string, seq: number, holder: Holder): boolean {
    const group = this.find(name);
    if (!group?.isHeldBy(seq, holder)) return false;
    const { maxAttempts } = this.bounds;
    const attempts = group.attempts(seq);
    if (group === this.#dead.group || maxAttempts === 0 || attempts < maxAttempts) {
      group.giveBack(seq);
      return true;
    }
    group.finish(seq);
    this.#dead.add(seq, attempts, name);
    this.#log.changed('lazily');
    return true;
  }

  /** Gives the dead that nobody has on lease back to where they died, with no attempts behind them; to all groups where
   *  none of those is left.
   *  @returns How many */
  requeue(): number {
    const count = this.#dead.requeue(this.#groups);
    if (count > 0) this.#log.changed('soon');
    return count;
  }

  /** Forgets all entries, or the dead alone. Whoever has some on lease settles or returns them in vain.
   *  @returns How many */
  purge(which: 'all' | 'dead' = 'all'): number {
    if (which === 'all') return this.#clear();
    const dead = this.#dead.all();
    for (const seq of dead) {
      this.#dead.forget(seq);
      this.#leaveIfDone(seq);
    }
    if (dead.length > 0) this.#log.changed('soon');
    return dead.length;
  }

  /** Entries from a place on, without taking them.
   *  @param bytesMax The first entry is not held to it */
  readFrom(from: Place, max: number, bytesMax: number): Entry[] {
    const read = readLog(this.#log, from, { max, bytesMax, seqMax: this.#visible.seq });
    return read.map((logged) => this.#entryOf(logged, 0));
  }

  evictOldest(): boolean {
    const oldest = this.#log.next(1);
    if (oldest !== undefined) this.#evict(oldest, 'drop_oldest');
    return oldest !== undefined;
  }

  /** Evicts what is older than `ttlMs`.
   *  @returns When the next one will be, monotonic ms; undefined: none */
  expire(nowMs: number): number | undefined {
    const { ttlMs } = this.bounds;
    if (ttlMs === 0) return undefined;
    // A million that are all too old need not be looked at one by one.
    const newestMs = this.#length > MANY ? this.#log.putMs(this.#seq) : undefined;
    if (newestMs !== undefined && nowMs - newestMs >= ttlMs) this.#evictAll();
    for (;;) {
      const oldest = this.#log.next(1);
      const putMs = oldest === undefined ? undefined : this.#log.putMs(oldest);
      if (oldest === undefined || putMs === undefined) return undefined;
      if (nowMs - putMs < ttlMs) return putMs + ttlMs;
      this.#evict(oldest, 'ttl');
    }
  }

  /** After a restart all that is flushed can be handed out, so what waits for its flush counts as ahead. */
  state(): QueueState {
    return {
      epoch: this.epoch,
      seq: this.#seq,
      lastTsMs: this.#lastTsMs,
      lastArrival: this.#lastArrival,
      length: this.#length,
      bytes: this.#bytes,
      dropped: this.dropped,
      discarded: this.discarded,
      isDefaultUsed: this.#groups.isDefaultUsed,
      groups: this.#groups.states(this.#visible.hidden(this.#seq)),
    };
  }

  marksIn = (groupId: number, from: number, to: number): readonly Mark[] => this.#groups.marksIn(groupId, from, to);
  deadMark = (seq: number): DeadMark | undefined => this.#dead.mark(seq);

  flushed(): void {
    if (this.#show()) this.#shown(this);
  }

  #restore({ state, marks, dead }: StoredQueue): void {
    this.#seq = state.seq;
    this.#visible.seq = state.seq;
    this.#lastTsMs = state.lastTsMs;
    this.#lastArrival = state.lastArrival;
    this.#length = state.length;
    this.#bytes = state.bytes;
    this.#budget.bytes += state.bytes;
    this.dropped = state.dropped;
    this.discarded = state.discarded;
    this.#groups.restore(state.groups, marks, state.isDefaultUsed);
    this.#dead.restore(dead);
  }

  /** Lets all see what is flushed. Whether there is more to see than before. */
  #show(): boolean {
    const more = this.#visible.show(Math.min(this.#seq, this.#log.flushedSeq));
    for (const group of this.#groups) group.ahead += more;
    return more > 0;
  }

  #evict(seq: number, policy: DropPolicy): void {
    this.counts.drop(policy);
    const isShown = seq <= this.#visible.seq;
    if (!isShown) this.#visible.lost(seq);
    for (const group of this.#groups) {
      if (isShown) group.lose(seq);
      else group.dropped += 1;
    }
    this.#dead.forget(seq);
    this.dropped += 1;
    this.#leave(seq);
  }

  #evictAll(): void {
    const hidden = this.#visible.hidden(this.#seq);
    for (const group of this.#groups) group.dropped += group.openLength + hidden;
    this.dropped += this.#length;
    this.counts.drop('ttl', this.#length);
    this.#clear();
  }

  #clear(): number {
    const { length, bytes } = this;
    for (const group of this.#groups) group.clear(this.#seq + 1);
    this.#dead.clear();
    this.#visible.lost(this.#seq);
    this.#bytes = 0;
    this.#length = 0;
    if (length > 0) this.#log.clear();
    this.#budget.bytes -= bytes;
    this.#budget.freed?.();
    return length;
  }

  #leaveWhatIsDone(): void {
    // A group that has done nothing yet needs all of them.
    for (const { openLength } of this.#groups)
      if (openLength === this.#length - this.#visible.hidden(this.#seq)) return;
    for (const seq of held(this.#log)) this.#leaveIfDone(seq);
  }

  #leaveIfDone(seq: number): void {
    if (!this.#dead.group.isDone(seq)) return;
    for (const group of this.#groups) if (!group.isDone(seq)) return;
    this.#leave(seq);
  }

  #leave(seq: number): void {
    const bytes = this.#log.bytes(seq);
    this.#log.remove(seq);
    this.#length -= 1;
    this.#bytes -= bytes;
    this.#budget.bytes -= bytes;
    this.#budget.freed?.();
  }

  /** @throws SuperNodeError SN_ERR_LIMIT */
  #newGroup(name: string, from: 'first' | 'new'): Group {
    return from === 'first'
      ? this.#groups.create(name, 1, this.#length - this.#visible.hidden(this.#seq))
      : this.#groups.create(name, this.#visible.seq + 1, 0);
  }

  #entryOf({ seq, tsMs, payload, topic }: LoggedEntry, attempts: number): Entry {
    return { taskId: this.taskId, seq, tsMs, payload, topic, attempts };
  }
}

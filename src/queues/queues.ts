import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Random } from '../core/ports.js';
import type { QueueBounds } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import { Consumer, type ConsumerOptions } from './consumer.js';
import { Lease } from './lease.js';
import { MemoryLog } from './memory-log.js';
import { ReadyQueues } from './ready.js';
import { takeInOrder } from './take.js';
import { type Entry, TaskQueue } from './task-queue.js';
import { Waiters } from './waiters.js';

const EPOCH_BYTES = 6;
const LEASE_ID_BYTES = 12;

export interface FetchOptions {
  /** Undefined: of all tasks, in order of arrival. */
  readonly taskId: TaskId | undefined;
  readonly group: string;
  readonly max: number;
  /** Payload bytes; the first entry is not held to it. */
  readonly maxBytes: number;
  /** How long an empty queue may keep the answer waiting. Milliseconds, 0: not at all. */
  readonly waitMs: number;
  /** How long the taker has to settle what it got. Undefined: `Fetched` ends it. */
  readonly leaseMs: number | undefined;
  /** Aborted when the caller is gone: a waiting fetch ends, and takes nothing. */
  readonly signal: AbortSignal | undefined;
}

/** Entries on lease. Exactly one of `settle` and `giveBack` has an effect, the first one called. */
export interface Fetched {
  readonly entries: readonly Entry[];
  /** Entries lost to bounds so far: of the group in this epoch, or of all tasks. */
  readonly dropped: number;
  /** Entries that the group could take next. */
  readonly remaining: number;
  /** Absent in a fetch of all tasks. */
  readonly epoch: string | undefined;
  /** The id for `settle` and so on, where `leaseMs` was asked for and something was taken. */
  readonly leaseId: string | undefined;
  /** The taker has them. With a `leaseId`: it knows of them, and goes on by that. */
  settle(): void;
  giveBack(): void;
}

/** What an acknowledgement says: settle or return all or some, or have the lease last longer. */
export type LeaseWord =
  | { readonly ok: boolean; readonly seqs: readonly number[] | undefined }
  | { readonly leaseMs: number };

interface Taken {
  readonly entries: readonly Entry[];
  readonly lease: Lease;
}

const NOTHING: Taken = { entries: [], lease: new Lease('nobody') };

interface TimedLease {
  readonly lease: Lease;
  readonly cancel: Cancel;
}

/** All queues of the node, and those who wait for them. */
export class Queues {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #queues = new Map<TaskId, TaskQueue>();
  readonly #waiters = new Waiters();
  readonly #ready = new ReadyQueues();
  /** Tasks that got something for those who wait, in this turn. */
  readonly #fed = new Set<TaskId | undefined>();
  /** Queues that wait for the next entry to be too old. */
  readonly #expiries = new Map<TaskQueue, Cancel>();
  readonly #expired: (taskId: TaskId) => void;
  readonly #leases = new Map<string, TimedLease>();
  readonly #budget: { bytes: number; readonly bytesMax: number };
  #arrival = 0;
  /** The last read that was asked for has had its turn. */
  #reading: Promise<void> = Promise.resolve();

  /** @param bytesMax Payload bytes of all queues together. A put that passes it evicts from its own queue first.
   *  @param expired Entries of this task were evicted because they were too old */
  constructor(clock: Clock, random: Random, bytesMax: number, expired: (taskId: TaskId) => void = () => undefined) {
    this.#expired = expired;
    this.#clock = clock;
    this.#random = random;
    this.#budget = { bytes: 0, bytesMax };
  }

  /** Payload bytes held by all queues. */
  get bytes(): number {
    return this.#budget.bytes;
  }

  /** The task's queue with these bounds; made new, with a new epoch, when there is none. */
  open(taskId: TaskId, bounds: QueueBounds): TaskQueue {
    const known = this.#queues.get(taskId);
    if (known) {
      known.bounds = bounds;
      this.#expire(known);
      return known;
    }
    const queue = new TaskQueue(taskId, this.#random.secret(EPOCH_BYTES), bounds, this.#budget, new MemoryLog());
    this.#queues.set(taskId, queue);
    this.#ready.fed(queue);
    return queue;
  }

  get(taskId: TaskId): TaskQueue | undefined {
    return this.#queues.get(taskId);
  }

  /** Forgets the queue and all it holds. Leases on it end: settling or returning them does nothing. */
  drop(taskId: TaskId): void {
    const queue = this.#queues.get(taskId);
    if (queue === undefined) return;
    queue.purge();
    this.#expiries.get(queue)?.();
    this.#expiries.delete(queue);
    this.#ready.dropped(queue);
    this.#queues.delete(taskId);
    this.#waiters.taskGone(taskId);
  }

  /** Adds an entry to a queue of ours. False: dropped by policy, and counted. */
  put(queue: TaskQueue, payload: Uint8Array, topic?: string): boolean {
    const time = { wallMs: this.#clock.wallNow(), nowMs: this.#clock.now(), arrival: ++this.#arrival };
    const stored = queue.put(payload, time, topic);
    if (stored && queue.bounds.ttlMs > 0 && !this.#expiries.has(queue)) this.#expire(queue);
    if (stored) this.#ready.fed(queue);
    if (stored && this.#waiters.size > 0) this.#serveSoon(queue.taskId);
    return stored;
  }

  /** Takes entries on lease, or waits for the first one. An empty list is an answer.
   *  @throws SuperNodeError SN_ERR_LIMIT: one group, or one lease, too many */
  async fetch(options: FetchOptions): Promise<Fetched> {
    const { taskId, group, waitMs, signal } = options;
    const taken = this.#take(options);
    if (taken.entries.length > 0 || waitMs === 0 || signal?.aborted) return this.#fetched(options, taken);
    return new Promise((resolve, reject) => {
      const giveUp = () => answer(this.#fetched(options, NOTHING));
      const serve = () => {
        // Its group, or its task, was removed: it does not come back because somebody waited.
        if (taskId !== undefined && this.#queues.get(taskId)?.find(group) === undefined) {
          giveUp();
          return false;
        }
        try {
          const served = this.#take(options);
          if (served.entries.length === 0) return false;
          answer(this.#fetched(options, served));
          return true;
        } catch (error) {
          leave();
          reject(error);
          return false;
        }
      };
      const end = this.#waiters.add(taskId, { serve, giveUp, taskGone: giveUp });
      const cancelTimer = this.#clock.after(waitMs, giveUp);
      signal?.addEventListener('abort', giveUp);
      const leave = () => {
        end();
        cancelTimer();
        signal?.removeEventListener('abort', giveUp);
      };
      const answer = (result: Fetched) => {
        leave();
        resolve(result);
      };
    });
  }

  /** Gives entries to a consumer as they come, until it is cancelled; what it has by then it keeps until it said of each
   *  whether it arrived. Consumers of one group take turns.
   *  @throws SuperNodeError SN_ERR_LIMIT: one group too many */
  consume(options: ConsumerOptions): Cancel {
    const { taskId, group } = options;
    for (const queue of this.#sources(taskId)) if (taskId !== undefined || queue.mayHave(group)) queue.group(group);
    const consumer = new Consumer(options, {
      take: (max) => this.#lease(taskId, group, max, Number.POSITIVE_INFINITY),
      wake: () => this.#serveSoon(taskId),
      cameBack: (id) => this.#cameBack([id]),
    });
    const end = this.#waiters.add(taskId, consumer);
    this.#serveSoon(taskId);
    return () => {
      consumer.giveUp();
      end();
    };
  }

  /** Settles or returns what is on a lease, or has it last `leaseMs` from now.
   *  @returns For how many entries
   *  @throws SuperNodeError SN_ERR_LEASE_UNKNOWN: it ended, by itself or because all its entries are gone;
   *  SN_ERR_REQUEST: `seqs` of a lease on several tasks */
  acknowledge(leaseId: string, word: LeaseWord): number {
    const timed = this.#leases.get(leaseId);
    if (timed === undefined) throw leaseUnknown(leaseId);
    const { lease } = timed;
    if ('leaseMs' in word) {
      const { living } = lease;
      this.#forgetLease(leaseId);
      if (living === 0) throw leaseUnknown(leaseId);
      this.#keepFor(word.leaseMs, leaseId, lease);
      return living;
    }
    const { ok, seqs } = word;
    if (seqs !== undefined && lease.taskIds.length > 1) {
      throw mismatch('SN_ERR_REQUEST', 'seqs', 'none for a lease on entries of several tasks', seqs);
    }
    if (seqs !== undefined && !lease.hasSome(seqs)) {
      throw mismatch('SN_ERR_REQUEST', 'seqs', 'some that are still on this lease', seqs);
    }
    const ended = ok ? lease.end('settle', seqs) : this.#giveBack(lease, seqs);
    if (lease.size === 0) this.#forgetLease(leaseId);
    if (ended === 0) throw leaseUnknown(leaseId);
    return ended;
  }

  /** Entries of a task from a place on, without taking them: no lease, no group. One read a turn, since the same entries
   *  can be read again and again: who asks for a thousand must not stop the others.
   *  @param signal Aborted when the caller is gone: it then gets nothing */
  async read(
    taskId: TaskId,
    from: { seq: number } | { tsMs: number },
    max: number,
    bytesMax: number,
    signal?: AbortSignal,
  ): Promise<readonly Entry[]> {
    const turn = this.#reading.then(() => new Promise<void>((resolve) => this.#clock.soon(resolve)));
    this.#reading = turn;
    await turn;
    if (signal?.aborted) return [];
    const queue = this.#queues.get(taskId);
    queue?.expire(this.#clock.now());
    return queue?.readFrom(from, max, bytesMax) ?? [];
  }

  /** Empties a queue, or its dead alone. @returns How many entries left it */
  purge(taskId: TaskId, which: 'all' | 'dead'): number {
    return this.#queues.get(taskId)?.purge(which) ?? 0;
  }

  /** Gives the dead entries of a task back to where they came from. @returns How many */
  requeue(taskId: TaskId): number {
    const count = this.#queues.get(taskId)?.requeue() ?? 0;
    if (count > 0) this.#cameBack([taskId]);
    return count;
  }

  /** Forgets how far a group of a task has got. False: there is no such group. */
  removeGroup(taskId: TaskId, name: string): boolean {
    const queue = this.#queues.get(taskId);
    if (!queue?.removeGroup(name)) return false;
    // The default group may have come back instead, with all that is held.
    this.#ready.fed(queue);
    return true;
  }

  /** Answers all who wait, with nothing: the node is closing. */
  close(): void {
    this.#waiters.giveUp();
    for (const leaseId of [...this.#leases.keys()]) this.#forgetLease(leaseId);
    for (const cancel of this.#expiries.values()) cancel();
    this.#expiries.clear();
  }

  /** At the end of the turn, so that entries that came together go out together. */
  #serveSoon(taskId: TaskId | undefined): void {
    const isFirst = this.#fed.size === 0;
    this.#fed.add(taskId);
    if (!isFirst) return;
    this.#clock.soon(() => {
      const fed = [...this.#fed];
      this.#fed.clear();
      this.#waiters.serve(fed);
    });
  }

  #sources(taskId: TaskId | undefined): TaskQueue[] {
    if (taskId === undefined) return [...this.#queues.values()];
    const queue = this.#queues.get(taskId);
    return queue ? [queue] : [];
  }

  /** @throws SuperNodeError SN_ERR_LIMIT */
  #take({ taskId, group, max, maxBytes, leaseMs }: FetchOptions): Taken {
    if (leaseMs !== undefined && this.#leases.size >= LIMITS.leasesMax && !this.#pruneLeases()) {
      throw new SuperNodeError('SN_ERR_LIMIT', `lease: expected at most ${LIMITS.leasesMax} of the node, got one more`);
    }
    return this.#lease(taskId, group, max, maxBytes);
  }

  #lease(taskId: TaskId | undefined, group: string, max: number, bytesMax: number): Taken {
    const sources = taskId === undefined ? this.#allReady(group) : this.#sources(taskId);
    const nowMs = this.#clock.now();
    for (const queue of sources) queue.expire(nowMs);
    const lease = new Lease(group);
    const entries = takeInOrder(sources, group, max, bytesMax, lease);
    for (const queue of sources) if (queue.group(group).readyLength === 0) this.#ready.emptied(group, queue);
    lease.hold(entries, (id) => this.#queues.get(id));
    return { entries, lease };
  }

  #fetched({ taskId, group, leaseMs }: FetchOptions, { entries, lease }: Taken): Fetched {
    const leaseId = entries.length > 0 && leaseMs !== undefined ? this.#timed(lease, leaseMs) : undefined;
    const sources = this.#sources(taskId);
    // One that was removed meanwhile is not made anew by who only waited.
    const groups = sources.flatMap((queue) => queue.find(group) ?? []);
    return {
      entries,
      dropped: groups.reduce((sum, { dropped }) => sum + dropped, 0),
      remaining: groups.reduce((sum, { readyLength }) => sum + readyLength, 0),
      epoch: taskId === undefined ? undefined : sources[0]?.epoch,
      leaseId,
      settle: () => {
        if (leaseId === undefined) lease.end('settle');
      },
      giveBack: () => {
        this.#giveBack(lease);
        if (leaseId !== undefined) this.#forgetLease(leaseId);
      },
    };
  }

  /** One that has no room for another group is passed over: it must not stop who takes of all. */
  #allReady(group: string): TaskQueue[] {
    return [...this.#ready.of(group, this.#queues.values())].filter((queue) => queue.mayHave(group));
  }

  #timed(lease: Lease, leaseMs: number): string {
    const leaseId = this.#random.secret(LEASE_ID_BYTES);
    this.#keepFor(leaseMs, leaseId, lease);
    return leaseId;
  }

  /** When its time is over, what was not settled is the next again. */
  #keepFor(leaseMs: number, leaseId: string, lease: Lease): void {
    const cancel = this.#clock.after(leaseMs, () => {
      this.#leases.delete(leaseId);
      this.#giveBack(lease);
    });
    this.#leases.set(leaseId, { lease, cancel });
  }

  /** Forgets leases of which nothing is left. Whether there is room then. */
  #pruneLeases(): boolean {
    for (const [leaseId, { lease }] of [...this.#leases]) if (lease.living === 0) this.#forgetLease(leaseId);
    return this.#leases.size < LIMITS.leasesMax;
  }

  #forgetLease(leaseId: string): void {
    this.#leases.get(leaseId)?.cancel();
    this.#leases.delete(leaseId);
  }

  /** @returns For how many entries */
  #giveBack(lease: Lease, seqs?: readonly number[]): number {
    const { taskIds } = lease;
    const count = lease.end('giveBack', seqs);
    this.#cameBack(taskIds);
    return count;
  }

  /** Entries of these tasks may be taken again. */
  #cameBack(taskIds: Iterable<TaskId>): void {
    for (const taskId of taskIds) {
      const queue = this.#queues.get(taskId);
      if (queue !== undefined) this.#ready.fed(queue);
      if (this.#waiters.size > 0) this.#serveSoon(taskId);
    }
  }

  /** Evicts what is too old now, and again when the next one is. */
  #expire(queue: TaskQueue): void {
    this.#expiries.get(queue)?.();
    this.#expiries.delete(queue);
    const nowMs = this.#clock.now();
    const { dropped } = queue;
    const nextMs = queue.expire(nowMs);
    if (queue.dropped > dropped) this.#expired(queue.taskId);
    if (nextMs !== undefined)
      this.#expiries.set(
        queue,
        this.#clock.after(nextMs - nowMs, () => this.#expire(queue)),
      );
  }
}

function leaseUnknown(leaseId: string): SuperNodeError {
  return mismatch('SN_ERR_LEASE_UNKNOWN', 'lease', 'one that has not ended', leaseId);
}

import type { Clock, Random } from '../core/ports.js';
import type { QueueBounds } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import { Consumer, type ConsumerOptions, type Consumption } from './consumer.js';
import type { ByteBudget, Entry } from './entry.js';
import { Expiries } from './expiries.js';
import type { Fetched, FetchOptions } from './fetched.js';
import { type Attempt, type HeldPut, HeldPuts } from './held-puts.js';
import { Lease } from './lease.js';
import { Leases, type LeaseWord } from './leases.js';
import { moveEntries } from './move-entries.js';
import { QueueCounts } from './queue-counts.js';
import { leftBehind, openLog, type QueueStore } from './queue-store.js';
import type { Place } from './reading.js';
import { ReadyQueues } from './ready.js';
import { shrink } from './room.js';
import { takeInOrder } from './take.js';
import { TaskQueue } from './task-queue.js';
import { Turns } from './turns.js';
import { Waiters } from './waiters.js';

const EPOCH_BYTES = 6;

interface Taken {
  readonly entries: readonly Entry[];
  readonly lease: Lease;
}

const NOTHING: Taken = { entries: [], lease: new Lease('nobody') };

export interface QueuesOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Payload bytes of all queues in memory together. A put that passes it evicts from its own queue first. */
  readonly bytesMax: number;
  /** The same for those on disk; default: `bytesMax`. */
  readonly diskBytesMax?: number;
  /** Entries of this task were evicted because they were too old. */
  readonly expired?: (taskId: TaskId) => void;
}

/** All queues of the node, and those who wait for them. */
export class Queues {
  /** What happened in all of them, those that are gone included. */
  readonly counts = new QueueCounts();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #queues = new Map<TaskId, TaskQueue>();
  readonly #waiters = new Waiters();
  readonly #ready = new ReadyQueues();
  /** Tasks that got something for those who wait, in this turn. */
  readonly #fed = new Set<TaskId | undefined>();
  readonly #expiries: Expiries;
  readonly #leases: Leases;
  readonly #budgets: Readonly<Record<QueueBounds['storage'], ByteBudget>>;
  readonly #held: HeldPuts;
  #disk: QueueStore | undefined;
  /** Removed while there was no disk: forgotten once there is. */
  readonly #dropped = new Set<TaskId>();
  #arrival = 0;
  readonly #reads: Turns;

  constructor({ clock, random, bytesMax, diskBytesMax = bytesMax, expired = () => undefined }: QueuesOptions) {
    this.#expiries = new Expiries(clock, expired);
    this.#clock = clock;
    this.#random = random;
    this.#budgets = { memory: { bytes: 0, bytesMax }, disk: { bytes: 0, bytesMax: diskBytesMax } };
    this.#reads = new Turns(clock);
    this.#held = new HeldPuts(clock, Object.values(this.#budgets));
    this.#leases = new Leases(clock, random, (lease, seqs) => this.#giveBack(lease, seqs));
  }

  /** From now on there is a disk. Queues that are to be on it and could not be opened without it are what they were when
   *  they were written last. */
  useDisk(disk: QueueStore): void {
    // Without one, these alone take nothing.
    this.#disk = disk;
    for (const taskId of this.#dropped) disk.drop(taskId);
    this.#dropped.clear();
    this.#arrival = Math.max(this.#arrival, disk.lastArrival);
    for (const [taskId, queue] of this.#queues) {
      if (queue.isWritable) continue;
      this.#forget(queue);
      this.open(taskId, queue.bounds).accepting = queue.accepting;
    }
    this.#held.serveSoon();
  }

  /** Tasks whose queues an earlier run left on the disk with entries in them, and that nobody has named yet. Of the others
   *  those are forgotten that nobody would miss. */
  leftBehind(): readonly TaskId[] {
    return this.#disk ? leftBehind(this.#disk) : [];
  }

  /** Payload bytes held by all queues. */
  get bytes(): number {
    return this.#budgets.memory.bytes + this.#budgets.disk.bytes;
  }

  /** The task's queue with these bounds: as an earlier run left it, or made new, with a new epoch. Until there is a disk
   *  one that is to be on it takes nothing and has nothing. */
  open(taskId: TaskId, bounds: QueueBounds): TaskQueue {
    const known = this.#queues.get(taskId);
    const moves = known?.bounds.storage === 'memory' && bounds.storage === 'disk';
    // From a disk to memory it goes with the next start: what it promised it keeps.
    if (known && !moves) known.bounds = { ...bounds, storage: known.bounds.storage };
    const queue = known && !moves ? known : this.#newQueue(taskId, bounds);
    if (known && moves) {
      moveEntries(known, queue, this.#clock.now());
      this.#forget(known);
    }
    this.#queues.set(taskId, queue);
    for (const { name, from } of bounds.groups) queue.define(name, from);
    this.#ready.fed(queue);
    this.#expiries.look(queue);
    this.#shrink(queue);
    // A change of its bounds may be room.
    this.#held.serveSoon();
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
    if (this.#disk !== undefined) this.#disk.drop(taskId);
    else if (queue.bounds.storage === 'disk') this.#dropped.add(taskId);
    this.#forget(queue);
    this.#waiters.taskGone(taskId);
  }

  /** Adds an entry to a queue of ours. A promise: it is in it when that is settled; others that were put meanwhile share
   *  it. `dropped`: by policy, and counted. `full`: it is not taken, and may be held. */
  put(queue: TaskQueue, payload: Uint8Array, topic?: string): Attempt {
    return this.#held.has(queue.taskId) ? 'full' : this.#attempt(queue, payload, topic);
  }

  /** Has a put wait in line until there is room for it. A queue that is gone by then takes it as dropped.
   *  @param payload Is kept, and must stay as it is
   *  @param taken It is in the queue, though perhaps not on the disk */
  hold(taskId: TaskId, payload: Uint8Array, topic: string | undefined, taken: () => void): HeldPut {
    return this.#held.hold(taskId, () => {
      const queue = this.#queues.get(taskId);
      if (queue === undefined) return 'dropped';
      const outcome = this.#attempt(queue, payload, topic);
      if (outcome === undefined || typeof outcome === 'object') taken();
      return outcome;
    });
  }

  /** What waits for room is tried again: a task takes no more, or the disk can be written. */
  retryHeld = (): void => this.#held.serveSoon();

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

  /** Gives entries to a consumer as they come, until it is ended; what it has by then it keeps until it said of each
   *  whether it arrived. Consumers of one group take turns.
   *  @throws SuperNodeError SN_ERR_LIMIT: one group too many */
  consume(options: ConsumerOptions): Consumption {
    const { taskId, group } = options;
    for (const queue of this.#sources(taskId)) if (taskId !== undefined || queue.mayHave(group)) queue.group(group);
    const consumer = new Consumer(options, {
      take: (max) => this.#lease(taskId, group, max, Number.POSITIVE_INFINITY),
      wake: () => this.#serveSoon(taskId),
      cameBack: (id) => this.#cameBack([id]),
    });
    const leave = this.#waiters.add(taskId, consumer);
    this.#serveSoon(taskId);
    return {
      pause: () => consumer.pause(),
      goOn: () => consumer.goOn(),
      end: () => {
        consumer.giveUp();
        leave();
      },
    };
  }

  /** Settles or returns what is on a lease, or has it last `leaseMs` from now.
   *  @returns For how many entries, once that is flushed
   *  @throws SuperNodeError SN_ERR_LEASE_UNKNOWN, SN_ERR_REQUEST: as `Leases.acknowledge` */
  async acknowledge(leaseId: string, word: LeaseWord): Promise<number> {
    const { count, taskIds } = this.#leases.acknowledge(leaseId, word);
    await Promise.all(taskIds.map((taskId) => this.#queues.get(taskId)?.whenFlushed()));
    return count;
  }

  /** Entries of a task from a place on, without taking them: no lease, no group. One read a turn, since the same entries
   *  can be read again and again: who asks for a thousand must not stop the others.
   *  @param signal Aborted when the caller is gone: it then gets nothing */
  async read(
    taskId: TaskId,
    from: Place,
    max: number,
    bytesMax: number,
    signal?: AbortSignal,
  ): Promise<readonly Entry[]> {
    await this.#reads.next();
    if (signal?.aborted) return [];
    const queue = this.#queues.get(taskId);
    queue?.expire(this.#clock.now());
    return queue?.readFrom(from, max, bytesMax) ?? [];
  }

  /** Empties a queue, or its dead alone. @returns How many entries left it, once that is flushed */
  async purge(taskId: TaskId, which: 'all' | 'dead'): Promise<number> {
    const queue = this.#queues.get(taskId);
    const count = queue?.purge(which) ?? 0;
    await queue?.whenFlushed();
    return count;
  }

  /** Gives the dead entries of a task back to where they came from. @returns How many, once that is flushed */
  async requeue(taskId: TaskId): Promise<number> {
    const queue = this.#queues.get(taskId);
    const count = queue?.requeue() ?? 0;
    if (count > 0) this.#cameBack([taskId]);
    await queue?.whenFlushed();
    return count;
  }

  /** Forgets how far a group of a task has got; resolves once that is flushed. False: there is no such group. */
  async removeGroup(taskId: TaskId, name: string): Promise<boolean> {
    const queue = this.#queues.get(taskId);
    if (!queue?.removeGroup(name)) return false;
    // The default group may have come back instead, with all that is held.
    this.#ready.fed(queue);
    await queue.whenFlushed();
    return true;
  }

  /** Settles when what was dropped is gone for good. Undefined: it is. */
  whenFlushed = (): Promise<void> | undefined => this.#disk?.whenFlushed();

  /** Answers all who wait, with nothing: the node is closing. */
  close(): void {
    this.#waiters.giveUp();
    this.#leases.clear();
    this.#expiries.clear();
  }

  #newQueue(taskId: TaskId, bounds: QueueBounds): TaskQueue {
    const { log, stored } = openLog(taskId, bounds.storage, this.#disk);
    return new TaskQueue({
      ...{ taskId, bounds, log, counts: new QueueCounts(this.counts) },
      budget: this.#budgets[bounds.storage],
      origin: stored ?? { epoch: this.#random.secret(EPOCH_BYTES) },
      shown: (queue) => this.#shown(queue),
    });
  }

  #shrink(queue: TaskQueue): void {
    if (this.#queues.get(queue.taskId) === queue && shrink(queue)) this.#clock.soon(() => this.#shrink(queue));
  }

  #forget(queue: TaskQueue): void {
    this.#expiries.forget(queue);
    this.#ready.dropped(queue);
    this.#queues.delete(queue.taskId);
  }

  #attempt(queue: TaskQueue, payload: Uint8Array, topic: string | undefined): Attempt {
    const time = { wallMs: this.#clock.wallNow(), nowMs: this.#clock.now(), arrival: ++this.#arrival };
    const result = queue.put(payload, time, topic);
    if (result !== 'stored') return result;
    queue.counts.put(payload.length);
    this.#expiries.fed(queue);
    const flushed = queue.whenFlushed();
    if (flushed === undefined) this.#shown(queue);
    return flushed;
  }

  /** Entries that were put may be taken. */
  #shown(queue: TaskQueue): void {
    if (this.#queues.get(queue.taskId) !== queue) return;
    this.#ready.fed(queue);
    if (this.#waiters.size > 0) this.#serveSoon(queue.taskId);
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
    if (leaseMs !== undefined) this.#leases.assertRoom();
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
    const leaseId = entries.length > 0 && leaseMs !== undefined ? this.#leases.keep(lease, leaseMs) : undefined;
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
        if (leaseId !== undefined) this.#leases.forget(leaseId);
      },
    };
  }

  /** One that has no room for another group is passed over: it must not stop who takes of all. */
  #allReady(group: string): TaskQueue[] {
    return [...this.#ready.of(group, this.#queues.values())].filter((queue) => queue.mayHave(group));
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
}

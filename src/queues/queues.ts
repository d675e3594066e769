import type { Clock, Random } from '../core/ports.js';
import type { QueueBounds } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import { takeInOrder } from './take.js';
import { type Entry, TaskQueue } from './task-queue.js';
import { Waiters } from './waiters.js';

const EPOCH_BYTES = 6;

export interface FetchOptions {
  /** Undefined: of all tasks, in order of arrival. */
  readonly taskId: TaskId | undefined;
  readonly max: number;
  /** Payload bytes; the first entry is not held to it. */
  readonly maxBytes: number;
  /** How long an empty queue may keep the answer waiting. Milliseconds, 0: not at all. */
  readonly waitMs: number;
  /** Aborted when the caller is gone: a waiting fetch ends, and takes nothing. */
  readonly signal: AbortSignal | undefined;
}

/** Entries on lease. Exactly one of `settle` and `giveBack` has an effect, the first one called. */
export interface Fetched {
  readonly entries: readonly Entry[];
  /** Entries lost to bounds so far: of the task, or of all tasks. */
  readonly dropped: number;
  /** Entries that are ready to be fetched next. */
  readonly remaining: number;
  /** Absent in a fetch of all tasks. */
  readonly epoch: string | undefined;
  settle(): void;
  giveBack(): void;
}

/** All queues of the node, and those who wait for them. */
export class Queues {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #queues = new Map<TaskId, TaskQueue>();
  readonly #waiters = new Waiters();
  /** Tasks that got something for those who wait, in this turn. */
  readonly #fed = new Set<TaskId>();
  readonly #budget: { bytes: number; readonly bytesMax: number };
  #arrival = 0;

  /** @param bytesMax Payload bytes of all queues together. A put that passes it evicts from its own queue first. */
  constructor(clock: Clock, random: Random, bytesMax: number) {
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
      return known;
    }
    const queue = new TaskQueue(taskId, this.#random.secret(EPOCH_BYTES), bounds, this.#budget);
    this.#queues.set(taskId, queue);
    return queue;
  }

  get(taskId: TaskId): TaskQueue | undefined {
    return this.#queues.get(taskId);
  }

  /** Forgets the queue and all it holds. Leases on it end: settling or returning them does nothing. */
  drop(taskId: TaskId): void {
    this.#queues.get(taskId)?.clear();
    this.#queues.delete(taskId);
  }

  /** Adds an entry to a queue of ours. False: dropped by policy, and counted. */
  put(queue: TaskQueue, payload: Uint8Array, topic?: string): boolean {
    const stored = queue.put(payload, this.#clock.wallNow(), ++this.#arrival, topic);
    if (stored && this.#waiters.size > 0) this.#serveSoon(queue.taskId);
    return stored;
  }

  /** Takes entries on lease, or waits for the first one. Never rejects; an empty list is an answer. */
  fetch(options: FetchOptions): Promise<Fetched> {
    const { taskId, waitMs, signal } = options;
    const fetched = this.#take(options);
    if (fetched.entries.length > 0 || waitMs === 0 || signal?.aborted) return Promise.resolve(fetched);
    return new Promise((resolve) => {
      const giveUp = () => answer(this.#nothing(options));
      const serve = () => {
        const served = this.#take(options);
        if (served.entries.length > 0) answer(served);
      };
      const end = this.#waiters.add(taskId, { serve, giveUp });
      const cancelTimer = this.#clock.after(waitMs, giveUp);
      signal?.addEventListener('abort', giveUp);
      const answer = (result: Fetched) => {
        end();
        cancelTimer();
        signal?.removeEventListener('abort', giveUp);
        resolve(result);
      };
    });
  }

  /** Answers all who wait, with nothing: the node is closing. */
  close(): void {
    this.#waiters.giveUp();
  }

  /** At the end of the turn, so that entries that came together go out together. */
  #serveSoon(taskId: TaskId): void {
    this.#fed.add(taskId);
    if (this.#fed.size > 1) return;
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

  #take(options: FetchOptions): Fetched {
    const sources = this.#sources(options.taskId);
    return this.#fetched(options, sources, takeInOrder(sources, options.max, options.maxBytes));
  }

  #nothing(options: FetchOptions): Fetched {
    return this.#fetched(options, this.#sources(options.taskId), []);
  }

  #fetched(options: FetchOptions, sources: readonly TaskQueue[], entries: readonly Entry[]): Fetched {
    let open = entries.length > 0;
    // The queues as they are now: after a `remove`, a new queue of the same name owns none of these entries.
    const owners = new Map(sources.map((queue) => [queue.taskId, queue]));
    const end = (how: 'settle' | 'giveBack') => {
      if (!open) return;
      open = false;
      for (const entry of entries) owners.get(entry.taskId)?.[how](entry);
      if (how === 'settle' || this.#waiters.size === 0) return;
      for (const taskId of owners.keys()) this.#serveSoon(taskId);
    };
    return {
      entries,
      dropped: sources.reduce((sum, queue) => sum + queue.dropped, 0),
      remaining: sources.reduce((sum, queue) => sum + queue.readyLength, 0),
      epoch: options.taskId === undefined ? undefined : sources[0]?.epoch,
      settle: () => end('settle'),
      giveBack: () => end('giveBack'),
    };
  }
}

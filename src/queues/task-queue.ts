import type { QueueBounds } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';

/** One datum of a task. `seq` counts from 1 within the queue's epoch, `tsMs` is wall time and never falls within a
 *  queue, `arrival` counts over all queues of the node, `attempts` is 1 at the first hand-out. */
export interface Entry {
  readonly taskId: TaskId;
  readonly seq: number;
  readonly tsMs: number;
  readonly arrival: number;
  readonly payload: Uint8Array;
  readonly topic: string | undefined;
  readonly attempts: number;
  /** What the entry counts for: its payload and, where it was routed, its topic. */
  readonly bytes: number;
}

interface Node extends Entry {
  attempts: number;
  /** `gone`: settled or evicted; a late settle or return finds nothing to do. */
  state: 'ready' | 'leased' | 'gone';
  previous: Node | undefined;
  next: Node | undefined;
}

/** Bytes that several queues share. */
export interface ByteBudget {
  bytes: number;
  readonly bytesMax: number;
}

/** A bounded queue in memory: a list in order of `seq`, oldest first.
 *
 *      oldest                 cursor                       newest
 *        ▼                      ▼                            ▼
 *      [leased] ⇄ [leased] ⇄ [ready] ⇄ [leased] ⇄ [ready] ⇄ [ready]
 *
 *  Taking marks entries as leased and leaves them where they are, so a returned one is at its old place at once, and
 *  the oldest is always at the head, leased or not. Nothing ready stands before the cursor. */
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

  readonly #budget: ByteBudget;
  #oldest: Node | undefined;
  #newest: Node | undefined;
  #cursor: Node | undefined;
  #length = 0;
  #bytes = 0;
  #leased = 0;
  #seq = 0;
  #lastTsMs = 0;

  constructor(taskId: TaskId, epoch: string, bounds: QueueBounds, budget: ByteBudget) {
    this.taskId = taskId;
    this.epoch = epoch;
    this.bounds = bounds;
    this.#budget = budget;
  }

  /** Entries held, leased ones included. */
  get length(): number {
    return this.#length;
  }
  /** Bytes held, leased ones included. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Entries that a fetch could take now. */
  get readyLength(): number {
    return this.#length - this.#leased;
  }
  /** The newest `seq` given out, 0 before the first. */
  get seq(): number {
    return this.#seq;
  }

  /** Adds an entry; the bytes are copied. False: dropped by the queue's own policy, and counted. */
  put(payload: Uint8Array, wallNowMs: number, arrival: number, topic: string | undefined): boolean {
    if (!this.accepting) {
      this.discarded++;
      return false;
    }
    const bytes = payload.length + (topic === undefined ? 0 : Buffer.byteLength(topic));
    if (!this.#makeRoom(bytes)) {
      this.dropped++;
      return false;
    }
    this.#lastTsMs = Math.max(this.#lastTsMs, wallNowMs);
    this.#append({
      taskId: this.taskId,
      seq: ++this.#seq,
      tsMs: this.#lastTsMs,
      arrival,
      payload: Buffer.from(payload),
      topic,
      bytes,
      attempts: 0,
      state: 'ready',
      previous: this.#newest,
      next: undefined,
    });
    return true;
  }

  /** The entry that the next `take` would hand out. */
  peek(): Entry | undefined {
    return this.#nextReady();
  }

  /** Leases the oldest entry that is ready. */
  take(): Entry | undefined {
    const node = this.#nextReady();
    if (!node) return undefined;
    node.state = 'leased';
    node.attempts++;
    this.#leased++;
    this.#cursor = node.next;
    return node;
  }

  /** The taker has it: it leaves the queue. No effect on one that was evicted meanwhile. */
  settle(entry: Entry): void {
    const node = this.#held(entry);
    if (node) this.#remove(node);
  }

  /** The taker does not have it: it is ready again, at its old place. */
  giveBack(entry: Entry): void {
    const node = this.#held(entry);
    if (!node) return;
    node.state = 'ready';
    this.#leased--;
    if (!this.#cursor || node.seq < this.#cursor.seq) this.#cursor = node;
  }

  /** Forgets all entries. Whoever has some on lease settles or returns them in vain. */
  clear(): void {
    while (this.#oldest) this.#remove(this.#oldest);
  }

  /** Room for an entry of so many bytes, by the queue's policy. False: there is none. */
  #makeRoom(bytes: number): boolean {
    if (bytes > this.bounds.bytes) return false;
    while (this.#oldest && !this.#hasRoom(bytes)) {
      if (this.bounds.overflow === 'drop_newest') return false;
      this.#remove(this.#oldest);
      this.dropped++;
    }
    return this.#hasRoom(bytes);
  }

  #hasRoom(bytes: number): boolean {
    return (
      this.#length < this.bounds.length &&
      this.#bytes + bytes <= this.bounds.bytes &&
      this.#budget.bytes + bytes <= this.#budget.bytesMax
    );
  }

  #held(entry: Entry): Node | undefined {
    const node = entry as Node;
    return node.state === 'leased' ? node : undefined;
  }

  #nextReady(): Node | undefined {
    let node = this.#cursor;
    while (node && node.state !== 'ready') node = node.next;
    this.#cursor = node;
    return node;
  }

  #append(node: Node): void {
    if (this.#newest) this.#newest.next = node;
    else this.#oldest = node;
    this.#newest = node;
    this.#cursor ??= node;
    this.#length++;
    this.#bytes += node.bytes;
    this.#budget.bytes += node.bytes;
  }

  #remove(node: Node): void {
    if (node.state === 'leased') this.#leased--;
    node.state = 'gone';
    if (node.previous) node.previous.next = node.next;
    else this.#oldest = node.next;
    if (node.next) node.next.previous = node.previous;
    else this.#newest = node.previous;
    if (this.#cursor === node) this.#cursor = node.next;
    this.#length--;
    this.#bytes -= node.bytes;
    this.#budget.bytes -= node.bytes;
  }
}

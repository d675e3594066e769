import type { OutgoingMessage } from '../adapters/aedes.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import type { TaskId, Topics } from '../core/topics.js';
import type { Queues } from '../queues/queues.js';
import type { TaskQueue } from '../queues/task-queue.js';
import type { Qos } from '../transport/packet-type.js';
import type { PutOutcome, PutSink } from '../transport/ports.js';

export interface IntakePorts {
  readonly clock: Clock;
  readonly topics: Topics;
  readonly queues: Queues;
  publish(message: OutgoingMessage): void;
  /** @param instance Which worker put it; undefined: not known, or a net client */
  putSeen(taskId: TaskId, instance: number | undefined): void;
  dropped(taskId: TaskId, data: Record<string, unknown>): void;
}

interface Source {
  readonly topic: string | undefined;
  readonly instance: number | undefined;
  /** Whoever puts it can be made to wait. */
  readonly canWait: boolean;
}

/** Where a put becomes an entry, and its live copy. One for each task. */
export class TaskIntake implements PutSink {
  /** The live copy of the last entry is retained. */
  retainLast = false;
  readonly #taskId: TaskId;
  readonly #ports: IntakePorts;
  readonly #dataTopic: string;
  /** Of the last put. Monotonic, ms; undefined before the first. */
  lastPutMs: number | undefined;
  /** Each put is told to the supervisor, not only the first in a state. */
  watchesPuts = false;
  #queue: TaskQueue;
  #isTold = false;
  #closed = false;
  #droppedTold: number;
  #tellingDrops = false;

  constructor(taskId: TaskId, queue: TaskQueue, ports: IntakePorts) {
    this.#taskId = taskId;
    this.#queue = queue;
    this.#droppedTold = queue.dropped;
    this.#ports = ports;
    this.#dataTopic = ports.topics.data(taskId);
  }

  /** The queue it puts into: another one, once a disk is there that was not. */
  set queue(queue: TaskQueue) {
    if (queue === this.#queue) return;
    this.#queue = queue;
    this.#droppedTold = queue.dropped;
  }

  put(payload: Uint8Array, qos: Qos, topic: string | undefined, instance?: number): PutOutcome {
    return this.#put(payload, qos, { topic, instance, canWait: qos > 0 });
  }

  /** A line of output. Nobody waits to hear that it is flushed; a promise: there is no room for it before that is
   *  settled. */
  putLine(line: Uint8Array, instance: number): undefined | Promise<void> {
    const outcome = this.#put(line, 0, { topic: undefined, instance, canWait: true });
    return outcome !== undefined && 'done' in outcome ? outcome.done : undefined;
  }

  /** Resolves when it is in the queue for good, or dropped by policy and counted. */
  async putWaiting(payload: Uint8Array): Promise<void> {
    const outcome = this.#put(payload, 1, { topic: undefined, instance: undefined, canWait: true });
    await (outcome !== undefined && 'done' in outcome ? outcome.done : outcome);
  }

  /** The task's state changed: its next put is told at once, and a stopped one takes none. */
  stateChanged(accepting: boolean): void {
    this.#queue.accepting = accepting;
    this.#isTold = false;
    // What a stopped task takes no more need not wait for room.
    if (!accepting) this.#ports.queues.retryHeld();
  }

  /** Entries were lost without a put. */
  expired(): void {
    if (this.#queue.dropped > this.#droppedTold) this.#tellDropsSoon();
  }

  /** The task is removed: nothing more is told of it. */
  close(): void {
    this.#closed = true;
  }

  #put(payload: Uint8Array, qos: Qos, { topic, instance, canWait }: Source): PutOutcome {
    const outcome = this.#ports.queues.put(this.#queue, payload, topic);
    this.lastPutMs = this.#ports.clock.now();
    if (this.watchesPuts || !this.#isTold) {
      this.#isTold = true;
      this.#ports.putSeen(this.#taskId, instance);
    }
    if (outcome === 'full' && canWait) return this.#hold(payload, qos, topic);
    if (outcome === 'full') this.#queue.refuse();
    if (this.#queue.dropped > this.#droppedTold) this.#tellDropsSoon();
    // Others see what came, also where the queue's policy had no room for it; a stopped task is silent.
    if (typeof outcome !== 'string' || this.#queue.accepting) this.#tell(payload, qos);
    return typeof outcome === 'string' ? undefined : outcome;
  }

  #hold(payload: Uint8Array, qos: Qos, topic: string | undefined): PutOutcome {
    const kept = Buffer.from(payload);
    return this.#ports.queues.hold(this.#taskId, kept, topic, () => this.#tell(kept, qos));
  }

  #tell(payload: Uint8Array, qos: Qos): void {
    this.#ports.publish({ topic: this.#dataTopic, payload, qos, retain: this.retainLast, live: true });
  }

  #tellDropsSoon(): void {
    if (this.#tellingDrops) return;
    this.#tellingDrops = true;
    const tell = () => {
      const { dropped, epoch, length } = this.#queue;
      if (this.#closed || dropped === this.#droppedTold) {
        this.#tellingDrops = false;
        return;
      }
      const data = { dropped, since_last: dropped - this.#droppedTold, epoch, length };
      this.#droppedTold = dropped;
      this.#ports.dropped(this.#taskId, data);
      this.#ports.clock.after(LIMITS.dropEventMs, tell);
    };
    tell();
  }
}

import type { OutgoingMessage } from '../adapters/aedes.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import type { TaskId, Topics } from '../core/topics.js';
import type { Queues } from '../queues/queues.js';
import type { TaskQueue } from '../queues/task-queue.js';
import type { Qos } from '../transport/packet-type.js';
import type { PutSink } from '../transport/ports.js';

export interface IntakePorts {
  readonly clock: Clock;
  readonly topics: Topics;
  readonly queues: Queues;
  publish(message: OutgoingMessage): void;
  /** @param instance Which worker put it; undefined: not known, or a net client */
  putSeen(taskId: TaskId, instance: number | undefined): void;
  dropped(taskId: TaskId, data: Record<string, unknown>): void;
}

/** Where a put becomes an entry, and its live copy. One for each task. */
export class TaskIntake implements PutSink {
  /** The live copy of the last entry is retained. */
  retainLast = false;
  readonly #taskId: TaskId;
  readonly #queue: TaskQueue;
  readonly #ports: IntakePorts;
  readonly #dataTopic: string;
  /** Of the last put. Monotonic, ms; undefined before the first. */
  lastPutMs: number | undefined;
  /** Each put is told to the supervisor, not only the first in a state. */
  watchesPuts = false;
  #isTold = false;
  #closed = false;
  #droppedTold = 0;
  #tellingDrops = false;

  constructor(taskId: TaskId, queue: TaskQueue, ports: IntakePorts) {
    this.#taskId = taskId;
    this.#queue = queue;
    this.#ports = ports;
    this.#dataTopic = ports.topics.data(taskId);
  }

  put(payload: Uint8Array, qos: Qos, topic: string | undefined, instance?: number): undefined {
    const { queues, clock } = this.#ports;
    const stored = queues.put(this.#queue, payload, topic);
    if (this.#queue.dropped > this.#droppedTold) this.#tellDropsSoon();
    this.lastPutMs = clock.now();
    if (this.watchesPuts || !this.#isTold) {
      this.#isTold = true;
      this.#ports.putSeen(this.#taskId, instance);
    }
    // Others see what came, also where the queue's policy had no room for it; a stopped task is silent.
    if (stored || this.#queue.accepting) {
      this.#ports.publish({ topic: this.#dataTopic, payload, qos, retain: this.retainLast, live: true });
    }
    return undefined;
  }

  /** The task's state changed: its next put is told at once, and a stopped one takes none. */
  stateChanged(accepting: boolean): void {
    this.#queue.accepting = accepting;
    this.#isTold = false;
  }

  /** Entries were lost without a put. */
  expired(): void {
    if (this.#queue.dropped > this.#droppedTold) this.#tellDropsSoon();
  }

  /** The task is removed: nothing more is told of it. */
  close(): void {
    this.#closed = true;
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

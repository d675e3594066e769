import type { OutgoingMessage } from '../adapters/aedes.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import type { TaskId, Topics } from '../core/topics.js';
import type { TaskStatus } from '../supervisor/status.js';
import { statusToWire } from './status-wire.js';

type Publish = (message: OutgoingMessage) => void;

/** What the node tells everybody: states and information, retained; events and output, live. */
export class Announcer {
  readonly #topics: Topics;
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #lastState = new Map<TaskId, string>();
  #refusals = 0;
  #refusalSecond = 0;

  constructor(topics: Topics, clock: Clock, publish: Publish) {
    this.#topics = topics;
    this.#clock = clock;
    this.#publish = publish;
  }

  nodeState(word: 'online' | 'offline'): void {
    this.#publish({ topic: this.#topics.nodeState, payload: word, qos: 1, retain: true });
  }

  info(info: Record<string, unknown>): void {
    this.#publish({ topic: this.#topics.info, payload: JSON.stringify(info), qos: 1, retain: true });
  }

  taskState(status: TaskStatus): void {
    const payload = JSON.stringify(statusToWire(status));
    if (this.#lastState.get(status.taskId) === payload) return;
    this.#lastState.set(status.taskId, payload);
    this.#publish({ topic: this.#topics.state(status.taskId), payload, qos: 1, retain: true });
  }

  /** Clears what is retained of a task. */
  forget(taskId: string): void {
    for (const topic of [this.#topics.state(taskId), this.#topics.data(taskId)]) this.clear(topic);
    for (const known of this.#lastState.keys()) if (known === taskId) this.#lastState.delete(known);
  }

  clear(topic: string): void {
    this.#publish({ topic, payload: '', qos: 1, retain: true });
  }

  /** One event. Of refusals only so many a second are told: a client that floods must not make us flood everybody. */
  event(type: string, data: Record<string, unknown>, taskId: TaskId | undefined): void {
    if (type === 'refused' && !this.#mayTellRefusal()) return;
    const event = { type, ...(taskId === undefined ? {} : { task_id: taskId }), ts: this.#clock.wallNow(), data };
    this.#publish({ topic: this.#topics.event, payload: JSON.stringify(event), qos: 1, retain: false });
  }

  output(taskId: TaskId, line: string): void {
    this.#publish({ topic: this.#topics.log(taskId), payload: line, qos: 0, retain: false });
  }

  #mayTellRefusal(): boolean {
    const second = Math.floor(this.#clock.now() / 1_000);
    if (second !== this.#refusalSecond) {
      this.#refusalSecond = second;
      this.#refusals = 0;
    }
    return ++this.#refusals <= LIMITS.refusalEventsPerSecond;
  }
}

import type { OutgoingMessage } from '../adapters/aedes.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import type { TaskId, Topics } from '../core/topics.js';
import type { TaskStatus } from '../supervisor/status.js';
import { stateToWire } from './status-wire.js';

const CAUSED_BY_CLIENTS = new Set([
  'refused',
  'fetch_unheard',
  'keepalive_too_long',
  'slow_client',
  'session_full',
  'session_dropped',
  'live_dropped',
  'bypassed',
]);

type Publish = (message: OutgoingMessage) => void;

/** What the node tells everybody: states and information, retained; events and output, live. */
export class Announcer {
  readonly #topics: Topics;
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #isHeard: (topic: string) => boolean;
  /** Why nothing can be put into the queue of a task; undefined: it can. */
  readonly storageError: (taskId: TaskId) => string | undefined;
  readonly #lastState = new Map<TaskId, string>();
  /** What `info` told last; empty before the node has started. */
  lastInfo: Readonly<Record<string, unknown>> = {};
  /** How many events of each type there were, told or not. */
  readonly counts = new Map<string, number>();
  /** How many restarts, by cause; of tasks that are gone as well. */
  readonly restarts = new Map<string, number>();
  #tellings = new Map<string, number>();
  #second = 0;

  constructor(
    topics: Topics,
    clock: Clock,
    publish: Publish,
    isHeard: (topic: string) => boolean,
    storageError: (taskId: TaskId) => string | undefined,
  ) {
    this.#isHeard = isHeard;
    this.storageError = storageError;
    this.#topics = topics;
    this.#clock = clock;
    this.#publish = publish;
  }

  nodeState(word: 'online' | 'offline'): void {
    this.#publish({ topic: this.#topics.nodeState, payload: word, qos: 1, retain: true });
  }

  info(info: Record<string, unknown>): void {
    this.lastInfo = info;
    this.#publish({ topic: this.#topics.info, payload: JSON.stringify(info), qos: 1, retain: true });
  }

  taskState(status: TaskStatus): void {
    const error = this.storageError(status.taskId);
    const state = stateToWire(status);
    const payload = JSON.stringify(error === undefined ? state : { ...state, storage_error: error });
    if (this.#lastState.get(status.taskId) === payload) return;
    this.#lastState.set(status.taskId, payload);
    this.#publish({ topic: this.#topics.state(status.taskId), payload, qos: 1, retain: true });
  }

  /** Clears what is retained of a task. */
  forget(taskId: TaskId): void {
    for (const topic of [this.#topics.state(taskId), this.#topics.data(taskId)]) this.clear(topic);
    this.#lastState.delete(taskId);
  }

  /** A store that outlived the last run may hold states of tasks that are no more. */
  async clearUnknown(known: ReadonlySet<string>, retained: (filter: string) => Promise<string[]>): Promise<void> {
    for (const base of [this.#topics.state(''), this.#topics.data('')]) {
      for (const topic of await retained(`${base}+`)) if (!known.has(topic.slice(base.length))) this.clear(topic);
    }
  }

  clear(topic: string): void {
    this.#publish({ topic, payload: '', qos: 1, retain: true });
  }

  /** One event. False: only counted. Of those that clients can cause only so many a second are told: a client that
   *  floods must not make us flood everybody. */
  event(type: string, data: Record<string, unknown>, taskId: TaskId | undefined): boolean {
    count(this.counts, type);
    if (type === 'restarting') count(this.restarts, String(data.cause));
    if (CAUSED_BY_CLIENTS.has(type) && !this.#mayTell(type)) return false;
    const event = { type, ...(taskId === undefined ? {} : { task_id: taskId }), ts: this.#clock.wallNow(), data };
    this.#publish({ topic: this.#topics.event, payload: JSON.stringify(event), qos: 1, retain: false });
    return true;
  }

  /** @param usage Made only when somebody listens: there is one for each task, every other second */
  usage(taskId: TaskId, usage: () => Record<string, unknown>): void {
    const topic = this.#topics.usage(taskId);
    if (!this.#isHeard(topic)) return;
    const payload = JSON.stringify(usage());
    this.#publish({ topic, payload, qos: 0, retain: false, live: true });
  }

  output(taskId: TaskId, line: string): void {
    this.#publish({ topic: this.#topics.log(taskId), payload: line, qos: 0, retain: false, live: true });
  }

  #mayTell(type: string): boolean {
    const second = Math.floor(this.#clock.now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#tellings.clear();
    }
    const told = (this.#tellings.get(type) ?? 0) + 1;
    this.#tellings.set(type, told);
    return told <= LIMITS.clientEventsPerSecond;
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

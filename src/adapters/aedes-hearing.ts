import type { Aedes } from 'aedes';
import { LIMITS } from '../core/limits.js';
import type { Cancel } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';

/** The parts of mqemitter that tell who listens (mqemitter 7, mqemitter.js). */
interface Emitter {
  on(topic: string, listener: unknown, done?: () => void): unknown;
  removeListener(topic: string, listener: unknown, done?: () => void): unknown;
  readonly _matcher: { match(topic: string): readonly unknown[] };
}

/** Whether a QoS 0 message to a topic would reach anybody now. Remembers the answer until somebody comes or goes. */
export class Hearing {
  readonly #broker: Aedes;
  readonly #known = new Map<string, boolean>();
  #emitter: Emitter | undefined;

  constructor(broker: Aedes) {
    this.#broker = broker;
  }

  /** @returns undoes it; after that everything counts as heard */
  start(): Cancel {
    const emitter: unknown = Reflect.get(this.#broker, 'mq');
    if (!isEmitter(emitter)) return () => undefined;
    const { on, removeListener } = emitter;
    this.#emitter = emitter;
    emitter.on = (...args) => {
      this.#known.clear();
      return on.apply(emitter, args);
    };
    // Removed a turn later: an answer of meanwhile only costs a message to nobody.
    emitter.removeListener = (topic, listener, done) =>
      removeListener.call(emitter, topic, listener, () => {
        this.#known.clear();
        done?.();
      });
    return () => {
      this.#emitter = undefined;
      Object.assign(emitter, { on, removeListener });
    };
  }

  isHeard(topic: string): boolean {
    // A host that watches what is published hears everything.
    if (!this.#emitter || this.#broker.listenerCount('publish') > 0 || this.#isWatched()) return true;
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    const heard = this.#emitter._matcher.match(topic).length > 0;
    if (this.#known.size >= LIMITS.topicCacheMax) this.#known.clear();
    this.#known.set(topic, heard);
    return heard;
  }

  /** The host gave a `published` hook of its own (aedes.js). */
  #isWatched(): boolean {
    return this.#broker.published.name !== 'defaultPublished';
  }
}

function isEmitter(value: unknown): value is Emitter {
  return hasMethods(value, 'on', 'removeListener') && hasMethods(Reflect.get(value, '_matcher'), 'match');
}

import type { Aedes } from 'aedes';
import { LIMITS } from '../core/limits.js';
import type { Cancel } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { replaceMethod } from './replace-method.js';

/** The parts of mqemitter that tell who listens (mqemitter 7, mqemitter.js). */
interface Emitter {
  on(topic: string, listener: unknown, done?: () => void): unknown;
  removeListener(topic: string, listener: unknown, done?: () => void): unknown;
  readonly _matcher: { match(topic: string): readonly unknown[] };
}

/** Whether a message to a topic would reach anybody: now, or a stored session later. Remembers the answers until
 *  somebody comes or goes. */
export class Hearing {
  readonly #broker: Aedes;
  readonly #known = new Map<string, boolean>();
  /** Topics of which no stored session is kept anything. */
  readonly #unkept = new Set<string>();
  #keeperVersion = 0;
  #emitter: Emitter | undefined;

  constructor(broker: Aedes) {
    this.#broker = broker;
  }

  /** @returns undoes it; after that everything counts as heard */
  start(): Cancel {
    const undo = [this.#watchEmitter(), this.#watchKeeper()];
    return () => {
      for (const one of undo.reverse()) one();
    };
  }

  /** Whether a message at QoS 1 or 2 would be kept for a stored session. Not known yet counts as yes: then the broker
   *  asks, and it is. */
  isKept(topic: string): boolean {
    return !this.#unkept.has(topic);
  }

  #watchKeeper(): Cancel {
    const keeper: unknown = Reflect.get(this.#broker, 'persistence');
    // What tells for whom messages are kept (aedes-persistence, its README).
    if (!hasMethods(keeper, 'subscriptionsByTopic', 'addSubscriptions')) return () => undefined;
    const forget = () => {
      this.#keeperVersion += 1;
      this.#unkept.clear();
    };
    const undo = [
      replaceMethod(keeper, 'subscriptionsByTopic', (find) => async (topic) => {
        const version = this.#keeperVersion;
        const found = await find(topic);
        const isNone = Array.isArray(found) && found.length === 0;
        if (!isNone || typeof topic !== 'string' || version !== this.#keeperVersion) return found;
        if (this.#unkept.size >= LIMITS.topicCacheMax) this.#unkept.clear();
        this.#unkept.add(topic);
        return found;
      }),
      // Before and after: meanwhile the answer may be either.
      replaceMethod(keeper, 'addSubscriptions', (add) => async (...args) => {
        forget();
        try {
          return await add(...args);
        } finally {
          forget();
        }
      }),
    ];
    return () => {
      forget();
      for (const one of undo) one();
    };
  }

  #watchEmitter(): Cancel {
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

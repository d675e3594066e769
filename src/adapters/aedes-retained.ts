import type { Aedes } from 'aedes';
import type { Cancel } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { BROKER_ROOT } from '../core/topics.js';
import { replaceMethod } from './replace-method.js';

/** How many messages the broker retains, those about itself left out. No persistence of Aedes tells. */
export class RetainedCount {
  readonly #broker: Aedes;
  readonly #topics = new Set<string>();

  constructor(broker: Aedes) {
    this.#broker = broker;
  }

  get size(): number {
    return this.#topics.size;
  }

  /** Counts from now on, with what is there already.
   *  @returns undoes it */
  start(): Cancel {
    const persistence: unknown = Reflect.get(this.#broker, 'persistence');
    if (!isRetaining(persistence)) return () => undefined;
    const undo = replaceMethod(persistence, 'storeRetained', (store) => (...args) => {
      const [packet] = args;
      if (isMessage(packet)) this.#stored(packet);
      return store(...args);
    });
    this.#load(persistence).catch((error: unknown) => this.#broker.emit('error', error));
    return undo;
  }

  async #load(persistence: Retaining): Promise<void> {
    for await (const packet of persistence.createRetainedStreamCombi(['#'])) this.#stored(packet);
  }

  #stored({ topic, payload }: Message): void {
    if (topic.startsWith(BROKER_ROOT)) return;
    if (payload.length > 0) this.#topics.add(topic);
    else this.#topics.delete(topic);
  }
}

interface Message {
  readonly topic: string;
  readonly payload: { readonly length: number };
}

interface Retaining {
  createRetainedStreamCombi(filters: string[]): AsyncIterable<Message>;
}

function isRetaining(value: unknown): value is Retaining {
  return hasMethods(value, 'createRetainedStreamCombi', 'storeRetained');
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'topic' in value && 'payload' in value;
}

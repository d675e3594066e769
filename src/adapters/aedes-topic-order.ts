import type { Aedes } from 'aedes';
import type { Cancel } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { replaceMethod } from './replace-method.js';

/** Publishes to one topic that the broker has begun and not given to its subscribers yet. */
interface Line {
  /** The broker's numbers of them, in order. */
  readonly counters: Set<number>;
  /** Of those whose turn has not come. */
  readonly held: Map<number, () => void>;
}

/** Gives the messages of a topic to its subscribers in the order of their publishes [MQTT-4.6.0-6]. Aedes stores what is
 *  retained, and what is kept for sessions, first, and lets others pass meanwhile: the second of two messages could come
 *  first because only the first one is retained.
 *
 *  @returns undoes it */
export function keepTopicOrder(broker: Aedes): Cancel {
  const emitter: unknown = Reflect.get(broker, 'mq');
  if (!hasMethods(emitter, 'emit')) return () => undefined;
  const order = new TopicOrder();
  const undoPublish = replaceMethod(broker, 'publish', (publish) => (...args) => {
    const [packet] = args;
    const done = args.at(-1);
    const counter = counterOf(broker) + 1;
    if (!isMessage(packet) || packet.brokerCounter || !order.begin(packet, counter)) return publish(...args);
    const finish = (error: unknown, ...more: unknown[]) => {
      // It failed before it got there: nobody waits for it.
      if (error) order.give(packet.topic, counter);
      if (typeof done === 'function') done(error, ...more);
    };
    const before = args.slice(0, typeof done === 'function' ? -1 : undefined);
    return publish(packet, before[1] ?? null, finish);
  });
  const undoEmit = replaceMethod(emitter, 'emit', (emit) => (...args) => {
    const [packet] = args;
    const counter = isMessage(packet) ? packet.brokerCounter : undefined;
    if (!isMessage(packet) || counter === undefined) return emit(...args);
    order.give(packet.topic, counter, () => emit(...args));
    return emitter;
  });
  return () => {
    undoEmit();
    undoPublish();
  };
}

class TopicOrder {
  readonly #lines = new Map<string, Line>();

  /** False: nothing is before it, and it takes no time. */
  begin({ topic, qos = 0, retain = false }: Message, counter: number): boolean {
    const line = this.#lines.get(topic);
    if (line) line.counters.add(counter);
    else if (qos > 0 || retain) this.#lines.set(topic, { counters: new Set([counter]), held: new Map() });
    else return false;
    return true;
  }

  /** @param go Called when all before it have gone */
  give(topic: string, counter: number, go: () => void = () => undefined): void {
    const line = this.#lines.get(topic);
    if (!line?.counters.has(counter)) {
      go();
      return;
    }
    line.held.set(counter, go);
    for (const first of line.counters) {
      const next = line.held.get(first);
      if (!next) return;
      line.held.delete(first);
      line.counters.delete(first);
      next();
    }
    if (this.#lines.get(topic) === line) this.#lines.delete(topic);
  }
}

interface Message {
  readonly topic: string;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly brokerCounter?: number;
}

function counterOf(broker: Aedes): number {
  const counter: unknown = Reflect.get(broker, 'counter');
  return typeof counter === 'number' ? counter : 0;
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'topic' in value && typeof value.topic === 'string';
}

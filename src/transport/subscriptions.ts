import { LIMITS } from '../core/limits.js';
import { matches } from './topic-filter.js';

/** The filters one client holds, with their granted QoS. */
export class Subscriptions {
  readonly #qosByFilter = new Map<string, number>();
  /** Granted by us, and on their way through the broker. */
  readonly #coming = new Set<string>();
  readonly #cache = new Map<string, number>();

  /** Filters held, those on their way included. */
  get size(): number {
    return this.#qosByFilter.size + this.#coming.size;
  }

  /** Counts a filter that the broker still has to add. */
  expect(filter: string): void {
    if (!this.#qosByFilter.has(filter)) this.#coming.add(filter);
  }

  /** It will not come. */
  unexpect(filter: string): void {
    this.#coming.delete(filter);
  }

  add(filter: string, qos: number): void {
    this.#coming.delete(filter);
    this.#qosByFilter.set(filter, qos);
    this.#cache.clear();
  }

  remove(filter: string): void {
    this.#qosByFilter.delete(filter);
    this.#cache.clear();
  }

  has(filter: string): boolean {
    return this.#qosByFilter.has(filter) || this.#coming.has(filter);
  }

  /** The highest QoS among the filters that match, -1 when none does [MQTT-3.3.5-1]. */
  maxQos(topic: string): number {
    if (this.#qosByFilter.size === 0) return -1;
    const known = this.#cache.get(topic);
    if (known !== undefined) return known;
    let highest = -1;
    for (const [filter, qos] of this.#qosByFilter) {
      if (qos > highest && matches(filter, topic)) highest = qos;
    }
    if (this.#cache.size >= LIMITS.topicCacheMax) this.#cache.clear();
    this.#cache.set(topic, highest);
    return highest;
  }

  /** True when a filter that is spelled out up to `prefix` matches the topic: a deliberate subscription, not `#`. */
  namesTopic(topic: string, prefix: string): boolean {
    for (const filter of this.#qosByFilter.keys()) {
      if (filter.startsWith(prefix) && matches(filter, topic)) return true;
    }
    return false;
  }
}

import { matches } from './topic-filter.js';

const CACHE_MAX = 1_000;

/** The filters one client holds, with their granted QoS. */
export class Subscriptions {
  readonly #qosByFilter = new Map<string, number>();
  readonly #cache = new Map<string, number>();

  get size(): number {
    return this.#qosByFilter.size;
  }

  add(filter: string, qos: number): void {
    this.#qosByFilter.set(filter, qos);
    this.#cache.clear();
  }

  remove(filter: string): void {
    this.#qosByFilter.delete(filter);
    this.#cache.clear();
  }

  has(filter: string): boolean {
    return this.#qosByFilter.has(filter);
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
    if (this.#cache.size >= CACHE_MAX) this.#cache.clear();
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

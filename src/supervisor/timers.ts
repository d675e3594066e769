import type { Cancel, Clock } from '../core/ports.js';

/** Timers by name: setting one again replaces it. */
export class Timers<Name extends string> {
  readonly #clock: Clock;
  readonly #running = new Map<Name, Cancel>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(name: Name, ms: number, fire: () => void): void {
    this.clear(name);
    const cancel = this.#clock.after(ms, () => {
      // One that fires although it was cleared must not pass for the one that was set in its place.
      if (this.#running.get(name) !== cancel) return;
      this.#running.delete(name);
      fire();
    });
    this.#running.set(name, cancel);
  }

  clear(name: Name): void {
    this.#running.get(name)?.();
    this.#running.delete(name);
  }

  clearAll(): void {
    for (const cancel of this.#running.values()) cancel();
    this.#running.clear();
  }
}

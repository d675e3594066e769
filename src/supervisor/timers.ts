import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';

/** Timers by name: setting one again replaces it.
 *
 *  Some hold somebody's silence against him, and are patient. While the node itself stood still nobody could be heard: one
 *  that is late by more than `LIMITS.loopLagMs` waits as long again. And it fires a turn later than it is due, when all
 *  has been read that had come in time. */
export class Timers<Name extends string> {
  readonly #clock: Clock;
  readonly #patient: ReadonlySet<Name>;
  readonly #running = new Map<Name, Cancel>();

  constructor(clock: Clock, patient: ReadonlySet<Name> = new Set()) {
    this.#clock = clock;
    this.#patient = patient;
  }

  set(name: Name, ms: number, fire: () => void): void {
    this.clear(name);
    const dueMs = this.#clock.now() + ms;
    const cancel = this.#clock.after(ms, () => {
      if (!this.#isRunning(name, cancel)) return;
      const lagMs = this.#clock.now() - dueMs;
      if (!this.#patient.has(name)) this.#fire(name, fire);
      else if (lagMs > LIMITS.loopLagMs) this.set(name, lagMs, fire);
      else this.#clock.soon(() => this.#isRunning(name, cancel) && this.#fire(name, fire));
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

  /** One that fires although it was cleared must not pass for the one that was set in its place. */
  #isRunning(name: Name, cancel: Cancel): boolean {
    return this.#running.get(name) === cancel;
  }

  #fire(name: Name, fire: () => void): void {
    this.#running.delete(name);
    fire();
  }
}

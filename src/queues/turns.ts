import type { Clock } from '../core/ports.js';

/** Lets one go on in each turn of the event loop, in the order in which they asked. */
export class Turns {
  readonly #clock: Clock;
  #last: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  next(): Promise<void> {
    this.#last = this.#last.then(() => new Promise<void>((resolve) => this.#clock.soon(resolve)));
    return this.#last;
  }
}

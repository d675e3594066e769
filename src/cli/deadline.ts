import type { Failure } from './failure.js';
import type { Lifetime } from './lifetime.js';

/** A signal that is aborted when an answer takes too long, or the way to the node ends. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  readonly #late: () => Failure;
  readonly #forget: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param lifetime Undefined: it goes on after that */
  constructor(lifetime: Lifetime | undefined, timeoutMs: number, late: () => Failure) {
    this.#timeoutMs = timeoutMs;
    this.#late = late;
    this.#forget = lifetime?.onFailure((failure) => this.#controller.abort(failure)) ?? (() => undefined);
    this.start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The whole time again, from now. */
  start(): void {
    this.stop();
    this.#timer = setTimeout(() => this.#controller.abort(this.#late()), this.#timeoutMs);
  }

  /** No time runs until the next start. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.stop();
    this.#forget();
  }
}

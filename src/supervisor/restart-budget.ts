import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';

/** Restarts by policy of all workers together: a bucket of `restartBurst` that fills by `restartsPerSecond`. One crash
 *  loop is held by its own backoff; a hundred of them at once by this. */
export class RestartBudget {
  readonly #clock: Clock;
  #tokens: number = LIMITS.restartBurst;
  #lastMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastMs = clock.now();
  }

  /** How long a restart would have to wait now. Milliseconds, whole. */
  waitMs(): number {
    const now = this.#clock.now();
    const filled = ((now - this.#lastMs) * LIMITS.restartsPerSecond) / 1_000;
    this.#tokens = Math.min(LIMITS.restartBurst, this.#tokens + filled);
    this.#lastMs = now;
    return Math.max(0, Math.ceil(((1 - this.#tokens) * 1_000) / LIMITS.restartsPerSecond));
  }

  /** Counts a restart that was planned after `waitMs`: below nothing, the next ones wait the longer. */
  spend(): void {
    this.#tokens -= 1;
  }

  /** Such a restart does not come, or came by command: repeated commands must not make all others wait for ever. */
  refund(): void {
    this.#tokens = Math.min(LIMITS.restartBurst, this.#tokens + 1);
  }
}

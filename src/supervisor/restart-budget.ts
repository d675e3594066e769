import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import { TokenBucket } from './token-bucket.js';

/** Restarts by policy of all workers together: a bucket of `restartBurst` that fills by `restartsPerSecond`. One crash
 *  loop is held by its own backoff; a hundred of them at once by this. */
export class RestartBudget {
  readonly #clock: Clock;
  readonly #bucket = new TokenBucket(LIMITS.restartBurst, LIMITS.restartsPerSecond);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long a restart would have to wait now. Milliseconds, whole. */
  waitMs(): number {
    const missing = 1 - this.#bucket.filled(this.#clock.now());
    return Math.max(0, Math.ceil((missing * 1_000) / LIMITS.restartsPerSecond));
  }

  /** Counts a restart that was planned after `waitMs`: below nothing, the next ones wait the longer. */
  spend(): void {
    this.#bucket.take(1);
  }

  /** Such a restart does not come, or came by command: repeated commands must not make all others wait for ever. */
  refund(): void {
    this.#bucket.giveBack(1);
  }
}

import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';
import type { Channel } from './channel.js';

export interface SilencePorts {
  readonly clock: Clock;
  channels(): Iterable<Channel>;
  /** The longest silence this connection may keep now. Milliseconds, Infinity: none. */
  limitMs(channel: Channel): number;
}

/** One clock for all connections, in place of a timer for each: who is silent for too long, and who keeps others
 *  waiting for too long. */
export class SilenceWatch {
  readonly #ports: SilencePorts;
  #lastTickMs = 0;
  #cancel: Cancel | undefined;

  constructor(ports: SilencePorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#lastTickMs = this.#ports.clock.now();
    this.#cancel ??= this.#ports.clock.every(LIMITS.tickMs, () => this.#tick());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #tick(): void {
    const now = this.#ports.clock.now();
    const lagMs = now - this.#lastTickMs - LIMITS.tickMs;
    this.#lastTickMs = now;
    // Leaving a set while it is walked is safe; only the walked one leaves here, or one that it takes with it.
    for (const channel of this.#ports.channels()) {
      channel.outbound.tick(LIMITS.tickMs);
      // While the node itself stood still nobody could be heard; while it does not read, neither. But a peer that we
      // stopped reading from because it does not read is judged.
      if (lagMs > LIMITS.loopLagMs) channel.lastSeenMs = Math.min(now, channel.lastSeenMs + lagMs);
      if (channel.paused && !channel.outbound.isOverfull) channel.lastSeenMs = now;
      if (channel.phase === 'connecting') continue;
      const limitMs = this.#ports.limitMs(channel);
      if (now - channel.lastSeenMs > limitMs) {
        channel.close('silent', `silent for more than ${Math.round(limitMs)} ms`);
      }
    }
  }
}

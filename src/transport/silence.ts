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
 *  waiting for too long. It looks when the next silence would be too long, and sometimes before. */
export class SilenceWatch {
  readonly #ports: SilencePorts;
  #lastTickMs = 0;
  /** When the next tick should come. */
  #dueMs = 0;
  #cancel: Cancel | undefined;

  constructor(ports: SilencePorts) {
    this.#ports = ports;
  }

  start(): void {
    if (this.#cancel) return;
    this.#lastTickMs = this.#ports.clock.now();
    this.#tickAfter(LIMITS.tickMs);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #tickAfter(ms: number): void {
    this.#cancel?.();
    this.#dueMs = this.#ports.clock.now() + ms;
    this.#cancel = this.#ports.clock.every(ms, () => this.#tick());
  }

  #tick(): void {
    const { clock, channels } = this.#ports;
    const now = clock.now();
    const lagMs = now - this.#dueMs;
    const elapsedMs = Math.min(now - this.#lastTickMs, LIMITS.tickMs);
    this.#lastTickMs = now;
    let nextMs: number = LIMITS.idleTickMs;
    const overdue: Channel[] = [];
    // Leaving a set while it is walked is safe; only the walked one leaves here, or one that it takes with it.
    for (const channel of channels()) {
      channel.outbound.tick(elapsedMs);
      if (channel.outbound.isStalling) nextMs = Math.min(nextMs, LIMITS.tickMs);
      // While the node itself stood still nobody could be heard; while it does not read, neither. But a peer that we
      // stopped reading from because it does not read is judged.
      if (lagMs > LIMITS.loopLagMs) channel.lastSeenMs = Math.min(now, channel.lastSeenMs + lagMs);
      if (channel.paused && !channel.outbound.isOverfull) channel.lastSeenMs = now;
      if (channel.phase === 'connecting') continue;
      nextMs = Math.min(nextMs, channel.proveLife(now));
      const leftMs = this.#leftMs(channel, now);
      if (leftMs < 0) overdue.push(channel);
      else nextMs = Math.min(nextMs, leftMs + 1);
    }
    if (overdue.length > 0) clock.soon(() => this.#judge(overdue));
    this.#tickAfter(Math.max(nextMs, LIMITS.leastTickMs));
  }

  /** A turn later, in which all has been read that had come in time. */
  #judge(overdue: readonly Channel[]): void {
    if (this.#cancel === undefined) return;
    const now = this.#ports.clock.now();
    for (const channel of overdue) {
      if (this.#leftMs(channel, now) >= 0) continue;
      channel.close('silent', `silent for more than ${Math.round(this.#ports.limitMs(channel))} ms`);
    }
  }

  /** How long it may stay silent yet. */
  #leftMs(channel: Channel, now: number): number {
    return channel.lastSeenMs + this.#ports.limitMs(channel) - now;
  }
}

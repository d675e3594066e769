import type { WebSocket } from 'ws';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';

/** How many pings fit into the longest silence. */
const PINGS = 3;

export interface PulseOptions {
  readonly clock: Clock;
  readonly socket: WebSocket;
  /** The longest silence it may keep now. Milliseconds. */
  limitMs(): number;
  /** It kept a longer one. */
  silent(): void;
}

/** The heartbeat of a WebSocket: pings, and an end when nothing of it has come for too long. Every frame of the peer is a
 *  sign of life. */
export class SocketPulse {
  readonly #options: PulseOptions;
  #lastSeenMs: number;
  #dueMs = 0;
  #cancel: Cancel | undefined;

  constructor(options: PulseOptions) {
    const { clock, socket } = options;
    this.#options = options;
    this.#lastSeenMs = clock.now();
    const seen = () => {
      this.#lastSeenMs = clock.now();
    };
    for (const event of ['message', 'ping', 'pong'] as const) socket.on(event, seen);
    socket.once('close', () => this.#cancel?.());
    this.#tickAfter(options.limitMs() / PINGS);
  }

  /** Clock time of the last frame. */
  get lastSeenMs(): number {
    return this.#lastSeenMs;
  }

  #tickAfter(ms: number): void {
    const { clock } = this.#options;
    this.#cancel?.();
    const delayMs = Math.max(ms, LIMITS.leastTickMs);
    this.#dueMs = clock.now() + delayMs;
    this.#cancel = clock.every(delayMs, () => this.#tick());
  }

  #tick(): void {
    const { clock, socket, limitMs } = this.#options;
    const now = clock.now();
    const lagMs = now - this.#dueMs;
    // While the node itself stood still nobody could be heard; while it does not read, neither.
    if (lagMs > LIMITS.loopLagMs) this.#lastSeenMs = Math.min(now, this.#lastSeenMs + lagMs);
    if (socket.isPaused) this.#lastSeenMs = now;
    const leftMs = this.#lastSeenMs + limitMs() - now;
    if (leftMs < 0) {
      this.#cancel?.();
      // A turn later, in which all has been read that had come in time.
      clock.soon(() => this.#judge());
      return;
    }
    if (socket.readyState === socket.OPEN) socket.ping();
    this.#tickAfter(Math.min(limitMs() / PINGS, leftMs + 1));
  }

  #judge(): void {
    const { clock, socket, limitMs, silent } = this.#options;
    if (socket.readyState === socket.CLOSED) return;
    if (this.#lastSeenMs + limitMs() - clock.now() < 0) silent();
    else this.#tickAfter(limitMs() / PINGS);
  }
}

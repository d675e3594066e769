import type { Channel } from '../../src/transport/channel.js';
import { SilenceWatch } from '../../src/transport/silence.js';
import type { FakeProcess } from '../fixtures/fake-spawner.js';
import type { VirtualClock } from '../fixtures/virtual-clock.js';

/** How often a client pings, and the silence it is held to. */
const PING_MS = 2_000;
const SILENCE_MS = 3_000;
/** From the limit to the tick that sees it. */
const SLACK_MS = 100;

/** A connection of a worker. What it pings is read by the node as soon as the node runs. */
export class WatchedChannel {
  readonly id: string;
  readonly process: FakeProcess;
  /** What the watch looks at. */
  lastSeenMs: number;
  readonly paused = false;
  readonly proveLife = () => Number.POSITIVE_INFINITY;
  readonly phase = 'open';
  readonly outbound = { isOverfull: false, isStalling: false, tick: () => undefined };
  /** When the node read its last ping. */
  heardMs: number;
  /** It pings no more. */
  isHung = false;
  /** For how long the node stood still since then. */
  stalledMs = 0;
  readonly #silent: (channel: WatchedChannel) => void;

  constructor(id: string, process: FakeProcess, nowMs: number, silent: (channel: WatchedChannel) => void) {
    this.id = id;
    this.process = process;
    this.lastSeenMs = nowMs;
    this.heardMs = nowMs;
    this.#silent = silent;
  }

  close(): void {
    this.#silent(this);
  }
}

/** The connections of a schedule under the transport's own watch. */
export class WatchedChannels {
  readonly #clock: VirtualClock;
  readonly #channels = new Map<string, WatchedChannel>();
  readonly #silent: (channel: WatchedChannel) => void;
  readonly #watch: SilenceWatch;
  readonly #errors: unknown[];

  constructor(clock: VirtualClock, errors: unknown[], silent: (channel: WatchedChannel) => void) {
    this.#clock = clock;
    this.#errors = errors;
    this.#silent = silent;
    // The watch needs no more of a channel than these have.
    const channels = () => this.#channels.values() as unknown as Iterable<Channel>;
    this.#watch = new SilenceWatch({ clock, channels, limitMs: () => SILENCE_MS });
  }

  start(): void {
    this.#watch.start();
  }

  stop(): void {
    this.#watch.stop();
    this.#channels.clear();
  }

  open(id: string, process: FakeProcess): void {
    const channel = new WatchedChannel(id, process, this.#clock.now(), () => this.#judged(channel));
    this.#channels.set(id, channel);
    this.#pingAt(channel, this.#clock.now() + PING_MS);
  }

  close(id: string): void {
    this.#channels.delete(id);
  }

  hang(process: FakeProcess): void {
    for (const channel of this.#channels.values()) if (channel.process === process) channel.isHung = true;
  }

  /** Before the clock of the node stands still for so long. */
  stalling(ms: number): void {
    for (const channel of this.#channels.values()) channel.stalledMs += ms;
  }

  /** Whoever hangs is found in time. */
  check(): void {
    const now = this.#clock.now();
    for (const { id, heardMs, stalledMs } of this.#channels.values()) {
      if (now - heardMs <= SILENCE_MS + stalledMs + SLACK_MS) continue;
      throw new Error(`${id} was heard last at ${heardMs} and was not judged`);
    }
  }

  /** The client's own clock does not stand still with the node's. */
  #pingAt(channel: WatchedChannel, atMs: number): void {
    this.#clock.after(Math.max(0, atMs - this.#clock.now()), () => {
      if (!this.#channels.has(channel.id) || channel.isHung || !channel.process.lives) return;
      channel.heardMs = this.#clock.now();
      channel.lastSeenMs = this.#clock.now();
      channel.stalledMs = 0;
      this.#pingAt(channel, atMs + PING_MS);
    });
  }

  #judged(channel: WatchedChannel): void {
    if (!channel.isHung && channel.process.lives) this.#errors.push(`${channel.id} was judged silent though it pings`);
    this.#channels.delete(channel.id);
    this.#silent(channel);
  }
}

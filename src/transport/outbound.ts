import { LIMITS } from '../core/limits.js';
import type { Link } from './link.js';
import { PACKET_TYPE } from './packet-type.js';
import type { Traffic } from './traffic.js';

/** Frames larger than this are written as they are; smaller ones are joined first. */
const JOIN_BYTES = 4_096;

/** What goes out to one client: whole frames, gathered and written once a turn, with back-pressure. */
export class Outbound {
  readonly #link: Link;
  readonly #traffic: Traffic;
  readonly #flushSoon: () => void;
  #frames: Buffer[] = [];
  #bytes = 0;
  #scheduled = false;
  #congested = false;
  #waiters: Array<() => void> = [];
  /** How long this peer kept others waiting, on balance. */
  #stalledMs = 0;
  #slow = false;

  /** @param flushSoon Asks for one `flush` at the end of this turn. */
  constructor(link: Link, traffic: Traffic, flushSoon: () => void) {
    this.#link = link;
    this.#traffic = traffic;
    this.#flushSoon = flushSoon;
  }

  /** The peer reads too slowly for more from the broker, or so much was gathered in this turn that it goes out first. */
  get isFull(): boolean {
    return this.#bytes > (this.#congested ? LIMITS.writeSoftBytes : LIMITS.writeHardBytes);
  }

  /** So much waits that we stop taking in what would be answered. */
  get isOverfull(): boolean {
    return this.#congested && this.#bytes > LIMITS.writeHardBytes;
  }

  /** The peer kept others waiting for too long: nobody waits for it any more until it has caught up. */
  get isSlow(): boolean {
    return this.#slow;
  }

  /** Somebody waits for this peer, or did so lately. */
  get isStalling(): boolean {
    return this.#waiters.length > 0 || this.#stalledMs > 0;
  }

  /** Looks at who waits for this peer. One that does not read must not hold up the broker for the others. */
  tick(elapsedMs: number): void {
    this.#stalledMs =
      this.#waiters.length > 0 ? this.#stalledMs + elapsedMs : Math.max(0, this.#stalledMs - elapsedMs / 2);
    if (this.#stalledMs >= LIMITS.slowAfterMs) {
      this.#slow = true;
      this.release();
    } else if (this.#stalledMs === 0) {
      this.#slow = false;
    }
  }

  /** @param packets How many it is; more than one: acknowledgements */
  send(frame: Buffer, packets = 1): void {
    this.#traffic.messagesSent += packets;
    if ((frame[0] ?? 0) >> 4 === PACKET_TYPE.publish) this.#traffic.publishesSent += 1;
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#flushSoon();
  }

  /** Calls back at once, or when the peer has caught up, or when it kept others waiting for too long, or when the
   *  connection ends. */
  whenRoom(ready: () => void): void {
    if (this.isFull && !this.#slow) this.#waiters.push(ready);
    else ready();
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#congested || this.#frames.length === 0) return;
    const frames = this.#frames;
    this.#traffic.bytesSent += this.#bytes;
    this.#frames = [];
    this.#bytes = 0;
    if (!this.#write(frames)) this.#congested = true;
    else if (this.#waiters.length > 0) this.release();
  }

  drained(): void {
    this.#congested = false;
    this.flush();
    if (!this.isFull) this.release();
  }

  /** Lets everybody go on who waited for room. */
  release(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const ready of waiters) ready();
  }

  #write(frames: readonly Buffer[]): boolean {
    const [only] = frames;
    if (only && frames.length === 1) return this.#link.write(only);
    let room = true;
    let small: Buffer[] = [];
    const writeSmall = () => {
      if (small.length > 0) room = this.#link.write(Buffer.concat(small));
      small = [];
    };
    this.#link.cork();
    for (const frame of frames) {
      if (frame.length <= JOIN_BYTES) {
        small.push(frame);
      } else {
        writeSmall();
        room = this.#link.write(frame);
      }
    }
    writeSmall();
    this.#link.uncork();
    return room;
  }
}

import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Random } from '../core/ports.js';
import { payloadToWire } from '../router/payload.js';

export interface FeedsOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Stands before the topics that are told, not before those that are listened to. Default none. */
  readonly prefix?: string;
}

/** One who listens to a topic, and takes at its own pace. */
export interface FeedReader {
  /** What comes next, as text/event-stream: whole messages, `LIMITS.feedPieceBytes` or one larger one. The bytes are
   *  shared by all readers. Undefined: there is nothing now. */
  next(): Buffer | undefined;
  /** It listens no more. Idempotent. */
  readonly end: Cancel;
}

const EVENT_TOPIC = 'm/event';
const DATA_TOPIC = 'm/data';
const LOG_TOPIC = 'm/log';

/** The live messages of the node by topic, as server-sent events.
 *
 *  Each topic has a ring of its newest messages, written once in the format of the wire; readers stand somewhere in it:
 *
 *      first                          last
 *        │ a │ b │ c │ d │ e │ f │ g │ h │
 *                  ▲               ▲       ▲
 *             a slow one      it came back   all others
 *
 *  So a slow reader costs one piece beside the ring, and one that comes back finds what it missed. Where the ring has
 *  gone on without it, an event `gap` says how many messages it missed (`null`: unknown).
 *
 *  `m/event` has its ring always; other topics from their first reader until `LIMITS.feedKeepMs` after the last left.
 *
 *  An id is `<epoch>-<n>`: the epoch is random and new with each ring, so that no id ever means two messages; n counts
 *  from 1. */
export class Feeds {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #prefix: string;
  /** By topic, with the prefix: telling is the hot path. */
  readonly #rings = new Map<string, Ring>();
  /** Rings that nobody reads, in the order in which they were left, and what ends the end of each. */
  readonly #idle = new Map<string, Cancel>();
  #bytes = 0;
  /** How many rings tell of all tasks. */
  #ofAll = 0;

  constructor({ clock, random, prefix = '' }: FeedsOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#prefix = prefix;
    this.#rings.set(prefix + EVENT_TOPIC, this.#newRing(EVENT_TOPIC));
  }

  /** A live message. Costs a look into a map when nobody listens.
   *  @param topic With the prefix
   *  @param payload Its bytes are only good during the call */
  tell(topic: string, payload: string | Uint8Array): void {
    const ring = this.#rings.get(topic);
    if (ring !== undefined) this.#push(ring, payload, '');
    if (this.#ofAll === 0) return;
    const slash = topic.lastIndexOf('/');
    const ofAll = this.#rings.get(topic.slice(0, slash));
    if (ofAll !== undefined) this.#push(ofAll, payload, topic.slice(slash + 1));
  }

  #push(ring: Ring, payload: string | Uint8Array, taskId: string): void {
    this.#bytes += ring.push(payload, this.#clock.wallNow(), taskId);
    // So much at once that the ring would go on without those who keep up.
    if (ring.freshBytes >= LIMITS.feedBytes / 4 || ring.fresh >= LIMITS.feedMessages / 4) this.#wake(ring);
    else if (!ring.isDue) this.#wakeSoon(ring);
  }

  /** @param topic Without the prefix
   *  @param lastEventId Of the last message that came before; undefined: from now on
   *  @param wake There is news; never called before this returns */
  listen(topic: string, lastEventId: string | undefined, wake: () => void): FeedReader {
    const name = this.#prefix + topic;
    this.#idle.get(name)?.();
    this.#idle.delete(name);
    const known = this.#rings.get(name);
    const ring = known ?? this.#newRing(topic);
    if (known === undefined && isOfAll(topic)) this.#ofAll += 1;
    this.#rings.set(name, ring);
    const reader = new Reader(ring, lastEventId, wake, () => this.#left(name, ring));
    ring.readers.add(reader);
    return reader;
  }

  #newRing(topic: string): Ring {
    return new Ring(this.#random.secret(6), encoderOf(topic));
  }

  /** At the end of the turn. Of many readers a little later, so that waking them takes no more than a share of the time. */
  #wakeSoon(ring: Ring): void {
    ring.isDue = true;
    const wake = () => {
      ring.isDue = false;
      if (ring.fresh > 0) this.#wake(ring);
    };
    const waitMs = ring.wokenMs + (ring.readers.size * LIMITS.feedPaceUs) / 1_000 - this.#clock.now();
    if (waitMs < 1) this.#clock.soon(wake);
    else this.#clock.after(waitMs, wake);
  }

  #wake(ring: Ring): void {
    ring.seen();
    ring.wokenMs = this.#clock.now();
    for (const reader of ring.readers) reader.wake();
    this.#shrink();
  }

  #left(name: string, ring: Ring): void {
    if (ring.readers.size > 0 || name === this.#prefix + EVENT_TOPIC) return;
    // `every`, since it does not keep the process alive.
    const cancel = this.#clock.every(LIMITS.feedKeepMs, () => this.#forget(name));
    this.#idle.set(name, cancel);
    const [longest] = this.#idle.keys();
    if (this.#idle.size > LIMITS.feedsIdleMax && longest !== undefined) this.#forget(longest);
  }

  #forget(name: string): void {
    this.#idle.get(name)?.();
    this.#idle.delete(name);
    this.#bytes -= this.#rings.get(name)?.bytes ?? 0;
    if (this.#rings.delete(name) && isOfAll(name.slice(this.#prefix.length))) this.#ofAll -= 1;
  }

  #shrink(): void {
    while (this.#bytes > LIMITS.feedsBytesMax) {
      let most: Ring | undefined;
      for (const ring of this.#rings.values()) if (most === undefined || ring.bytes > most.bytes) most = ring;
      if (most === undefined) return;
      this.#bytes -= most.shed(most.bytes / 2);
    }
  }
}

/** @param taskId Of a ring of all tasks, else empty */
type Encoder = (payload: string | Uint8Array, tsMs: number, taskId: string) => string;

/** What is told of every task. */
function isOfAll(topic: string): boolean {
  return topic === DATA_TOPIC || topic === LOG_TOPIC;
}

function encoderOf(topic: string): Encoder {
  if (topic === LOG_TOPIC) return logLine;
  return topic === DATA_TOPIC || topic.startsWith(`${DATA_TOPIC}/`) ? dataLine : textLines;
}

/** Messages `from` + 1 to `to`, joined. */
interface Piece {
  readonly from: number;
  readonly to: number;
  readonly bytes: Buffer;
}

/** The newest messages of one topic. */
class Ring {
  readonly epoch: string;
  readonly readers = new Set<Reader>();
  /** The numbers of the oldest and newest one; empty when `last` is below `first`. */
  first = 1;
  last = 0;
  /** Of all it holds, with what each costs beside. */
  bytes = 0;
  /** What came since the readers were woken. */
  fresh = 0;
  freshBytes = 0;
  /** They will be woken. */
  isDue = false;
  /** When they last were. */
  wokenMs = Number.NEGATIVE_INFINITY;
  readonly #encode: Encoder;
  readonly #messages: (Buffer | undefined)[] = [];
  /** Readers that keep up are all at one place, and take the same piece. */
  #piece: Piece | undefined;

  constructor(epoch: string, encode: Encoder) {
    this.epoch = epoch;
    this.#encode = encode;
  }

  /** How many bytes it holds more, or less. */
  push(payload: string | Uint8Array, tsMs: number, taskId: string): number {
    const before = this.bytes;
    this.last += 1;
    const message = ownBytes(`id: ${this.epoch}-${this.last}\n${this.#encode(payload, tsMs, taskId)}\n\n`);
    if (this.last - this.first >= LIMITS.feedMessages) this.#evict();
    this.#messages[this.last % LIMITS.feedMessages] = message;
    this.bytes += costOf(message);
    this.fresh += 1;
    this.freshBytes += message.length;
    // The newest one stays however large it is: nobody has seen it yet.
    while (this.bytes > LIMITS.feedBytes && this.first < this.last) this.#evict();
    return this.bytes - before;
  }

  /** Its readers were woken, or there are none. */
  seen(): void {
    this.fresh = 0;
    this.freshBytes = 0;
  }

  /** Evicts the oldest until it holds no more than so many bytes; how many bytes that freed. */
  shed(bytesMax: number): number {
    const before = this.bytes;
    while (this.bytes > bytesMax && this.first <= this.last) this.#evict();
    return before - this.bytes;
  }

  /** What follows a message that is held, or that stands before the first: about a piece, at least one message. */
  after(from: number): Piece {
    if (this.#piece?.from === from) return this.#piece;
    const messages: Buffer[] = [];
    let bytes = 0;
    let to = from;
    for (; to < this.last; to++) {
      const message = this.#messages[(to + 1) % LIMITS.feedMessages];
      if (message === undefined || (to > from && bytes + message.length > LIMITS.feedPieceBytes)) break;
      messages.push(message);
      bytes += message.length;
    }
    const [only] = messages;
    this.#piece = { from, to, bytes: only !== undefined && messages.length === 1 ? only : Buffer.concat(messages) };
    return this.#piece;
  }

  /** The n of an id of this ring; undefined: it is none. */
  placeOf(id: string): number | undefined {
    const digits = id.startsWith(`${this.epoch}-`) ? id.slice(this.epoch.length + 1) : '';
    const place = /^\d{1,15}$/.test(digits) ? Number(digits) : Number.NaN;
    return place <= this.last ? place : undefined;
  }

  #evict(): void {
    const slot = this.first % LIMITS.feedMessages;
    const message = this.#messages[slot];
    this.#messages[slot] = undefined;
    if (message !== undefined) this.bytes -= costOf(message);
    this.first += 1;
    if (this.#piece !== undefined && this.#piece.from + 1 < this.first) this.#piece = undefined;
  }
}

class Reader implements FeedReader {
  readonly wake: () => void;
  readonly #ring: Ring;
  readonly #left: () => void;
  /** The number of the last message it took. */
  #at: number;
  /** Comes before everything else. */
  #opening: Buffer | undefined;

  constructor(ring: Ring, lastEventId: string | undefined, wake: () => void, left: () => void) {
    this.wake = wake;
    this.#ring = ring;
    this.#left = left;
    if (lastEventId === undefined) {
      this.#at = ring.last;
      // Without data it is no event; but who loses the connection before the first event can say where it was.
      this.#opening = Buffer.from(`id: ${ring.epoch}-${ring.last}\n\n`);
      return;
    }
    const place = ring.placeOf(lastEventId);
    // Nobody knows what came after a message of another ring; but all of this one did.
    this.#at = place ?? ring.first - 1;
    this.#opening = place === undefined ? this.#gap(null) : undefined;
  }

  next(): Buffer | undefined {
    const opening = this.#opening;
    if (opening !== undefined) {
      this.#opening = undefined;
      return opening;
    }
    const { first, last } = this.#ring;
    const missed = first - 1 - this.#at;
    if (missed > 0) {
      this.#at = first - 1;
      return this.#gap(missed);
    }
    if (this.#at >= last) return undefined;
    const { to, bytes } = this.#ring.after(this.#at);
    this.#at = to;
    return bytes;
  }

  readonly end = () => {
    if (this.#ring.readers.delete(this)) this.#left();
  };

  /** Its id is the place that follows, so that a gap that was told is not told again. */
  #gap(missed: number | null): Buffer {
    return Buffer.from(`event: gap\nid: ${this.#ring.epoch}-${this.#at}\ndata: ${JSON.stringify({ missed })}\n\n`);
  }
}

function costOf(message: Buffer): number {
  return message.length + LIMITS.feedOverheadBytes;
}

/** In memory of its own: a small piece of a shared block would keep the whole block. */
function ownBytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

/** CR, LF and CRLF end a line of an event stream, and whoever reads it joins lines of data with LF [HTML 9.2.6]. So a
 *  CR within a line of output, as of a progress bar, arrives as LF. */
function textLines(payload: string | Uint8Array): string {
  const text = typeof payload === 'string' ? payload : bufferOf(payload).toString();
  return `data: ${text.replace(/\r\n|\r|\n/g, '\ndata: ')}`;
}

/** Any bytes, under the names that entries of a fetch have. JSON holds no line end. */
function dataLine(payload: string | Uint8Array, tsMs: number, taskId: string): string {
  const of = taskId === '' ? {} : { task_id: taskId };
  return `data: ${JSON.stringify({ ...of, ts: tsMs, ...(typeof payload === 'string' ? { payload } : payloadToWire(payload)) })}`;
}

/** A line of output among those of all tasks. */
function logLine(payload: string | Uint8Array, tsMs: number, taskId: string): string {
  const line = typeof payload === 'string' ? payload : bufferOf(payload).toString();
  return `data: ${JSON.stringify({ task_id: taskId, ts: tsMs, line })}`;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';
import type { FeedReader, Feeds } from './feeds.js';

export interface EventStreamsOptions {
  readonly clock: Clock;
  readonly feeds: Feeds;
  /** Default LIMITS.sseListenersMax. */
  readonly listenersMax?: number;
}

export interface EventStreamRequest {
  /** Without the prefix: `m/event`, `m/data/<task>`, `m/log/<task>`. */
  readonly topic: string;
  /** The header `Last-Event-ID`; empty counts as none. */
  readonly lastEventId: string | undefined;
  /** A GET of HTTP/1.1. */
  readonly request: IncomingMessage;
  /** Nothing has been written to it. It is ours from here on. */
  readonly response: ServerResponse;
  /** What goes out beside the headers of the stream, such as those for CORS. */
  readonly headers?: OutgoingHttpHeaders;
}

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // nginx would gather what should go out at once.
  'x-accel-buffering': 'no',
  // The end of the connection is the end of the stream, so nothing needs to be put around a message.
  connection: 'close',
};
const HEARTBEAT = Buffer.from(':\n\n');

/** All that listen to server-sent events. One timer for all of them. */
export class EventStreams {
  readonly #clock: Clock;
  readonly #feeds: Feeds;
  readonly #listenersMax: number;
  readonly #streams = new Set<EventStream>();
  #cancelBeat: Cancel | undefined;
  #isStopped = false;

  constructor({ clock, feeds, listenersMax = LIMITS.sseListenersMax }: EventStreamsOptions) {
    this.#clock = clock;
    this.#feeds = feeds;
    this.#listenersMax = listenersMax;
  }

  get listeners(): number {
    return this.#streams.size;
  }

  /** Answers a request with a stream that ends when the client goes, or with `stop`.
   *  @throws SuperNodeError SN_ERR_LIMIT, SN_ERR_CLOSING, before anything is written */
  open({ topic, lastEventId, request, response, headers = {} }: EventStreamRequest): void {
    if (this.#isStopped) throw new SuperNodeError('SN_ERR_CLOSING', 'event stream: the node is shutting down');
    if (this.#streams.size >= this.#listenersMax) {
      const expected = `expected at most ${this.#listenersMax} listeners of the node`;
      throw new SuperNodeError('SN_ERR_LIMIT', `event stream: ${expected}, got one more`);
    }
    if (request.socket.destroyed) return;
    const stream = new EventStream(this.#clock, request, response);
    this.#streams.add(stream);
    this.#cancelBeat ??= this.#clock.every(LIMITS.sseHeartbeatMs, () => this.#beat());
    const reader = this.#feeds.listen(topic, lastEventId || undefined, stream.pump);
    stream.start(topic, reader, headers, () => this.#closed(stream));
  }

  /** Ends all streams, each after the messages it can still take. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    for (const stream of [...this.#streams]) {
      stream.finish();
      this.#closed(stream);
    }
  }

  #beat(): void {
    for (const stream of this.#streams) stream.beat();
  }

  #closed(stream: EventStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
  }
}

/** One listener. Writes while its peer takes; meanwhile what it has not taken stays in the ring of the feed. */
class EventStream {
  readonly #clock: Clock;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #reader: FeedReader | undefined;
  /** So much waits for its peer that nothing more is written. */
  #isFull = false;
  /** Bytes that waited at the last look, and since when its peer has taken none of them. */
  #waiting = 0;
  #sinceMs = 0;
  #cancelEnd: Cancel | undefined;

  constructor(clock: Clock, request: IncomingMessage, response: ServerResponse) {
    this.#clock = clock;
    this.#request = request;
    this.#response = response;
  }

  start(topic: string, reader: FeedReader, headers: OutgoingHttpHeaders, closed: () => void): void {
    const { socket } = this.#request;
    this.#reader = reader;
    // The socket's: a response that waits behind another one of its connection is not told.
    socket.once('close', () => {
      reader.end();
      this.#cancelEnd?.();
      closed();
    });
    socket.setTimeout(0);
    this.#response.on('error', () => socket.destroy());
    this.#response.on('drain', () => {
      this.#isFull = false;
      this.#sinceMs = this.#clock.now();
      this.pump();
    });
    for (const [name, value] of Object.entries({ ...headers, ...HEADERS })) {
      if (value !== undefined) this.#response.setHeader(name, value);
    }
    // Node would choose chunks otherwise, and write them apart from what is in them.
    this.#response.removeHeader('transfer-encoding');
    this.#response.writeHead(200);
    this.#write(Buffer.from(`retry: ${LIMITS.sseRetryMs}\n: ${topic}\n\n`));
    this.pump();
  }

  /** Writes what is new, as far as the peer takes it. */
  readonly pump = (): void => {
    while (!this.#isFull) {
      const bytes = this.#reader?.next();
      if (bytes === undefined) return;
      this.#write(bytes);
    }
  };

  /** Says that the stream is alive, and finds out whether its peer is. */
  beat(): void {
    const nowMs = this.#clock.now();
    const waiting = this.#response.writableLength;
    if (waiting === 0) this.#write(HEARTBEAT);
    if (waiting === 0 || waiting !== this.#waiting) this.#sinceMs = nowMs;
    else if (nowMs - this.#sinceMs >= LIMITS.sseStalledMs) this.#request.socket.destroy();
    this.#waiting = waiting;
  }

  /** A clean end, after what waits; soon after that any end. */
  finish(): void {
    this.pump();
    this.#reader?.end();
    this.#reader = undefined;
    this.#response.end();
    this.#cancelEnd = this.#clock.after(LIMITS.sseEndMs, () => this.#request.socket.destroy());
  }

  #write(bytes: Buffer): void {
    const isDrained = this.#response.write(bytes);
    // A burst within one turn has not been offered to the peer yet, so more may wait than the socket would like.
    if (!isDrained && this.#response.writableLength >= LIMITS.sseWaitingBytes) this.#isFull = true;
  }
}

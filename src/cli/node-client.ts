import type { Topics } from '../core/topics.js';
import type { Failure } from './failure.js';

/** Where the node is and who we are. */
export interface NodeAddress {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Of topics; a path over HTTP has none. */
  readonly prefix: string;
  readonly timeoutMs: number;
}

/** What the node answers (docs/protocol.md, replies). */
export interface Envelope {
  readonly status: 'ok' | 'error';
  readonly data?: unknown;
  readonly error?: string;
  readonly code?: string;
  readonly transaction?: unknown;
}

export interface RequestOptions {
  /** Longest wait for the reply, and for each further one. */
  readonly timeoutMs?: number;
  /** What it means when that is over. Default: exit code 3. */
  readonly late?: () => Failure;
  /** Runs before a reply that is no error is acknowledged: a fetch settles its entries only once they are written out. */
  readonly accept?: (envelope: Envelope) => Promise<void>;
  /** Whether a further reply follows this one. Nothing follows an error. */
  readonly continues?: (envelope: Envelope) => boolean;
}

/** Takes one message; the next one, or its acknowledgement, waits for the promise. */
export type Listener = (topic: string, payload: Buffer, retained: boolean) => Promise<void>;

/** Is told that messages were left out, and how many. */
export type Missed = (messages: number) => Promise<void>;

/** The command line's way to a node, whatever carries it. Not resumed: when it is lost, the command ends. */
export interface NodeClient {
  readonly topics: Topics;
  /** Rejects when the connection is lost or the user interrupts. */
  readonly ended: Promise<never>;
  /** Whether a message that comes before a reply was said before it. One connection keeps that order, two do not. */
  readonly keepsOrder: boolean;

  /** Sends a JSON request and gives the envelope of its answer; of several replies the last one.
   *  @throws Failure with exit code 3 for no answer in time, or none of a node */
  request(topic: string, body: object, options?: RequestOptions): Promise<Envelope>;

  /** Sends bytes as they are. */
  requestRaw(topic: string, payload: Buffer, options?: RequestOptions): Promise<Envelope>;

  /** Gives every message that matches to the listener, from when it resolves on. One per client.
   *  @throws Failure with exit code 1 when it may not be heard */
  listen(filter: string, listener: Listener, missed?: Missed): Promise<void>;

  /** Puts an entry and waits until it is taken, however long that is: a queue may have no room. What is put to a topic
   *  before another one is taken before it.
   *  @throws Failure with exit code 1 when the node refuses it, 2 when it is too large; others that are on their way to
   *  the same topic fail with it */
  put(topic: string, payload: Buffer): Promise<void>;

  /** Largest packet that the node takes, header included. Undefined: it is not told beforehand. */
  packetBytesMax(): Promise<number | undefined>;

  /** The same promise, but no longer than the connection lasts.
   *  @throws Failure as `ended` */
  within<T>(work: Promise<T>): Promise<T>;

  /** Says goodbye; idempotent. */
  close(): Promise<void>;
}

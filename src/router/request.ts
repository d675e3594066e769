import type { ErrorCode } from '../core/errors.js';
import type { TaskId } from '../core/topics.js';

/** Who asks. `admin` is code in our own process; `worker` is bound to its one task. */
export interface Caller {
  readonly id: string;
  readonly role: 'admin' | 'operator' | 'worker';
  readonly taskId?: TaskId;
}

export type RequestKind = 'cmd' | 'task-cmd' | 'fetch' | 'ack' | 'stat';

/** A request as any transport brings it. */
export interface Request {
  readonly kind: RequestKind;
  readonly taskId: TaskId | undefined;
  /** Its bytes: for a worker as they are, else a JSON object. */
  readonly payload: Uint8Array;
  /** That object, where the transport has it already. */
  readonly body?: Record<string, unknown> | undefined;
  readonly caller: Caller;
  /** Whether the caller would get a reply sent there. Undefined `replyTo`: the transport's default place.
   *  @throws SuperNodeError SN_ERR_REQUEST where no reply may go */
  hears(replyTo: string | undefined): boolean;
  /** Sends a reply that others follow. A promise: there is no room for the next before it is settled; it never
   *  rejects, also when the caller is gone. */
  more(reply: Reply): undefined | Promise<void>;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal | undefined;
}

export type Envelope =
  | { readonly status: 'ok'; readonly data: unknown; readonly transaction?: unknown }
  | { readonly status: 'error'; readonly error: string; readonly code: ErrorCode; readonly transaction?: unknown };

/** The answer to one request, or the next piece of it. */
export interface Reply {
  readonly envelope: Envelope;
  /** Of the error that it tells; undefined: it went well. */
  readonly code: ErrorCode | undefined;
  /** The envelope as JSON. Undefined for what nests so deeply that it could be read but not be written. */
  json(): string | undefined;
  readonly replyTo: string | undefined;
  /** What the transport tells when it knows: the caller has the reply, or is gone without it. */
  delivered(arrived: boolean): void;
}

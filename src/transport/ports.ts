import type { SuperNodeError } from '../core/errors.js';
import type { Seat, WorkerAnswer } from '../core/seat.js';
import type { TaskId, WorkerReport } from '../core/topics.js';
import type { WorkerKey } from '../core/worker-key.js';
import type { Reply, Request } from '../router/request.js';
import type { Channel, Identity } from './channel.js';
import type { Qos } from './packet-type.js';
import type { Subscription } from './subscribe-packet.js';

/** What the transport tells the supervisor about connections, and asks it. */
export interface Liveness {
  isProcess(taskId: TaskId): boolean;
  /** Whether commands and calls may go to the workers of a task: its record says so, and it is not stopped.
   *  @param worker One with a process, which must not be on its way out; undefined for a net client */
  takesCommands(taskId: TaskId, worker: Pick<WorkerKey, 'instance' | 'generation'> | undefined): boolean;
  /** Makes sure the task exists, creating a task of net clients where that is allowed.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_LIMIT */
  register(taskId: TaskId): void;
  /** Workers of the task, by its record. */
  instances(taskId: TaskId): number;
  /** @param worker Whose token the connection has; undefined for a net client */
  channelUp(taskId: TaskId, channelId: string, worker: Pick<WorkerKey, 'instance' | 'generation'> | undefined): void;
  channelDown(taskId: TaskId, channelId: string, how: 'closed' | 'disconnect' | 'silent'): void;
  report(taskId: TaskId, channelId: string, word: WorkerReport): void;
  /** Longest silence a worker of the task may keep, from its record. Milliseconds, 0: its keepalive decides. */
  heartbeatMs(taskId: TaskId): number;
}

/** A put that its queue has no room for yet: it waits for it, in line. */
export interface HeldPut {
  /** Settled when it is in the queue for good, or dropped by policy and counted. Never rejects. */
  readonly done: Promise<void>;
  /** Nobody waits for its acknowledgement any more: it leaves the line. False: it is in the queue by now. */
  giveUp(): boolean;
}

/** What became of a put. Undefined: it is in the queue, or dropped by the task's policy and counted; a promise: it will
 *  be, when its flush is done; held: it will be, when there is room. */
export type PutOutcome = undefined | Promise<void> | HeldPut;

export interface PutSink {
  /** Takes one entry; the bytes are valid only during the call. At QoS 0 it is never held: it is dropped and counted.
   *  Puts that one flush makes safe get the same promise.
   *  @param instance Which worker of the task puts it, where it has shown its token */
  put(payload: Uint8Array, qos: Qos, topic: string | undefined, instance?: number): PutOutcome;
}

export interface Intake {
  /** @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_LIMIT */
  sink(taskId: TaskId): PutSink;
}

/** Where entries come from for those who take them by subscription. */
export interface EntrySource {
  /** Gives entries as they come, until it is ended.
   *  @throws SuperNodeError SN_ERR_LIMIT: one group too many */
  consume(options: {
    taskId: TaskId | undefined;
    group: string;
    /** Most entries that are not done. */
    prefetch: number;
    /** `done` is to be called once: whether it arrived. */
    push(entry: { taskId: TaskId; payload: Uint8Array }, done: (arrived: boolean) => void): void;
    failed(error: unknown): void;
  }): Consumption;
}

/** Somebody who is given entries. What he has stays his, and counts, until it is done. */
export interface Consumption {
  /** He gets no more until `goOn`. */
  pause(): void;
  goOn(): void;
  /** He gets no more at all. */
  end(): void;
}

/** One connection of a worker, as `m/stat` shows it. */
export interface WorkerChannel {
  readonly clientId: string;
  readonly identity: Identity | undefined;
  readonly remoteAddress: string | undefined;
  /** Seconds, 0: none. */
  readonly keepaliveS: number;
  /** Clock time of the last byte from the peer. */
  readonly lastSeenMs: number;
}

/** The connections of workers. */
export interface WorkerChannels {
  channelsOf(taskId: TaskId): readonly WorkerChannel[];
  /** Bytes to all of a task that take commands; how many those are. */
  send(taskId: TaskId, payload: Uint8Array): number;
  /** Those of a task that take calls now. */
  seats(taskId: TaskId): readonly Seat[];
  /** Closes what this start of a worker, or an older one, has open. Nobody's failure. */
  closeChannels(worker: WorkerKey): void;
  /** The task is gone. */
  forget(taskId: TaskId): void;
}

/** Where the answers of workers go. */
export interface Answers {
  /** The bytes are valid only during the call. A promise: the worker is to wait; it never rejects. */
  answer(seatId: string, answer: WorkerAnswer): undefined | Promise<void>;
  /** A connection that may have been a seat is over.
   *  @param end.processBehind The cause may be the end of a process, which somebody else tells
   *  @param end.why For people */
  seatGone(seatId: string, end: { readonly processBehind: boolean; readonly why: string }): void;
}

export interface RequestHandler {
  handle(request: Request): Promise<Reply | undefined>;
  /** The reply that says no, without doing anything. */
  refuse(request: Request, error: SuperNodeError): Reply;
}

/** The broker, as far as the transport needs it. */
export interface BrokerAccess {
  /** Asks the host's own rules whether the client may hold a filter. */
  authorizeSubscribe(channel: Channel, subscription: Subscription): boolean | Promise<boolean>;
  pinged(channel: Channel): void;
  /** A client with a stored session takes by other filters than before. */
  takesChanged(channel: Channel): void;
}

export interface TransportReport {
  /** False: told to nobody, only counted, because too many of its kind came in this second. */
  event(type: string, data: Record<string, unknown>, taskId?: TaskId): boolean;
}

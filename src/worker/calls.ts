import { describe } from '../core/errors.js';
import type { AnswerKind, Topics } from '../core/topics.js';
import { bytesOf, type Payload } from './payload.js';
import { RunningCall } from './running-call.js';

/** What a handler knows of the call it answers. */
export interface Call {
  /** Opaque; unique while the connection lasts. */
  readonly id: string;
  /** Aborted when nobody waits for the answer any more, when the connection is lost, and at `close`. */
  readonly signal: AbortSignal;
}

/** Nothing is an empty answer, `null` is the JSON word. What can be iterated asynchronously, and a generator, is a
 *  stream of parts; an array is one answer. */
export type CallAnswer = Payload | undefined | AsyncIterable<Payload> | IterableIterator<Payload>;

/** Answers one call, whose payload came as bytes. The message of what it throws goes to the caller, its stack to
 *  stderr. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement answers as well
export type OnCall = (payload: Buffer, call: Call) => CallAnswer | void | Promise<CallAnswer | void>;

/** Publishes at QoS 1 on the connection that is up. `acknowledged` is called at the PUBACK, never at once; the returned
 *  function forgets the message, so that it is not sent again on another connection. */
type SendAnswer = (topic: string, payload: Buffer, acknowledged: () => void) => () => void;

interface CallsOptions {
  readonly topics: Topics;
  readonly taskId: string;
  readonly send: SendAnswer;
  /** Says something to people, on stderr. */
  readonly tell: (text: string) => void;
  /** Undefined: every call is answered with an error, so that its caller need not wait for the deadline. */
  readonly onCall: OnCall | undefined;
}

/** Calls at work at once; one more is answered with an error. */
export const CALLS_MAX = 256;
/** Parts of one answer, and their bytes, without acknowledgement; then the stream waits. The node acknowledges at the
 *  pace of the caller. */
export const WINDOW_PARTS = 8;
const WINDOW_BYTES = 1_048_576;
/** Ids of calls that are remembered, so that one delivered twice runs once; the oldest is forgotten. */
const SEEN_MAX = 1_024;
const ERROR_CHARS_MAX = 1_000;

type Parts = Iterator<Payload> | AsyncIterator<Payload>;

/** The calls of one worker.
 *
 *  call → onCall → end
 *               └→ part … part → end        a throw: error; an abort: nothing further
 *
 *  An answer belongs to the connection that brought the call: when that goes, its calls are aborted and what is not
 *  acknowledged is forgotten. An aborted call counts as running until its handler has ended. */
export class Calls {
  readonly #options: CallsOptions;
  readonly #running = new Map<RunningCall, Promise<void>>();
  /** Those of this connection that may be cancelled. */
  readonly #live = new Map<string, RunningCall>();
  readonly #seen = new Set<string>();
  readonly #unacknowledged = new Set<() => void>();
  #closed = false;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Takes what came below the worker's command topic: a call or a cancel. What is neither is for later versions. */
  receive(topic: string, payload: Buffer): void {
    const { topics, taskId } = this.#options;
    const [callId = ''] = topic.slice(topics.workerCall(taskId, '').length).split('/', 1);
    if (callId === '') return;
    if (topic === topics.workerCall(taskId, callId)) this.#begin(callId, payload);
    else if (topic === topics.workerCancel(taskId, callId)) {
      this.#abort(this.#live.get(callId), 'nobody waits for the answer any more');
    }
  }

  /** The connection is gone. Another one may use the same ids again. */
  lost(): void {
    this.#abortAll('the connection is lost');
    this.#seen.clear();
    for (const forget of this.#unacknowledged) forget();
    this.#unacknowledged.clear();
  }

  /** Aborts what runs and takes nothing more. Resolves when all handlers have ended. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#abortAll('the worker closes');
    await Promise.all(this.#running.values());
  }

  #begin(callId: string, payload: Buffer): void {
    // While closing the node learns it from the DISCONNECT, and may ask another worker.
    if (this.#closed || this.#seen.has(callId)) return;
    this.#remember(callId);
    const { onCall, taskId } = this.#options;
    const call = new RunningCall(callId);
    if (onCall === undefined) {
      this.#fail(call, `${taskId}: expected a worker that answers calls, got one that only takes commands`);
    } else if (this.#running.size >= CALLS_MAX) {
      this.#fail(call, `${taskId}: expected at most ${CALLS_MAX} calls at once, got one more`);
    } else {
      this.#live.set(callId, call);
      this.#running.set(call, this.#run(onCall, call, payload));
    }
  }

  #remember(callId: string): void {
    this.#seen.add(callId);
    if (this.#seen.size <= SEEN_MAX) return;
    for (const oldest of this.#seen) {
      this.#seen.delete(oldest);
      break;
    }
  }

  #abortAll(why: string): void {
    for (const call of this.#live.values()) this.#abort(call, why);
  }

  #abort(call: RunningCall | undefined, why: string): void {
    if (call === undefined) return;
    this.#live.delete(call.id);
    call.abort(why);
  }

  /** Never rejects. */
  async #run(onCall: OnCall, call: RunningCall, payload: Buffer): Promise<void> {
    try {
      const answer = await onCall(payload, { id: call.id, signal: call.signal });
      const parts = partsOf(answer);
      if (parts !== undefined) await this.#stream(call, parts);
      const last = parts === undefined && answer !== undefined ? bytesOf('answer', answer) : Buffer.alloc(0);
      this.#publish(call, 'end', last);
    } catch (thrown) {
      this.#told(call, thrown);
      this.#fail(call, thrown instanceof Error ? thrown.message || thrown.name : describe(thrown));
    }
    // A call counts until all of its answer is acknowledged: that bounds what is under way.
    await call.room(1, WINDOW_BYTES);
    if (this.#live.get(call.id) === call) this.#live.delete(call.id);
    this.#running.delete(call);
  }

  async #stream(call: RunningCall, parts: Parts): Promise<void> {
    let finishing: Promise<void> | undefined;
    const finish = () => {
      finishing ??= this.#finish(call, parts);
      return finishing;
    };
    call.signal.addEventListener('abort', finish);
    try {
      while (!call.signal.aborted) {
        const { done, value } = await parts.next();
        if (done) return;
        this.#publish(call, 'part', bytesOf('answer', value));
        await call.room(WINDOW_PARTS, WINDOW_BYTES);
      }
    } finally {
      call.signal.removeEventListener('abort', finish);
      await finish();
    }
  }

  /** Runs the `finally` of a generator, and ends other streams. Changes nothing on one that has ended. */
  async #finish(call: RunningCall, parts: Parts): Promise<void> {
    try {
      await parts.return?.();
    } catch (thrown) {
      this.#told(call, thrown);
    }
  }

  #publish(call: RunningCall, kind: AnswerKind, payload: Buffer): void {
    if (call.signal.aborted) return;
    const { topics, taskId, send } = this.#options;
    call.sent(payload.length);
    const forget = send(topics.workerAnswer(taskId, call.id, kind), payload, () => {
      this.#unacknowledged.delete(forget);
      call.acknowledged(payload.length);
    });
    this.#unacknowledged.add(forget);
  }

  #fail(call: RunningCall, message: string): void {
    this.#publish(call, 'error', Buffer.from(message.slice(0, ERROR_CHARS_MAX)));
  }

  #told(call: RunningCall, thrown: unknown): void {
    const asked = call.signal.aborted && thrown instanceof Error && thrown.name === 'AbortError';
    if (asked) return;
    const text = thrown instanceof Error ? thrown.stack : describe(thrown);
    this.#options.tell(`onCall failed: ${text}`);
  }
}

/** The parts of an answer that is a stream. Undefined: it is one piece. */
function partsOf(answer: unknown): Parts | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  if (isStream(answer)) return answer[Symbol.asyncIterator]();
  return isGenerator(answer) ? answer : undefined;
}

function isStream(answer: object): answer is AsyncIterable<Payload> {
  return Symbol.asyncIterator in answer;
}

function isGenerator(answer: object): answer is IterableIterator<Payload> {
  return Symbol.iterator in answer && 'next' in answer;
}

import { asSuperNodeError, mismatch, SuperNodeError } from '../core/errors.js';
import { jsonText } from '../core/json-text.js';
import { LIMITS } from '../core/limits.js';
import type { Logger } from '../core/ports.js';
import { AckSchema, FetchSchema, type FetchWire, StatSchema } from '../core/request-schema.js';
import { DEFAULT_GROUP } from '../core/topics.js';
import { validate } from '../core/validate.js';
import { parseBody } from './body.js';
import { known, runCommand, sendToWorkers } from './commands.js';
import { entryToWire } from './entry-wire.js';
import { FetchReply } from './fetch-reply.js';
import type { CallPart, RouterPorts } from './ports.js';
import type { Caller, Envelope, Reply, Request } from './request.js';

/** What a command of our own process may bring. */
export interface InProcessOptions {
  /** Takes back what it can: a call. */
  readonly signal?: AbortSignal | undefined;
  /** Takes the data of replies that others follow: the parts of a call. A promise: the next comes when it is settled. */
  readonly more?: (data: Record<string, unknown>) => undefined | Promise<void>;
}

export interface CallOptions {
  /** Longest wait for the whole answer. 1–3_600_000, default 30_000. */
  readonly timeoutMs?: number | undefined;
  /** Takes the call back; its worker is told. */
  readonly signal?: AbortSignal | undefined;
  /** Gets each part but the last. A promise: the next comes when it is settled. */
  readonly onPart?: ((part: CallPart) => undefined | Promise<void>) | undefined;
}

/** Request → handler → reply. Knows no transport: whatever carries the request gives it a caller, a way to know
 *  whether a reply will be heard, and takes one reply, or several of which this is the last. */
export class Router {
  readonly #ports: RouterPorts;
  readonly #log: Logger;

  constructor(ports: RouterPorts, log: Logger) {
    this.#ports = ports;
    this.#log = log;
  }

  /** Answers every request exactly once, after what `request.more` got, and never rejects. Undefined: there is nobody
   *  to answer. */
  async handle(request: Request): Promise<Reply | undefined> {
    const place: ReplyPlace = { transaction: undefined, replyTo: undefined };
    try {
      refuseForeign(request);
      const { body, heard } = readBody(request, place);
      return await this.#run(request, body, place, heard);
    } catch (thrown) {
      const error = this.#explain(thrown);
      return reply(place, { status: 'error', error: error.message, code: error.code });
    }
  }

  /** The reply that says no, without doing anything but reading where it goes. */
  refuse(request: Request, error: SuperNodeError): Reply {
    const place: ReplyPlace = { transaction: undefined, replyTo: undefined };
    try {
      if (!readBody(request, place).heard) place.replyTo = undefined;
    } catch (thrown) {
      this.#log.debug({ err: thrown }, 'a refused request could not be read either');
    }
    return reply(place, { status: 'error', error: error.message, code: error.code });
  }

  /** A command from code in our own process: no bytes, no reply topic.
   *  @throws SuperNodeError */
  command(command: Record<string, unknown>, caller: Caller, options: InProcessOptions = {}): Promise<unknown> {
    const { signal, more = () => undefined } = options;
    return runCommand(command, { caller, ports: this.#ports, signal, more });
  }

  /** A call from code in our own process, with bytes as they are. Resolves with the last part of the answer.
   *  @throws SuperNodeError SN_ERR_REQUEST for a `timeoutMs` out of range, SN_ERR_TASK_UNKNOWN, SN_ERR_NO_CHANNEL,
   *  SN_ERR_CALL_FAILED, SN_ERR_CALL_TIMEOUT, SN_ERR_WORKER_GONE, SN_ERR_LIMIT, SN_ERR_CLOSING */
  async call(taskId: string, payload: Uint8Array, options: CallOptions = {}): Promise<CallPart> {
    const { timeoutMs = LIMITS.callTimeoutMs, signal, onPart = () => undefined } = options;
    if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > LIMITS.callTimeoutMsMax) {
      throw mismatch('SN_ERR_REQUEST', 'timeoutMs', `integer 1–${LIMITS.callTimeoutMsMax}`, timeoutMs);
    }
    const { calls, tasks } = this.#ports;
    return calls.call({ taskId: known(taskId, tasks), payload, timeoutMs, signal, part: onPart });
  }

  async #run(
    request: Request,
    body: Record<string, unknown>,
    place: ReplyPlace,
    heard: boolean,
  ): Promise<Reply | undefined> {
    switch (request.kind) {
      case 'cmd':
        return reply(place, { status: 'ok', data: await this.#command(request, body, place) });
      case 'task-cmd': {
        const data = request.taskId && sendToWorkers(request.taskId, request.payload, this.#ports);
        return reply(place, { status: 'ok', data });
      }
      case 'stat':
        return reply(place, { status: 'ok', data: this.#stat(request, body) });
      case 'fetch':
        return this.#fetch(request, body, place, heard);
      case 'ack':
        return reply(place, { status: 'ok', data: await this.#acknowledge(body) });
    }
  }

  #command(request: Request, body: Record<string, unknown>, place: ReplyPlace): Promise<unknown> {
    const { caller, signal } = request;
    const more = (data: unknown) => request.more(reply(place, { status: 'ok', data }));
    return runCommand(body, { caller, ports: this.#ports, signal, more });
  }

  #stat(request: Request, body: Record<string, unknown>): unknown {
    validate(StatSchema, body, 'SN_ERR_REQUEST', 'stat');
    const { board, tasks } = this.#ports;
    return request.taskId === undefined ? board.node() : board.task(known(request.taskId, tasks));
  }

  async #fetch(
    request: Request,
    body: Record<string, unknown>,
    place: ReplyPlace,
    heard: boolean,
  ): Promise<Reply | undefined> {
    const asked = validate(FetchSchema, body, 'SN_ERR_REQUEST', 'fetch');
    if (asked.from !== undefined) {
      return reply(place, { status: 'ok', data: await this.#read(request, asked, asked.from) });
    }
    // Taken entries whose reply nobody hears would be lost to everybody until the connection ends.
    if (!heard) {
      this.#ports.unheard(request.caller.id, request.taskId);
      return undefined;
    }
    const lease = await this.#ports.queues.fetch({
      taskId: request.taskId === undefined ? undefined : known(request.taskId, this.#ports.tasks),
      group: asked.group ?? DEFAULT_GROUP,
      ...roomOf(asked),
      waitMs: asked.wait_ms ?? 0,
      leaseMs: asked.lease_ms,
      // Who does not wait needs none, and some transports make it only then.
      signal: asked.wait_ms === undefined ? undefined : request.signal,
    });
    return new FetchReply({ lease, base64: isBase64(asked), ...place });
  }

  /** Looks at entries without taking them.
   *  @throws SuperNodeError SN_ERR_REQUEST, SN_ERR_TASK_UNKNOWN */
  async #read({ taskId, signal }: Request, asked: FetchWire, from: NonNullable<FetchWire['from']>): Promise<unknown> {
    const { max, maxBytes } = roomOf(asked);
    const taking = (['lease_ms', 'group', 'wait_ms'] as const).find((name) => asked[name] !== undefined);
    if (taking !== undefined) {
      throw mismatch('SN_ERR_REQUEST', taking, 'none with from, which takes nothing', asked[taking]);
    }
    if (taskId === undefined) throw mismatch('SN_ERR_REQUEST', 'from', 'a task: m/fetch/<task>', 'm/fetch');
    const { seq, ts } = from;
    if ((seq === undefined) === (ts === undefined)) {
      throw mismatch('SN_ERR_REQUEST', 'from', '{"seq": …} or {"ts": …}', from);
    }
    const place = seq === undefined ? { tsMs: ts ?? 0 } : { seq };
    const bytesMax = Math.min(maxBytes, LIMITS.fetchBytes);
    const entries = await this.#ports.queues.read(known(taskId, this.#ports.tasks), place, max, bytesMax, signal);
    return { entries: entries.map((entry) => entryToWire(entry, isBase64(asked))) };
  }

  /** @throws SuperNodeError SN_ERR_REQUEST, SN_ERR_LEASE_UNKNOWN */
  async #acknowledge(body: Record<string, unknown>): Promise<unknown> {
    const { lease, ok, seqs, lease_ms: leaseMs } = validate(AckSchema, body, 'SN_ERR_REQUEST', 'ack');
    const { queues } = this.#ports;
    if ((ok === undefined) === (leaseMs === undefined)) {
      throw mismatch('SN_ERR_REQUEST', 'ack', 'one of ok and lease_ms', ok === undefined ? undefined : 'both');
    }
    if (leaseMs !== undefined) {
      if (seqs !== undefined) throw mismatch('SN_ERR_REQUEST', 'seqs', 'none with lease_ms', seqs);
      return { lease, extended: await queues.acknowledge(lease, { leaseMs }), lease_ms: leaseMs };
    }
    const count = await queues.acknowledge(lease, { ok: ok === true, seqs });
    return ok === true ? { lease, settled: count } : { lease, returned: count };
  }

  #explain(thrown: unknown): SuperNodeError {
    const error = asSuperNodeError(thrown);
    if (error.code !== 'SN_ERR_INTERNAL') return error;
    this.#log.error({ err: thrown }, 'a request met a fault of ours');
    return new SuperNodeError('SN_ERR_INTERNAL', 'the node met a fault; its log has the details');
  }
}

/** Where an answer goes and what it carries back; filled in as far as the request could be read. */
interface ReplyPlace {
  transaction: unknown;
  replyTo: string | undefined;
}

/** Reads what the request says and where its answer goes; on a throw `place` holds what could be read until then.
 *  @throws SuperNodeError SN_ERR_JSON, SN_ERR_REQUEST */
function readBody(request: Request, place: ReplyPlace): { body: Record<string, unknown>; heard: boolean } {
  // Raw bytes for a worker are not ours to read; everything else is a JSON object.
  const body = request.kind === 'task-cmd' ? {} : (request.body ?? parseBody(request.payload));
  place.transaction = body.transaction;
  const replyTo = typeof body.reply_to === 'string' ? body.reply_to : undefined;
  const heard = request.hears(replyTo);
  place.replyTo = replyTo;
  return { body, heard };
}

function reply({ transaction, replyTo }: ReplyPlace, envelope: Envelope): Reply {
  const whole = transaction === undefined ? envelope : { ...envelope, transaction };
  const code = envelope.status === 'error' ? envelope.code : undefined;
  return { envelope: whole, code, json: () => jsonText(whole), replyTo, delivered: ignore };
}

/** A worker's connection speaks for its one task and commands nothing. */
function refuseForeign({ caller, kind }: Request): void {
  if (caller.role !== 'worker') return;
  throw new SuperNodeError(
    'SN_ERR_FORBIDDEN',
    `m/${kind === 'task-cmd' ? 'cmd/<task>' : kind}: expected an app or operator, got the worker of ${caller.taskId}`,
  );
}

/** How much a reply may hold. */
function roomOf({ max = 1, max_bytes: maxBytes = LIMITS.fetchBytes }: FetchWire) {
  return { max, maxBytes };
}

function isBase64({ encoding }: FetchWire): boolean {
  return encoding === 'base64';
}

function ignore(): void {
  // A reply that settles nothing does not care whether it arrived.
}

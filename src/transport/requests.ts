import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { TaskId, Topics } from '../core/topics.js';
import { isWellFormed } from '../core/well-formed.js';
import type { Caller, Reply, Request } from '../router/request.js';
import type { Channel } from './channel.js';
import type { RequestHandler } from './ports.js';

/** Requests that come as publishes, and their replies to the asking connection alone. */
export class Requests {
  readonly #topics: Topics;
  readonly #handler: RequestHandler;
  readonly #pending = new WeakMap<Channel, number>();

  constructor(topics: Topics, handler: RequestHandler) {
    this.#topics = topics;
    this.#handler = handler;
  }

  /** Runs a request and writes its reply, if it gets one and somebody listens. */
  run(channel: Channel, kind: Request['kind'], taskId: TaskId | undefined, payload: Buffer): void {
    const request: Request = {
      kind,
      taskId,
      // A copy: the piece would keep the whole chunk of the socket alive while the request waits.
      payload: Buffer.from(payload),
      caller: callerOf(channel),
      hears: (replyTo) => this.#hears(channel, replyTo),
      more: (reply) => this.#writeMore(channel, reply),
      signal: channel.signal,
    };
    const pending = this.#pending.get(channel) ?? 0;
    if (pending >= LIMITS.requestsPerClientMax) {
      const message = `requests: expected at most ${LIMITS.requestsPerClientMax} unanswered ones of a client, got one more`;
      this.#write(channel, this.#handler.refuse(request, new SuperNodeError('SN_ERR_LIMIT', message)));
      return;
    }
    this.#pending.set(channel, pending + 1);
    this.#handler.handle(request).then(
      (reply) => {
        // One whose answer waits for room still counts: answers can be a thousand times as large as what asks for them.
        const done = () => {
          this.#pending.set(channel, (this.#pending.get(channel) ?? 1) - 1);
          if (reply) this.#writeOrClose(channel, reply);
        };
        if (reply) whenRoom(channel, done);
        else done();
      },
      (error: Error) => channel.destroy(error),
    );
  }

  /** A client that let others wait for too long is not waited for any more; with too much before it, it is closed. */
  #writeOrClose(channel: Channel, reply: Reply): void {
    const { outbound } = channel;
    if (!outbound.isSlow || !outbound.isOverfull) {
      this.#writeNow(channel, reply);
      return;
    }
    reply.delivered(false);
    channel.destroy(new Error('the client does not read the answers to its requests'));
  }

  /** Tells a client why a publish of it was not taken. */
  complain(channel: Channel, error: SuperNodeError): void {
    const envelope = { status: 'error', error: error.message, code: error.code } as const;
    const json = () => JSON.stringify(envelope);
    this.#write(channel, { envelope, code: error.code, json, replyTo: undefined, delivered: () => undefined });
  }

  /** Waits for a client that reads slowly: a reply can be large, and it asked for it. */
  #write(channel: Channel, reply: Reply): void {
    whenRoom(channel, () => this.#writeNow(channel, reply));
  }

  /** One of several replies. Each waits for room, in order; a client that kept others waiting for too long is not
   *  waited for any more, and is closed once too much waits for it. */
  #writeMore(channel: Channel, reply: Reply): undefined | Promise<void> {
    const { outbound } = channel;
    if (!outbound.isFull) {
      this.#writeNow(channel, reply);
      if (!outbound.isFull) return undefined;
      return new Promise((resolve) => whenRoom(channel, resolve));
    }
    if (outbound.isSlow && outbound.isOverfull) {
      channel.destroy(new Error('the client does not read the answers to its calls'));
      return undefined;
    }
    return new Promise((resolve) => {
      whenRoom(channel, () => {
        this.#writeNow(channel, reply);
        whenRoom(channel, resolve);
      });
    });
  }

  #writeNow(channel: Channel, reply: Reply): void {
    const { replyTo, delivered } = reply;
    const topic = replyTo ?? this.#topics.reply;
    const qos = channel.subscriptions.maxQos(topic);
    const bytes = qos < 0 ? undefined : bytesOf(reply);
    if (bytes !== undefined) {
      channel.publish(topic, bytes, qos === 0 ? 0 : 1, delivered);
      return;
    }
    delivered(false);
    if (qos < 0) return;
    const expected = 'reply: expected one that MQTT can carry, got too many bytes or too much depth';
    this.complain(channel, new SuperNodeError('SN_ERR_REQUEST', expected));
  }

  #hears(channel: Channel, replyTo: string | undefined): boolean {
    if (replyTo === undefined) return channel.subscriptions.maxQos(this.#topics.reply) >= 0;
    if (!this.#topics.isReply(replyTo) || replyTo.length > LIMITS.replyToChars || !isTopicName(replyTo)) {
      throw mismatch('SN_ERR_REQUEST', 'reply_to', `${this.#topics.reply} or a topic below it`, replyTo);
    }
    return channel.subscriptions.maxQos(replyTo) >= 0;
  }
}

/** As `Outbound.whenRoom`, but also for a connection that is over, where nothing would call back any more. */
function whenRoom({ destroyed, outbound }: Channel, ready: () => void): void {
  if (destroyed) ready();
  else outbound.whenRoom(ready);
}

/** Undefined for what nests so deeply that it could be read but not be written, and for what no packet holds. */
function bytesOf(reply: Reply): Buffer | undefined {
  const text = reply.json();
  const bytes = text === undefined ? undefined : Buffer.from(text);
  return bytes !== undefined && bytes.length <= LIMITS.replyBytesMax ? bytes : undefined;
}

/** No wildcard, and no control character [MQTT-3.3.2-2] [MQTT-1.5.3-2]. */
function isTopicName(text: string): boolean {
  return isWellFormed(text) && !/[#+\p{Cc}]/u.test(text);
}

function callerOf(channel: Channel): Caller {
  const { identity, clientId } = channel;
  return identity.role === 'worker'
    ? { id: clientId, role: 'worker', taskId: identity.taskId }
    : { id: clientId, role: 'operator' };
}

import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { TaskId, Topics } from '../core/topics.js';
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
      // The handler may read it after this turn, when the socket's buffer holds other bytes.
      payload: Buffer.from(payload),
      caller: callerOf(channel),
      hears: (replyTo) => this.#hears(channel, replyTo),
      signal: channel.signal,
    };
    const pending = this.#pending.get(channel) ?? 0;
    if (pending >= LIMITS.requestsPerClientMax) {
      const message = `requests: expected at most ${LIMITS.requestsPerClientMax} unanswered ones of a client, got one more`;
      this.#write(channel, this.#handler.refuse(request, new SuperNodeError('SN_ERR_LIMIT', message)));
      return;
    }
    this.#pending.set(channel, pending + 1);
    this.#handler.handle(request).then((reply) => {
      this.#pending.set(channel, (this.#pending.get(channel) ?? 1) - 1);
      if (reply) this.#write(channel, reply);
    });
  }

  /** Tells a client why a publish of it was not taken. */
  complain(channel: Channel, error: SuperNodeError): void {
    const envelope = { status: 'error', error: error.message, code: error.code } as const;
    this.#write(channel, { envelope, replyTo: undefined, delivered: () => undefined });
  }

  #write(channel: Channel, { envelope, replyTo, delivered }: Reply): void {
    const topic = replyTo ?? this.#topics.reply;
    const qos = channel.subscriptions.maxQos(topic);
    if (qos < 0) {
      delivered(false);
      return;
    }
    channel.publish(topic, Buffer.from(JSON.stringify(envelope)), qos === 0 ? 0 : 1, delivered);
  }

  #hears(channel: Channel, replyTo: string | undefined): boolean {
    if (replyTo !== undefined && !this.#topics.isReply(replyTo)) {
      throw new SuperNodeError(
        'SN_ERR_REQUEST',
        `reply_to: expected ${this.#topics.reply} or a topic below it, got ${JSON.stringify(replyTo)}`,
      );
    }
    return channel.subscriptions.maxQos(replyTo ?? this.#topics.reply) >= 0;
  }
}

function callerOf(channel: Channel): Caller {
  const { identity, clientId } = channel;
  return identity.role === 'worker'
    ? { id: clientId, role: 'worker', taskId: identity.taskId }
    : { id: clientId, role: 'operator' };
}

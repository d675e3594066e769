import type { Cancel, Clock, Logger } from '../core/ports.js';
import type { Taking, Topics } from '../core/topics.js';
import type { Channel } from './channel.js';
import type { Consumption, EntrySource } from './ports.js';
import type { Session } from './session.js';
import type { Subscription } from './subscribe-packet.js';

export interface TakesPorts {
  readonly clock: Clock;
  readonly topics: Topics;
  readonly source: EntrySource;
  readonly log: Logger;
  /** Entries that one filter of a client may have unsettled. */
  readonly prefetch: number;
  /** How long a stored session without a connection keeps them. Milliseconds, 0: not at all. */
  readonly resumeMs: number;
  /** Whether a connection to come will find the session. */
  isStored(clientId: string, session: Session): boolean;
}

/** One take. The QoS may change while it goes on: a filter that the client has already is the same take. */
interface Take {
  qos: 0 | 1;
  readonly consumption: Consumption;
}

/** Whose session takes. Without a channel it is away, and keeps what it had until `cancelReturn`'s time comes. */
interface Taker {
  channel: Channel | undefined;
  readonly takes: Map<string, Take>;
  cancelReturn: Cancel | undefined;
}

/** Who takes entries by subscription. A taken entry goes to one client, as a raw payload; its PUBACK settles it, at QoS 0
 *  the write does. When the connection goes, what it had is given back; a stored session first keeps it for a while, and
 *  gets it again when it comes back in that time. In any case it goes on taking then. */
export class Takes {
  readonly #ports: TakesPorts;
  readonly #takers = new Map<Session, Taker>();

  constructor(ports: TakesPorts) {
    this.#ports = ports;
  }

  /** What a filter of this client would take. Undefined: nothing, it is refused. */
  of(channel: Channel, filter: string): Taking | undefined {
    return channel.identity.role === 'worker' ? undefined : this.#ports.topics.takeIn(filter);
  }

  begin(channel: Channel, subscription: Subscription): void {
    const { filter } = subscription;
    const taking = this.of(channel, filter);
    if (taking === undefined || channel.destroyed) return;
    const { session } = channel;
    session.takes.set(filter, subscription);
    // What it had before comes first: `arrived` begins them all.
    if (channel.phase !== 'ready') return;
    const taker = this.#takers.get(session) ?? { channel, takes: new Map(), cancelReturn: undefined };
    this.#takers.set(session, taker);
    const qos = subscription.qos === 0 ? 0 : 1;
    const known = taker.takes.get(filter);
    if (known) known.qos = qos;
    else this.#consume(taker, filter, taking, qos);
  }

  /** The client is there, perhaps with a session that it had before: what that kept has been written again. */
  arrived(channel: Channel): void {
    const { session } = channel;
    const taker = this.#takers.get(session);
    if (taker) {
      taker.channel = channel;
      taker.cancelReturn?.();
      taker.cancelReturn = undefined;
      for (const { consumption } of taker.takes.values()) consumption.goOn();
    }
    for (const subscription of [...session.takes.values()]) this.begin(channel, subscription);
  }

  /** What the client has by now is settled by its PUBACK. */
  end({ session }: Channel, filter: string): void {
    session.takes.delete(filter);
    const taker = this.#takers.get(session);
    taker?.takes.get(filter)?.consumption.end();
    taker?.takes.delete(filter);
  }

  /** The connection is over. */
  ended(channel: Channel): void {
    const { clientId, session } = channel;
    const { clock, resumeMs, isStored } = this.#ports;
    const taker = this.#takers.get(session);
    if (taker?.channel !== channel) return;
    taker.channel = undefined;
    const isKept = resumeMs > 0 && isStored(clientId, session);
    if (!isKept || session.ids.kept().next().done) {
      this.forget(session);
      return;
    }
    for (const { consumption } of taker.takes.values()) consumption.pause();
    taker.cancelReturn = clock.after(resumeMs, () => this.forget(session));
  }

  /** The session will not come back, or not in time. While its connection is there it goes on. */
  forget(session: Session): void {
    const taker = this.#takers.get(session);
    if (taker === undefined || taker.channel !== undefined) return;
    this.#takers.delete(session);
    taker.cancelReturn?.();
    for (const { consumption } of taker.takes.values()) consumption.end();
    session.ids.giveBack();
  }

  /** Once all connections are closed: nobody comes back. */
  stop(): void {
    for (const session of [...this.#takers.keys()]) this.forget(session);
  }

  #consume(taker: Taker, filter: string, { taskId, group }: Taking, qos: 0 | 1): void {
    const { topics, source, log, prefetch } = this.#ports;
    const failed = (error: unknown) => {
      taker.takes.delete(filter);
      log.warn({ client_id: taker.channel?.clientId, err: error }, 'a client cannot take entries any more');
      taker.channel?.close('ours', 'it cannot take entries any more');
    };
    try {
      const consumption = source.consume({
        taskId,
        group,
        prefetch,
        push: ({ taskId: task, payload }, done) => {
          const granted = taker.takes.get(filter)?.qos ?? qos;
          if (taker.channel) taker.channel.hand(topics.take(task, group), payload, granted, done);
          else done(false);
        },
        failed,
      });
      taker.takes.set(filter, { qos, consumption });
    } catch (error) {
      // The client was told that it has the filter: without an end it would wait for ever.
      failed(error);
    }
  }
}

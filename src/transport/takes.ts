import { LIMITS } from '../core/limits.js';
import type { Cancel, Logger } from '../core/ports.js';
import type { Taking, Topics } from '../core/topics.js';
import type { Channel } from './channel.js';
import type { EntrySource } from './ports.js';
import type { Subscription } from './subscribe-packet.js';

export interface TakesPorts {
  readonly topics: Topics;
  readonly source: EntrySource;
  readonly log: Logger;
}

/** Who takes entries by subscription. A taken entry goes to one client, as a raw payload; its PUBACK settles it, at QoS 0
 *  the write does. When the connection goes, what it had is given back; a stored session goes on taking when it comes back. */
export class Takes {
  readonly #ports: TakesPorts;
  readonly #byChannel = new Map<Channel, Map<string, Cancel>>();

  constructor(ports: TakesPorts) {
    this.#ports = ports;
  }

  /** What a filter of this client would take. Undefined: nothing, it is refused. */
  of(channel: Channel, filter: string): Taking | undefined {
    return channel.identity.role === 'worker' ? undefined : this.#ports.topics.takeIn(filter);
  }

  /** A filter that the client has already is the same take with another QoS. */
  begin(channel: Channel, subscription: Subscription): void {
    const { filter, qos } = subscription;
    const taking = this.of(channel, filter);
    if (taking === undefined || channel.destroyed) return;
    this.#cancel(channel, filter);
    channel.session.takes.set(filter, subscription);
    const running = this.#byChannel.get(channel) ?? new Map<string, Cancel>();
    this.#byChannel.set(channel, running.set(filter, this.#consume(channel, taking, qos === 0 ? 0 : 1)));
  }

  /** The client is there, perhaps with a session that it had before. */
  arrived(channel: Channel): void {
    for (const subscription of [...channel.session.takes.values()]) this.begin(channel, subscription);
  }

  end(channel: Channel, filter: string): void {
    channel.session.takes.delete(filter);
    this.#cancel(channel, filter);
  }

  /** The connection is over. */
  ended(channel: Channel): void {
    for (const cancel of this.#byChannel.get(channel)?.values() ?? []) cancel();
    this.#byChannel.delete(channel);
  }

  #cancel(channel: Channel, filter: string): void {
    const running = this.#byChannel.get(channel);
    running?.get(filter)?.();
    running?.delete(filter);
    if (running?.size === 0) this.#byChannel.delete(channel);
  }

  #consume(channel: Channel, { taskId, group }: Taking, qos: 0 | 1): Cancel {
    const { topics, source, log } = this.#ports;
    const failed = (error: unknown) => {
      log.warn({ client_id: channel.clientId, err: error }, 'a client cannot take entries any more');
      channel.close('ours', 'it cannot take entries any more');
    };
    try {
      return source.consume({
        taskId,
        group,
        prefetch: LIMITS.takePrefetch,
        push: (entry, done) => channel.publish(topics.take(entry.taskId, group), entry.payload, qos, done),
        failed,
      });
    } catch (error) {
      // The client was told that it has the filter: without an end it would wait for ever.
      failed(error);
      return () => undefined;
    }
  }
}

import type { Aedes } from 'aedes';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Logger } from '../core/ports.js';
import { Channel } from '../transport/channel.js';
import { HeldAcks } from './aedes-acks.js';
import { resumeInFlight } from './aedes-delivery.js';
import { PublishOrder } from './aedes-order.js';
import { guardPersistence, isLasting, isPersistence, type Lasting } from './aedes-persistence.js';
import { watchPublishes } from './aedes-publishes.js';
import { StoredSessions } from './aedes-sessions.js';
import { keepTopicOrder } from './aedes-topic-order.js';

export interface StorageParts {
  readonly broker: Aedes;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a stored session outlives its connection. 0: for ever. */
  readonly sessionExpiryMs: number;
  /** A session holds its limit of messages, and does not get this one. */
  notKept(clientId: string, counter: number | undefined): void;
  /** A stored session was forgotten. */
  sessionDropped(clientId: string, why: 'expired' | 'too_many', messages: number): void;
}

/** The broker's persistence, kept to the standard and in bounds; and what it has to say where it outlives the node. */
export class BrokerStorage {
  readonly #parts: StorageParts;
  #lasting: Lasting | undefined;
  #heldAcks: HeldAcks | undefined;
  #sessions: StoredSessions | undefined;
  readonly #order = new PublishOrder();
  #isWatching = false;

  constructor(parts: StorageParts) {
    this.#parts = parts;
  }

  /** @returns undoes it */
  start(): Cancel {
    const { broker, clock, log, sessionExpiryMs, notKept, sessionDropped } = this.#parts;
    const persistence: unknown = Reflect.get(broker, 'persistence');
    if (!isPersistence(persistence)) return () => undefined;
    if (isLasting(persistence)) {
      this.#lasting = persistence;
      this.#heldAcks = new HeldAcks(persistence);
    }
    this.#isWatching = true;
    const sessions = new StoredSessions({
      ...{ broker, persistence, clock, log, dropped: sessionDropped },
      sessionsMax: LIMITS.sessionsMax,
      expiryMs: sessionExpiryMs,
    });
    this.#sessions = sessions;
    const undo = [
      keepTopicOrder(broker),
      watchPublishes(broker, (publish) => {
        this.#heldAcks?.published(publish);
        this.#order.reached(publish.channel);
      }),
      guardPersistence(
        persistence,
        { messagesMax: LIMITS.offlineMessagesMax, bytesMax: LIMITS.offlineBytesMax },
        {
          dropped: (clientId, packet) => notKept(clientId, packet.brokerCounter),
          kept: (packet, wrote) => this.#heldAcks?.kept(packet.brokerCounter, wrote),
          repeated: (client) => {
            const conn: unknown = Reflect.get(client, 'conn');
            if (conn instanceof Channel) this.#order.reached(conn);
          },
        },
      ),
      sessions.start(),
    ];
    return () => {
      this.#isWatching = false;
      for (const cancel of undo.reverse()) cancel();
    };
  }

  /** Stored sessions whose client is not connected. */
  get sessionsAway(): number {
    return this.#sessions?.away ?? 0;
  }

  /** A client with clean=false connects. */
  connecting(channel: Channel, clientId: string): void {
    if (!this.#lasting) return;
    resumeInFlight(channel, this.#lasting.inFlight(clientId));
    const { takes } = channel.session;
    if (takes.size > 0) return;
    for (const { topic: filter, qos } of this.#lasting.takes(clientId)) takes.set(filter, { filter, qos });
  }

  /** A client takes by other filters than before. */
  takesChanged({ connect, clientId, session }: Channel): void {
    if (!connect || connect.clean) return;
    this.#lasting?.setTakes(
      clientId,
      [...session.takes.values()].map(({ filter, qos }) => ({ topic: filter, qos })),
    );
  }

  /** A publish of a client may go to the broker.
   *  @param go Lets it: at once, or when those before it are there */
  admit(channel: Channel, packet: { readonly qos: number; readonly messageId?: unknown }, go: () => void): void {
    if (!this.#isWatching) {
      go();
      return;
    }
    const { qos, messageId } = packet;
    this.#order.enter(channel, qos, () => {
      // At QoS 1 its acknowledgement is written before it is published.
      if (qos === 1 && typeof messageId === 'number') this.#heldAcks?.expect(channel, messageId);
      go();
    });
  }
}

import type { Cancel } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { NOWHERE_ROOT } from '../core/topics.js';
import type { Qos } from '../transport/packet-type.js';

interface StoredSubscription {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: number;
}

interface StoredPacket {
  readonly cmd?: string;
  readonly qos: number;
  readonly retain?: boolean;
  readonly payload?: { readonly length: number };
  readonly messageId?: number | undefined;
  readonly brokerCounter?: number;
}

type Session = { readonly id: string };

/** What we wrap of aedes-persistence, and use (its README). */
export interface Persistence {
  subscriptionsByTopic(topic: string): Promise<StoredSubscription[]>;
  cleanSubscriptions(client: Session): Promise<void>;
  outgoingEnqueueCombi(subscriptions: readonly StoredSubscription[], packet: StoredPacket): Promise<void>;
  outgoingUpdate(client: Session, packet: StoredPacket): Promise<void>;
  outgoingClearMessageId(client: Session, packet: StoredPacket): Promise<StoredPacket | undefined>;
  outgoingStream(client: Session): AsyncIterable<StoredPacket>;
  incomingGetPacket(client: Session, packet: StoredPacket): Promise<StoredPacket>;
}

/** One that outlives the node, and tells more than Aedes asks (`LastingPersistence`). */
export interface Lasting {
  flushed(): Promise<void> | undefined;
  incomingPublished(clientId: string, messageId: number): void;
  inFlight(
    clientId: string,
  ): readonly { readonly cmd?: string; readonly qos?: number; readonly messageId?: number | undefined }[];
  takes(clientId: string): readonly { readonly topic: string; readonly qos: Qos }[];
  setTakes(clientId: string, takes: readonly { readonly topic: string; readonly qos: Qos }[]): void;
  storedSessions(): readonly { readonly id: string; readonly offlineSinceMs: number | undefined }[];
  noteSession(id: string, offlineSinceMs: number | undefined): boolean;
}

export interface PersistenceLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

export interface PersistenceListener {
  /** A message was not kept for this session: it holds its limit of them. It must not be delivered either, for the broker
   *  could not find it again. */
  dropped(clientId: string, packet: StoredPacket): void;
  /** All that is kept of a publish at QoS 1 or 2 is in the persistence by now.
   *  @param wrote Anything is */
  kept(packet: StoredPacket, wrote: boolean): void;
  /** A publish at QoS 2 came again before its PUBREL, and will not be published. */
  repeated(client: Session): void;
}

/** What is kept for one session. */
interface Kept {
  messages: number;
  bytes: number;
  /** Of the messages that were sent and not acknowledged, by packet id. */
  readonly bytesById: Map<number, number>;
  /** The session is over; what is left of it is being cleared. */
  ended: boolean;
}

/** Keeps the standard where the persistence does not, and bounds what it keeps for a session.
 *
 *  - One copy for a session, not one for each filter that matches: the further ones were never cleared.
 *  - At the QoS that was granted [MQTT-3.8.4-6].
 *  - A leading wildcard does not reach `$…` topics [MQTT-4.7.2-1], and nothing reaches ours that leads nowhere.
 *
 *  What was kept before, by an earlier run, is counted when the session gets its first message.
 *
 *  @returns undoes it */
export function guardPersistence(
  persistence: Persistence,
  limits: PersistenceLimits,
  listener: PersistenceListener,
): Cancel {
  const {
    subscriptionsByTopic,
    cleanSubscriptions,
    outgoingEnqueueCombi,
    outgoingUpdate,
    outgoingClearMessageId,
    incomingGetPacket,
  } = persistence;
  const amounts = new Amounts(persistence, limits);

  persistence.subscriptionsByTopic = (topic) =>
    subscriptionsByTopic
      .call(persistence, topic)
      .then((subscriptions) => (subscriptions.length === 0 ? subscriptions : oncePerSession(subscriptions, topic)));

  persistence.cleanSubscriptions = (client) => {
    amounts.ended(client.id);
    return cleanSubscriptions.call(persistence, client);
  };

  persistence.outgoingEnqueueCombi = async (subscriptions, packet) => {
    if (subscriptions.length > 0) await amounts.counted(subscriptions);
    const admitted = subscriptions.filter(({ clientId }) => {
      const has = amounts.admit(clientId, packet);
      if (!has) listener.dropped(clientId, packet);
      return has;
    });
    const writes = [1, 2].map((qos) => {
      const same = admitted.filter((subscription) => Math.min(packet.qos, subscription.qos) === qos);
      return same.length > 0 ? outgoingEnqueueCombi.call(persistence, same, { ...packet, qos }) : undefined;
    });
    for (const write of writes) await write;
    listener.kept(packet, packet.retain === true || admitted.length > 0);
  };

  persistence.outgoingUpdate = (client, packet) => {
    amounts.sent(client.id, packet);
    return outgoingUpdate.call(persistence, client, packet);
  };

  persistence.outgoingClearMessageId = async (client, packet) => {
    await amounts.counting;
    const cleared = await outgoingClearMessageId.call(persistence, client, packet);
    if (cleared) amounts.cleared(client.id, cleared);
    return cleared;
  };

  persistence.incomingGetPacket = async (client, packet) => {
    const found = await incomingGetPacket.call(persistence, client, packet);
    if (packet.cmd === 'publish') listener.repeated(client);
    return found;
  };

  return () => {
    Object.assign(persistence, {
      subscriptionsByTopic,
      cleanSubscriptions,
      outgoingEnqueueCombi,
      outgoingUpdate,
      outgoingClearMessageId,
      incomingGetPacket,
    });
  };
}

/** How much is kept for each session. */
class Amounts {
  readonly #persistence: Pick<Persistence, 'outgoingStream'>;
  readonly #limits: PersistenceLimits;
  readonly #sessions = new Map<string, Kept>();
  /** Sessions are being counted: what comes now waits for it, in order. */
  counting: Promise<void> | undefined;

  constructor(persistence: Pick<Persistence, 'outgoingStream'>, limits: PersistenceLimits) {
    this.#persistence = persistence;
    this.#limits = limits;
  }

  /** Counts what an earlier run left, where that was not done yet. */
  async counted(subscriptions: readonly StoredSubscription[]): Promise<void> {
    if (this.counting === undefined && subscriptions.every(({ clientId }) => this.#sessions.has(clientId))) return;
    const before = this.counting;
    const mine = (async () => {
      await before;
      for (const { clientId } of subscriptions) await this.#count(clientId);
    })();
    this.counting = mine;
    try {
      await mine;
    } finally {
      if (this.counting === mine) this.counting = undefined;
    }
  }

  async #count(clientId: string): Promise<void> {
    if (this.#sessions.has(clientId)) return;
    const kept: Kept = { messages: 0, bytes: 0, bytesById: new Map(), ended: false };
    for await (const { messageId, payload } of this.#persistence.outgoingStream({ id: clientId })) {
      const bytes = payload?.length ?? 0;
      kept.messages++;
      kept.bytes += bytes;
      if (messageId !== undefined) kept.bytesById.set(messageId, bytes);
    }
    this.#sessions.set(clientId, kept);
  }

  /** False: this session holds its limit. */
  admit(clientId: string, { payload }: StoredPacket): boolean {
    const kept = this.#sessions.get(clientId) ?? { messages: 0, bytes: 0, bytesById: new Map(), ended: false };
    const bytes = payload?.length ?? 0;
    if (kept.messages >= this.#limits.messagesMax || kept.bytes + bytes > this.#limits.bytesMax) return false;
    kept.messages++;
    kept.bytes += bytes;
    kept.ended = false;
    this.#sessions.set(clientId, kept);
    return true;
  }

  sent(clientId: string, { messageId, payload }: StoredPacket): void {
    if (messageId !== undefined && payload) this.#sessions.get(clientId)?.bytesById.set(messageId, payload.length);
  }

  cleared(clientId: string, { messageId = -1, payload }: StoredPacket): void {
    const kept = this.#sessions.get(clientId);
    if (!kept) return;
    kept.messages--;
    kept.bytes -= kept.bytesById.get(messageId) ?? payload?.length ?? 0;
    kept.bytesById.delete(messageId);
    if (kept.messages <= 0 && kept.ended) this.#sessions.delete(clientId);
  }

  /** The session is over. */
  ended(clientId: string): void {
    const kept = this.#sessions.get(clientId);
    if (kept?.messages === 0) this.#sessions.delete(clientId);
    else if (kept) kept.ended = true;
  }
}

/** The highest QoS of each session's matching filters [MQTT-3.3.5-1]. */
function oncePerSession(subscriptions: readonly StoredSubscription[], topic: string): StoredSubscription[] {
  if (topic.startsWith(NOWHERE_ROOT)) return [];
  const best = new Map<string, StoredSubscription>();
  for (const subscription of subscriptions) {
    if (topic.startsWith('$') && /^[#+]/.test(subscription.topic)) continue;
    const before = best.get(subscription.clientId);
    if (!before || before.qos < subscription.qos) best.set(subscription.clientId, subscription);
  }
  return [...best.values()];
}

/** False: this persistence is not one we know. */
export function isPersistence(value: unknown): value is Persistence {
  return hasMethods(
    value,
    ...['subscriptionsByTopic', 'cleanSubscriptions', 'outgoingStream'],
    ...['outgoingEnqueueCombi', 'outgoingUpdate', 'outgoingClearMessageId', 'incomingGetPacket'],
  );
}

export function isLasting(value: unknown): value is Lasting {
  return hasMethods(
    value,
    'flushed',
    'incomingPublished',
    'inFlight',
    'takes',
    'setTakes',
    'storedSessions',
    'noteSession',
  );
}

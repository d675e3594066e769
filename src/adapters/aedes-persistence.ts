import type { Cancel } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { NOWHERE_ROOT } from '../core/topics.js';

interface StoredSubscription {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: number;
}

interface StoredPacket {
  readonly cmd?: string;
  readonly qos: number;
  readonly payload?: { readonly length: number };
  readonly messageId?: number | undefined;
  readonly brokerCounter?: number;
}

type Session = { readonly id: string };

/** What we wrap of aedes-persistence (its README, "outgoing"). */
interface Persistence {
  subscriptionsByTopic(topic: string): Promise<StoredSubscription[]>;
  outgoingEnqueueCombi(subscriptions: readonly StoredSubscription[], packet: StoredPacket): Promise<void>;
  outgoingUpdate(client: Session, packet: StoredPacket): Promise<void>;
  outgoingClearMessageId(client: Session, packet: StoredPacket): Promise<StoredPacket | undefined>;
}

export interface PersistenceLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/** What is kept for one session. */
interface Kept {
  messages: number;
  bytes: number;
  /** Of the messages that were sent and not acknowledged, by packet id. */
  readonly bytesById: Map<number, number>;
}

/** Keeps the standard where the persistence does not, and bounds what it keeps for a session.
 *
 *  - One copy for a session, not one for each filter that matches: the further ones were never cleared.
 *  - At the QoS that was granted [MQTT-3.8.4-6].
 *  - A leading wildcard does not reach `$…` topics [MQTT-4.7.2-1], and nothing reaches ours that leads nowhere.
 *
 *  @param dropped A message was not kept for this session: it holds its limit of them. It must not be delivered either,
 *  for the broker could not find it again.
 *  @returns undoes it; undefined where this persistence is not one we know */
export function guardPersistence(
  persistence: unknown,
  limits: PersistenceLimits,
  dropped: (clientId: string, packet: StoredPacket) => void,
): Cancel | undefined {
  if (!isPersistence(persistence)) return undefined;
  const { subscriptionsByTopic, outgoingEnqueueCombi, outgoingUpdate, outgoingClearMessageId } = persistence;
  const sessions = new Map<string, Kept>();

  const admit = (clientId: string, packet: StoredPacket): boolean => {
    const kept = sessions.get(clientId) ?? { messages: 0, bytes: 0, bytesById: new Map() };
    const bytes = packet.payload?.length ?? 0;
    if (kept.messages >= limits.messagesMax || kept.bytes + bytes > limits.bytesMax) {
      dropped(clientId, packet);
      return false;
    }
    kept.messages++;
    kept.bytes += bytes;
    sessions.set(clientId, kept);
    return true;
  };

  persistence.subscriptionsByTopic = (topic) =>
    subscriptionsByTopic
      .call(persistence, topic)
      .then((subscriptions) => (subscriptions.length === 0 ? subscriptions : oncePerSession(subscriptions, topic)));

  persistence.outgoingEnqueueCombi = async (subscriptions, packet) => {
    if (subscriptions.length === 0) return;
    const admitted = subscriptions.filter(({ clientId }) => admit(clientId, packet));
    for (const qos of [1, 2]) {
      const same = admitted.filter((subscription) => Math.min(packet.qos, subscription.qos) === qos);
      if (same.length > 0) await outgoingEnqueueCombi.call(persistence, same, { ...packet, qos });
    }
  };

  persistence.outgoingUpdate = (client, packet) => {
    const kept = sessions.get(client.id);
    if (kept && packet.messageId !== undefined && packet.payload) {
      kept.bytesById.set(packet.messageId, packet.payload.length);
    }
    return outgoingUpdate.call(persistence, client, packet);
  };

  persistence.outgoingClearMessageId = async (client, packet) => {
    const cleared = await outgoingClearMessageId.call(persistence, client, packet);
    const kept = sessions.get(client.id);
    if (cleared && kept) {
      const id = cleared.messageId ?? -1;
      kept.messages--;
      kept.bytes -= kept.bytesById.get(id) ?? cleared.payload?.length ?? 0;
      kept.bytesById.delete(id);
      if (kept.messages <= 0) sessions.delete(client.id);
    }
    return cleared;
  };

  return () => {
    Object.assign(persistence, {
      subscriptionsByTopic,
      outgoingEnqueueCombi,
      outgoingUpdate,
      outgoingClearMessageId,
    });
  };
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

function isPersistence(value: unknown): value is Persistence {
  return hasMethods(value, 'subscriptionsByTopic', 'outgoingEnqueueCombi', 'outgoingUpdate', 'outgoingClearMessageId');
}

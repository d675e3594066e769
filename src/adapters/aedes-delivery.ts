import type { Client } from 'aedes';
import { LIMITS } from '../core/limits.js';
import { hasMethods } from '../core/shape.js';
import type { Channel } from '../transport/channel.js';

interface DeliveredPacket {
  topic: string;
  qos: number;
  retain?: boolean;
  brokerId?: string | null;
  brokerCounter?: number;
}

type Deliver = (packet: DeliveredPacket, done: () => void) => void;

/** The private parts of an Aedes client that we rely on, all own properties of the object (aedes 1.2, lib/client.js). */
interface ClientInternals {
  deliver0: Deliver;
  deliverQoS: Deliver;
  duplicates: Record<string, number>;
  _nextId: number;
}

/** Makes the broker's deliveries to one client keep the standard, and share our packet ids. Must run before the client
 *  subscribes. False: this Aedes looks different inside, and nothing was touched.
 *
 *  - Aedes drops what an earlier, slower way would deliver after a later message (moscajs/aedes#955): its memory is
 *    the highest counter seen. Ours is the last packet, which still makes overlapping filters one delivery.
 *  - The QoS is the highest among the filters that match, and never above it [MQTT-3.3.5-1].
 *  - Packet ids come from the channel's allocator.
 *  - Aedes reads retained messages ahead, so a live one can overtake an older retained one, and the subscriber would
 *    end with the old state. Of our own topics, where what is live is what is retained, the late copy is left out.
 *  - A client that does not read holds nobody up for longer than `slowAfterMs`: then it misses QoS 0 messages.
 *
 *  @param slow Told for each message that such a client missed. */
export function guardDelivery(
  client: Client,
  channel: Channel,
  isOurs: (topic: string) => boolean,
  slow: (channel: Channel) => void,
): boolean {
  if (!hasInternals(client)) return false;
  const { deliver0, deliverQoS } = client;
  const { heardLive } = channel;
  let lastBroker: string | undefined;
  let lastCounter: number | undefined;
  const deliver: Deliver = (packet, done) => {
    if (packet.brokerId && packet.brokerCounter !== undefined) {
      const repeated = packet.brokerCounter === lastCounter && packet.brokerId === lastBroker;
      if (repeated || channel.missed.delete(packet.brokerCounter)) {
        setImmediate(done);
        return;
      }
      lastBroker = packet.brokerId;
      lastCounter = packet.brokerCounter;
      delete client.duplicates[packet.brokerId];
      if (isOurs(packet.topic) && heardLive.size < LIMITS.topicCacheMax) heardLive.add(packet.topic);
    } else if (packet.retain && heardLive.has(packet.topic)) {
      setImmediate(done);
      return;
    }
    const granted = channel.subscriptions.maxQos(packet.topic);
    // Aedes finds retained `$…` messages for a leading wildcard too [MQTT-4.7.2-1].
    if (granted < 0 && packet.retain) {
      setImmediate(done);
      return;
    }
    if (granted >= 0 && granted < packet.qos) packet.qos = granted;
    if (packet.qos > 0) {
      deliverQoS(packet, done);
    } else if (channel.outbound.isSlow) {
      slow(channel);
      setImmediate(done);
    } else {
      deliver0(packet, done);
    }
  };
  client.deliver0 = deliver;
  client.deliverQoS = deliver;
  // Aedes reads the next id, uses it, and writes the one after: reading looks, writing takes.
  Object.defineProperty(client, '_nextId', {
    get: () => {
      if (channel.session.ids.exhausted) {
        channel.destroy(new Error('the client acknowledges nothing: no packet id is left'));
      }
      return channel.session.ids.peek();
    },
    set: () => channel.session.ids.advance(),
  });
  return true;
}

/** After a restart the persistence knows what is in flight towards a client, and its session here does not: without it,
 *  ids would be given twice, and what is sent again would lack DUP [MQTT-3.3.1-1]. */
export function resumeInFlight(
  channel: Channel,
  packets: readonly { readonly cmd?: string; readonly qos?: number; readonly messageId?: number | undefined }[],
): void {
  const { ids } = channel.session;
  if (ids.inFlight > 0) return;
  for (const { cmd, qos = 1, messageId } of packets) {
    if (messageId === undefined) continue;
    if (cmd === 'pubrel') ids.brokerReleased(messageId);
    else ids.brokerPublished(messageId, qos);
  }
  ids.resuming();
}

function hasInternals(client: object): client is ClientInternals {
  return (
    hasMethods(client, 'deliver0', 'deliverQoS') &&
    typeof Reflect.get(client, 'duplicates') === 'object' &&
    Object.hasOwn(client, '_nextId')
  );
}

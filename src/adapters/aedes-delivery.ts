import type { Client } from 'aedes';
import type { Channel } from '../transport/channel.js';

interface DeliveredPacket {
  topic: string;
  qos: number;
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
 *  - Packet ids come from the channel's allocator. */
export function guardDelivery(client: Client, channel: Channel): boolean {
  if (!hasInternals(client)) return false;
  const { deliver0, deliverQoS } = client;
  let lastCounter = -1;
  const deliver: Deliver = (packet, done) => {
    if (packet.brokerId && packet.brokerCounter !== undefined) {
      if (packet.brokerCounter === lastCounter) {
        setImmediate(done);
        return;
      }
      lastCounter = packet.brokerCounter;
      delete client.duplicates[packet.brokerId];
    }
    const granted = channel.subscriptions.maxQos(packet.topic);
    if (granted >= 0 && granted < packet.qos) packet.qos = granted;
    if (packet.qos === 0) {
      deliver0(packet, done);
    } else if (channel.session.ids.exhausted) {
      channel.destroy(new Error('the client acknowledges nothing: no packet id is left'));
      setImmediate(done);
    } else {
      deliverQoS(packet, done);
    }
  };
  client.deliver0 = deliver;
  client.deliverQoS = deliver;
  // Aedes reads the next id, uses it, and writes the one after: reading looks, writing takes.
  Object.defineProperty(client, '_nextId', {
    get: () => channel.session.ids.peek(),
    set: () => channel.session.ids.advance(),
  });
  return true;
}

function hasInternals(client: object): client is ClientInternals {
  return (
    typeof Reflect.get(client, 'deliver0') === 'function' &&
    typeof Reflect.get(client, 'deliverQoS') === 'function' &&
    typeof Reflect.get(client, 'duplicates') === 'object' &&
    Object.hasOwn(client, '_nextId')
  );
}

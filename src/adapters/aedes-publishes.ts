import type { Aedes, Client } from 'aedes';
import type { Cancel } from '../core/ports.js';
import { Channel } from '../transport/channel.js';
import { replaceMethod } from './replace-method.js';

/** A publish that a connected client sent. */
export interface ClientPublish {
  readonly channel: Channel;
  readonly clientId: string;
  readonly qos: number;
  /** Undefined at QoS 0. */
  readonly packetId: number | undefined;
  /** By which the broker and its persistence know it from now on. */
  readonly counter: number;
}

/** Tells when publishes of clients reach the broker. At QoS 1 and 2 nothing is kept or delivered of them yet.
 *  @returns undoes it */
export function watchPublishes(broker: Aedes, published: (publish: ClientPublish) => void): Cancel {
  return replaceMethod(broker, 'publish', (publish) => (...args) => {
    const before: unknown = Reflect.get(broker, 'counter');
    const result = publish(...args);
    const [packet, client] = args;
    const found = typeof before === 'number' ? clientPublish(packet, client, before + 1) : undefined;
    if (found) published(found);
    return result;
  });
}

/** A last will has a client too, but is none it sends. */
function clientPublish(packet: unknown, client: unknown, counter: number): ClientPublish | undefined {
  if (typeof packet !== 'object' || packet === null || !isClient(client) || !(client.conn instanceof Channel)) {
    return undefined;
  }
  if (packet === client.will || Reflect.has(packet, 'brokerId')) return undefined;
  const qos: unknown = Reflect.get(packet, 'qos');
  const packetId: unknown = Reflect.get(packet, 'messageId');
  return {
    channel: client.conn,
    clientId: client.id,
    qos: typeof qos === 'number' ? qos : 0,
    packetId: typeof packetId === 'number' && qos !== 0 ? packetId : undefined,
    counter,
  };
}

function isClient(value: unknown): value is Client & { readonly will?: unknown } {
  return typeof value === 'object' && value !== null && 'conn' in value && 'id' in value;
}

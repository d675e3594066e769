import type { AckOrder } from './ack-order.js';
import type { Channel } from './channel.js';
import { encodeSuback } from './encode.js';
import { FrameReader } from './frame-reader.js';
import type { Inbound } from './inbound.js';
import { PACKET_TYPE } from './packet-type.js';
import { publishPacketId, publishQos, publishTopicEnd } from './publish-packet.js';

const DUP = 0x08;

/** The broker writes well-formed packets; its own limits bound them. */
const ANY_LENGTH = 268_435_460;

/** What the broker writes to a client: put in order with what the node writes, and completed where we cut something
 *  out of the client's request. */
export class BrokerFrames {
  readonly #channel: Channel;
  readonly #inbound: Inbound;
  readonly #reader = new FrameReader(ANY_LENGTH);
  /** Live messages for a restored session may come before CONNACK, which must be first [MQTT-3.2.0-1]. */
  #early: Buffer[] = [];

  constructor(channel: Channel, inbound: Inbound) {
    this.#channel = channel;
    this.#inbound = inbound;
  }

  take(chunk: Buffer): void {
    this.#reader.feed(chunk);
    while (this.#reader.next() === 'frame') this.#frame();
  }

  #frame(): void {
    const { buffer, header, start, body, end } = this.#reader;
    const { ids } = this.#channel.session;
    switch (header >> 4) {
      case PACKET_TYPE.connack:
        this.#connack(buffer.subarray(start, end), buffer[body + 1] === 0);
        return;
      case PACKET_TYPE.puback:
        this.#acknowledged(this.#inbound.publishes.pubacks, buffer.readUInt16BE(body));
        return;
      case PACKET_TYPE.pubrec:
        this.#acknowledged(this.#inbound.publishes.pubrecs, buffer.readUInt16BE(body));
        return;
      case PACKET_TYPE.publish: {
        const qos = publishQos(header);
        if (qos === 0) break;
        const again = ids.brokerPublished(publishPacketId(buffer, header, publishTopicEnd(buffer, body)), qos);
        if (!again) break;
        this.#send(asDuplicate(buffer.subarray(start, end)));
        return;
      }
      case PACKET_TYPE.pubrel:
        ids.brokerReleased(buffer.readUInt16BE(body));
        break;
      case PACKET_TYPE.suback: {
        const packetId = buffer.readUInt16BE(body);
        const plan = this.#inbound.subackPlans.get(packetId);
        if (plan) {
          this.#inbound.subackPlans.delete(packetId);
          this.#channel.outbound.send(encodeSuback(packetId, plan.codes([...buffer.subarray(body + 2, end)])));
          return;
        }
        break;
      }
    }
    this.#send(buffer.subarray(start, end));
  }

  #acknowledged(order: AckOrder, packetId: number): void {
    const storing = this.#channel.storing.get(packetId);
    if (storing) storing.then(() => order.brokerDone(packetId));
    else order.brokerDone(packetId);
  }

  #connack(frame: Buffer, yes: boolean): void {
    this.#channel.outbound.send(frame);
    if (yes) this.#channel.accepted();
    const early = this.#early;
    this.#early = [];
    for (const later of early) this.#channel.outbound.send(later);
  }

  #send(frame: Buffer): void {
    const { outbound, phase } = this.#channel;
    if (phase === 'connecting') {
      this.#early.push(frame);
      return;
    }
    outbound.send(frame);
    if (outbound.isSlow && outbound.isOverfull) {
      this.#channel.destroy(new Error('the client does not read what it subscribed to'));
    }
  }
}

/** The same packet with DUP set [MQTT-3.3.1-1]; a copy, for its first byte may be shared with other packets. */
function asDuplicate(frame: Buffer): Buffer {
  const copy = Buffer.from(frame);
  copy[0] = (copy[0] ?? 0) | DUP;
  return copy;
}

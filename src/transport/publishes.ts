import { LIMITS } from '../core/limits.js';
import { AckOrder } from './ack-order.js';
import type { Channel } from './channel.js';
import type { ChannelHost, Destination } from './channel-host.js';
import { ACK_HEADER, type AckHeader, encodeAcks } from './encode.js';
import type { FrameReader } from './frame-reader.js';
import type { HeldPut, PutOutcome } from './ports.js';
import { publishPacketId, publishPayloadStart, publishQos, publishTopicEnd } from './publish-packet.js';
import type { SeenIds } from './session.js';
import type { Violation } from './violation.js';

const TOO_MANY_UNRELEASED: Violation = {
  clause: 'limit',
  message: `QoS 2 publishes without PUBREL: expected at most ${LIMITS.qos2InFlightMax}`,
};

interface Held {
  readonly put: HeldPut;
  readonly bytes: number;
  /** Its packet id is as good as never seen. */
  forget(): void;
}

/** What a client publishes: taken by the node or left to the broker, and acknowledged in its order. A put that its
 *  queue has no room for waits here for its acknowledgement, while what comes behind it is served. */
export class Publishes {
  readonly pubacks: AckOrder;
  readonly pubrecs: AckOrder;

  readonly #channel: Channel;
  readonly #host: ChannelHost;
  readonly #goOn: () => void;
  readonly #failed: (error: Error) => void;
  readonly #held = new Set<Held>();
  #heldBytes = 0;
  #lastTopic: Buffer = Buffer.alloc(0);
  #lastDestination: Destination | undefined;
  #lastVersion = -1;
  #lastUnacknowledged: Promise<void> | undefined;

  /** @param goOn Fewer wait than before: reading may go on */
  constructor(channel: Channel, host: ChannelHost, goOn: () => void) {
    this.#channel = channel;
    this.#host = host;
    this.#goOn = goOn;
    this.#failed = (error) => channel.destroy(error);
    const send = (header: AckHeader) => (ids: readonly number[]) => {
      if (channel.destroyed) return;
      channel.outbound.send(encodeAcks(header, ids), ids.length);
      goOn();
    };
    this.pubacks = new AckOrder(send(ACK_HEADER.puback));
    this.pubrecs = new AckOrder(send(ACK_HEADER.pubrec));
  }

  /** As many wait as may: nothing more is read. */
  get isFull(): boolean {
    return (
      this.#held.size >= LIMITS.heldPutsMax ||
      this.#heldBytes >= LIMITS.heldPutBytesMax ||
      this.pubacks.waiting + this.pubrecs.waiting >= LIMITS.acksWaitingMax
    );
  }

  /** Takes the PUBLISH that was read last. `broker`: it is the broker's to have. */
  take({ buffer, header, body, end }: FrameReader): 'node' | 'broker' | Violation {
    const qos = publishQos(header);
    const topicEnd = publishTopicEnd(buffer, body);
    const packetId = publishPacketId(buffer, header, topicEnd);
    const payload = buffer.subarray(publishPayloadStart(header, topicEnd), end);
    const destination = this.#destinationOf(buffer, body + 2, topicEnd);
    const seen = qos === 2 ? this.#seenOf(destination) : undefined;
    // A QoS 2 publish that came before and is not released yet is acted on once [MQTT-4.3.3-2].
    const isAgain = seen?.has(packetId) === true;
    if (seen && !isAgain) {
      if (seen.size >= LIMITS.qos2InFlightMax) return TOO_MANY_UNRELEASED;
      seen.set(packetId, undefined);
    }
    const order = qos === 0 ? undefined : qos === 1 ? this.pubacks : this.pubrecs;
    // Two copies of which one is given up are both made again: a route to two tasks, one of them blocked, can double.
    const forget = () => void seen?.delete(packetId);
    // One that comes again may not be acknowledged before the first one is in its queue, or its copies are.
    const pending = isAgain ? seen?.get(packetId) : undefined;
    if (destination.kind === 'broker') {
      const copies = isAgain ? undefined : destination.copy?.(payload, qos);
      const oneIsDone = order?.expect(packetId, pending ? 1 : copies?.length);
      if (oneIsDone) pending?.then(oneIsDone, this.#failed);
      if (seen && copies && copies.length > 0) seen.set(packetId, allOf(copies));
      for (const copy of copies ?? []) {
        if (oneIsDone === undefined) this.#unacknowledged(copy);
        else if ('giveUp' in copy) this.#hold(copy, payload.length, oneIsDone, forget);
        else copy.then(oneIsDone, this.#failed);
      }
      return 'broker';
    }
    const outcome = isAgain ? pending : destination.accept(this.#channel, payload, qos);
    if (seen && outcome !== undefined) seen.set(packetId, allOf([outcome]));
    if (order === undefined) this.#unacknowledged(outcome);
    else if (outcome === undefined) order.done(packetId);
    else if ('giveUp' in outcome) this.#hold(outcome, payload.length, order.later(packetId), forget);
    else order.committed(packetId, outcome, this.#failed);
    return 'node';
  }

  /** The connection is over, and nobody waits for an acknowledgement any more. What was held is as if it had never
   *  come: the client sends it again. The last first, so that none of them gets in because one before it left. */
  end(): void {
    const held = [...this.#held].reverse();
    this.#held.clear();
    this.#heldBytes = 0;
    for (const { put, forget } of held) if (put.giveUp()) forget();
  }

  #seenOf(destination: Destination): SeenIds | undefined {
    const { received, routed } = this.#channel.session;
    if (destination.kind === 'node') return received;
    return destination.copy ? routed : undefined;
  }

  #hold(put: HeldPut, bytes: number, acknowledge: () => void, forget: () => void): void {
    if (this.#channel.destroyed) {
      if (put.giveUp()) forget();
      return;
    }
    const held = { put, bytes, forget };
    this.#held.add(held);
    this.#heldBytes += bytes;
    put.done.then(() => {
      if (!this.#held.delete(held)) return;
      this.#heldBytes -= bytes;
      acknowledge();
      this.#goOn();
    });
  }

  /** Nobody waits for it, but a commit that fails must not go unseen. */
  #unacknowledged(outcome: PutOutcome): void {
    if (outcome === undefined || 'giveUp' in outcome || outcome === this.#lastUnacknowledged) return;
    this.#lastUnacknowledged = outcome;
    outcome.catch(this.#failed);
  }

  #destinationOf(buffer: Buffer, from: number, to: number): Destination {
    const version = this.#host.destinationsVersion;
    const last = this.#lastDestination;
    if (
      last &&
      version === this.#lastVersion &&
      this.#lastTopic.length === to - from &&
      buffer.compare(this.#lastTopic, 0, to - from, from, to) === 0
    ) {
      return last;
    }
    const destination = this.#host.destination(this.#channel, buffer.toString('utf8', from, to));
    this.#lastTopic = Buffer.from(buffer.subarray(from, to));
    this.#lastDestination = destination;
    this.#lastVersion = version;
    return destination;
  }
}

/** Settled when all of them are in their queues. */
function allOf(outcomes: readonly Exclude<PutOutcome, undefined>[]): Promise<void> {
  const all = Promise.all(outcomes.map((outcome) => ('giveUp' in outcome ? outcome.done : outcome)));
  const done = all.then(() => undefined);
  // Whoever waits for one of them hears of it by that.
  done.catch(() => undefined);
  return done;
}

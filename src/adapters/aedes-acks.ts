import { deferred } from '../core/deferred.js';
import type { Channel } from '../transport/channel.js';
import type { Lasting } from './aedes-persistence.js';
import type { ClientPublish } from './aedes-publishes.js';

interface Held {
  readonly done: Promise<void>;
  readonly release: () => void;
}

/** A publish of a client on its way into the persistence. */
interface Origin {
  readonly channel: Channel;
  readonly clientId: string;
  readonly packetId: number;
  readonly qos: number;
  readonly held: Held;
}

/** Lets acknowledgements of the broker wait until what they stand for would survive a power cut. Aedes writes a PUBACK
 *  before it even begins to publish, so the channel holds it back; nobody else waits for the disk. */
export class HeldAcks {
  readonly #lasting: Lasting;
  /** Between PUBACK and publish. */
  readonly #expected = new WeakMap<Channel, Map<number, Held>>();
  /** By the broker's counter. */
  readonly #origins = new Map<number, Origin>();

  constructor(lasting: Lasting) {
    this.#lasting = lasting;
  }

  /** The broker will acknowledge this publish at QoS 1, then publish it. */
  expect(channel: Channel, packetId: number): void {
    const expected = this.#expected.get(channel) ?? new Map<number, Held>();
    this.#expected.set(channel, expected.set(packetId, hold(channel, packetId)));
  }

  /** All that is kept of a publish is in the persistence.
   *  @param wrote Anything is */
  kept(counter: number | undefined, wrote: boolean): void {
    const origin = counter === undefined ? undefined : this.#origins.get(counter);
    if (counter === undefined || !origin) return;
    this.#origins.delete(counter);
    const { channel, clientId, packetId, qos, held } = origin;
    if (qos === 2 && !channel.connect?.clean) this.#lasting.incomingPublished(clientId, packetId);
    const flushed = wrote || qos === 2 ? this.#lasting.flushed() : undefined;
    if (flushed) flushed.then(held.release);
    else held.release();
  }

  /** A publish of a client reached the broker, which keeps what is to be kept of it in a later turn. */
  published({ channel, clientId, packetId, qos, counter }: ClientPublish): void {
    if (packetId === undefined) return;
    const expected = this.#expected.get(channel);
    const held = expected?.get(packetId) ?? hold(channel, packetId);
    expected?.delete(packetId);
    this.#origins.set(counter, { channel, clientId, packetId, qos, held });
  }
}

function hold(channel: Channel, packetId: number): Held {
  const { promise: done, resolve } = deferred();
  const release = () => {
    if (channel.storing.get(packetId) === done) channel.storing.delete(packetId);
    resolve();
  };
  channel.storing.set(packetId, done);
  return { done, release };
}

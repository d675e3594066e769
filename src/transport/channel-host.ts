import type { Clock } from '../core/ports.js';
import type { Channel } from './channel.js';
import type { Qos } from './packet-type.js';
import type { PutOutcome } from './ports.js';
import type { Sessions } from './session.js';
import type { Verdict } from './suback-plan.js';
import type { Subscription } from './subscribe-packet.js';
import type { Traffic } from './traffic.js';
import type { Violation } from './violation.js';

/** What becomes of a publish to one topic. */
export type Destination =
  /** The broker's. `copy`, where a route matches, sees the payload once per message; what is returned is not settled
   *  yet, and the acknowledgement waits for it as well. */
  | { readonly kind: 'broker'; readonly copy: ((payload: Buffer, qos: Qos) => readonly Unsettled[]) | undefined }
  /** Ours: taken by the node and never forwarded. The acknowledgement goes out when `accept` is settled. The payload is
   *  valid only during the call. */
  | { readonly kind: 'node'; accept(channel: Channel, payload: Buffer, qos: Qos): PutOutcome };

/** A put that is not in the queue for good yet. */
export type Unsettled = Exclude<PutOutcome, undefined>;

/** How a connection ended. `ours`: the node closed it on purpose, which is nobody's failure. */
export type ChannelEnd = 'disconnect' | 'closed' | 'silent' | 'ours';

/** What a channel needs from the house it stands in. Knows no broker. */
export interface ChannelHost {
  readonly clock: Clock;
  readonly packetBytesMax: number;
  readonly sessions: Sessions;
  readonly traffic: Traffic;
  /** Changes when destinations that channels remember may have become wrong. */
  readonly destinationsVersion: number;
  destination(channel: Channel, topic: string): Destination;
  /** Which subscriptions of a SUBSCRIBE the client may have, in order. */
  authorize(channel: Channel, wanted: readonly Subscription[]): readonly Verdict[] | Promise<readonly Verdict[]>;
  /** The client takes entries by these filters, from the end of this turn on. */
  take(channel: Channel, filters: readonly Subscription[]): void;
  /** The client wants these filters no more. */
  unsubscribed(channel: Channel, filters: readonly string[]): void;
  /** Asks for one `flush` of the channel at the end of this turn. */
  flushSoon(channel: Channel): void;
  pinged(channel: Channel): void;
  /** The client broke the protocol; its connection is being closed. */
  violated(channel: Channel, violation: Violation): void;
  /** The broker said yes to this client id. */
  accepted(channel: Channel): void;
  /** The client was accepted, and answers can be written to it. */
  ready(channel: Channel): void;
  ended(channel: Channel, how: ChannelEnd): void;
}

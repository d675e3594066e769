import { PacketIds } from './packet-ids.js';
import type { Subscription } from './subscribe-packet.js';

/** Packet ids of QoS 2 publishes that were acted on and are not released yet, with what is still to happen before they
 *  may be acknowledged. */
export type SeenIds = Map<number, Promise<void> | undefined>;

/** What must outlive a connection of a client with clean=false [MQTT-3.1.2-4]. */
export interface Session {
  readonly ids: PacketIds;
  /** QoS 2 publishes that we acted on and whose PUBREL is still to come [MQTT-4.3.3-2]. */
  readonly received: SeenIds;
  /** QoS 2 publishes for the broker that a route copied, likewise. */
  readonly routed: SeenIds;
  /** What it takes entries of, by filter. */
  readonly takes: Map<string, Subscription>;
}

export function newSession(): Session {
  return { ids: new PacketIds(), received: new Map(), routed: new Map(), takes: new Map() };
}

function isIdle({ ids, received, routed, takes }: Session): boolean {
  return ids.inFlight === 0 && received.size === 0 && routed.size === 0 && takes.size === 0;
}

/** Sessions of clients with clean=false, by client id. Bounded: the least recently connected is forgotten, which
 *  costs it no message, only the memory of which packet ids it has in flight. */
export class Sessions {
  readonly #max: number;
  readonly #forgotten: (session: Session) => void;
  readonly #sessions = new Map<string, Session>();

  /** @param forgotten No connection will find this session again; one may still have it. */
  constructor(max: number, forgotten: (session: Session) => void = () => undefined) {
    this.#max = max;
    this.#forgotten = forgotten;
  }

  /** The stored session, shared with a connection that is about to be taken over [MQTT-3.1.4-2]; or a new one,
   *  which nobody remembers before `keep`: a stranger's CONNECT must not push out anything. */
  find(clientId: string): Session {
    return this.#sessions.get(clientId) ?? newSession();
  }

  /** The client was accepted with this session. */
  keep(clientId: string, session: Session): void {
    if (this.#sessions.get(clientId) !== session) this.discard(clientId);
    this.#sessions.delete(clientId);
    this.#sessions.set(clientId, session);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= this.#max) break;
      this.discard(oldest);
    }
  }

  /** Whether a connection to come will find this session. */
  has(clientId: string, session: Session): boolean {
    return this.#sessions.get(clientId) === session;
  }

  /** The client wants none, or a new one [MQTT-3.1.2-6]. */
  discard(clientId: string): void {
    const session = this.#sessions.get(clientId);
    this.#sessions.delete(clientId);
    if (session) this.#forgotten(session);
  }

  /** A connection ended; a session with nothing in flight needs no memory. */
  ended(clientId: string): void {
    const session = this.#sessions.get(clientId);
    if (session && isIdle(session)) this.#sessions.delete(clientId);
  }
}

import { encodePacket, encodeRecord, keyOf, numberOf, type SessionRecord } from './lasting-records.js';
import type { LastingStore } from './lasting-store.js';

export type Subscription = SessionRecord['subscriptions'][number];

/** A packet as Aedes hands it over (aedes-packet). */
export interface StoredPacket {
  cmd?: string;
  topic?: string;
  payload?: string | Uint8Array;
  qos?: number;
  retain?: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  brokerId?: string | undefined;
  brokerCounter?: number;
  clientId?: string;
}

interface Outgoing {
  readonly key: string;
  packet: StoredPacket;
}

interface Session {
  readonly id: string;
  readonly key: string;
  readonly subscriptions: Map<string, Subscription>;
  readonly outgoing: Outgoing[];
  readonly incoming: Map<number, StoredPacket>;
  /** By what it takes entries: the node's own, of which the broker knows nothing. */
  takes: readonly Subscription[];
  /** Wall clock; undefined: its client is there. */
  offlineSinceMs: number | undefined;
}

/** What is kept for each client with clean=false: in memory, and in the store. A session of which nothing is left is
 *  none. */
export class LastingSessions {
  readonly #store: LastingStore;
  readonly #sessions = new Map<string, Session>();

  constructor(store: LastingStore) {
    this.#store = store;
  }

  /** Reads what the last run left. */
  load(): void {
    const byKey = new Map<string, Session>();
    for (const { key, record } of this.#store.read('s')) {
      const session = newSession(record.id, key);
      session.offlineSinceMs = record.offline_since;
      session.takes = record.takes ?? [];
      for (const subscription of record.subscriptions) session.subscriptions.set(subscription.topic, subscription);
      this.#sessions.set(record.id, session);
      byKey.set(key, session);
    }
    for (const { key, record, payload } of this.#store.read('o')) {
      const { session, ...packet } = record;
      byKey.get(session)?.outgoing.push({ key, packet: packet.cmd === 'pubrel' ? packet : { ...packet, payload } });
    }
    for (const { record } of this.#store.read('i')) {
      byKey.get(record.session)?.incoming.set(record.messageId, { messageId: record.messageId });
    }
    for (const session of byKey.values()) this.#forgetEmpty(session);
  }

  /** Each client, what it subscribed to, and since when it is away: undefined, it was there when the node ended. */
  *all(): Generator<Pick<Session, 'id' | 'offlineSinceMs'> & { readonly subscriptions: readonly Subscription[] }> {
    for (const { id, offlineSinceMs, subscriptions } of this.#sessions.values()) {
      yield { id, offlineSinceMs, subscriptions: [...subscriptions.values()] };
    }
  }

  /** A client came (undefined) or went.
   *  @returns false: nothing is kept for it */
  note(id: string, offlineSinceMs: number | undefined): boolean {
    const session = this.#sessions.get(id);
    if (!session || this.#forgetEmpty(session)) return false;
    if (session.offlineSinceMs !== offlineSinceMs) {
      session.offlineSinceMs = offlineSinceMs;
      this.#save(session);
    }
    return true;
  }

  subscribe(id: string, subscriptions: readonly Subscription[]): void {
    const session = this.#session(id);
    for (const subscription of subscriptions) session.subscriptions.set(subscription.topic, { ...subscription });
    this.#save(session);
  }

  takes(id: string): readonly Subscription[] {
    return this.#sessions.get(id)?.takes ?? [];
  }

  setTakes(id: string, takes: readonly Subscription[]): void {
    if (takes.length === 0 && !this.#sessions.has(id)) return;
    const session = this.#session(id);
    session.takes = takes;
    if (!this.#forgetEmpty(session)) this.#save(session);
  }

  /** @param filters Undefined: all, and what it takes as well */
  unsubscribe(id: string, filters?: readonly string[]): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    if (filters === undefined) session.takes = [];
    for (const filter of filters ?? [...session.subscriptions.keys()]) session.subscriptions.delete(filter);
    if (!this.#forgetEmpty(session)) this.#save(session);
  }

  // ------------------------------------------------------------------ to the client

  enqueue(id: string, packet: StoredPacket): void {
    const session = this.#session(id);
    const outgoing = { key: this.#store.newKey('o'), packet };
    session.outgoing.push(outgoing);
    this.#write(session, outgoing, true);
  }

  /** A message gets its packet id; or its PUBREC came, and a PUBREL takes its place.
   *  @returns false: there is no such message */
  update(id: string, packet: StoredPacket): boolean {
    const session = this.#sessions.get(id);
    const found = session?.outgoing.find((outgoing) => isOf(outgoing.packet, packet));
    if (!session || !found) return false;
    if (packet.brokerId !== undefined && found.packet.brokerId === packet.brokerId) {
      found.packet.messageId = packet.messageId;
    } else {
      found.packet = packet;
    }
    this.#write(session, found);
    return true;
  }

  /** @param messageId Undefined: the first message that has none */
  clear(id: string, messageId: number | undefined): StoredPacket | undefined {
    const session = this.#sessions.get(id);
    const at = session?.outgoing.findIndex(({ packet }) => packet.messageId === messageId) ?? -1;
    const [cleared] = at < 0 ? [] : (session?.outgoing.splice(at, 1) ?? []);
    if (!session || !cleared) return undefined;
    this.#store.remove(cleared.key);
    this.#forgetEmpty(session);
    return cleared.packet;
  }

  outgoing(id: string): StoredPacket[] {
    return (this.#sessions.get(id)?.outgoing ?? []).map(({ packet }) => packet);
  }

  // ------------------------------------------------------------------ from the client, at QoS 2

  incoming(id: string, messageId: number): StoredPacket | undefined {
    return this.#sessions.get(id)?.incoming.get(messageId);
  }

  /** In memory; `receivedForGood` writes it down. */
  received(id: string, messageId: number, packet: StoredPacket): void {
    this.#session(id).incoming.set(messageId, packet);
  }

  receivedForGood(id: string, messageId: number): void {
    const session = this.#sessions.get(id);
    if (!session?.incoming.has(messageId)) return;
    this.#store.put(incomingKey(session, messageId), () => encodeRecord({ session: session.key, messageId }));
  }

  /** @returns false: there is none */
  released(id: string, messageId: number): boolean {
    const session = this.#sessions.get(id);
    if (!session?.incoming.delete(messageId)) return false;
    this.#store.remove(incomingKey(session, messageId));
    this.#forgetEmpty(session);
    return true;
  }

  forgetIncoming(id: string): void {
    for (const messageId of [...(this.#sessions.get(id)?.incoming.keys() ?? [])]) this.released(id, messageId);
  }

  // ------------------------------------------------------------------ records

  #session(id: string): Session {
    const known = this.#sessions.get(id);
    if (known) return known;
    const session = newSession(id, this.#store.newKey('s'));
    this.#sessions.set(id, session);
    this.#save(session, true);
    return session;
  }

  #save(session: Session, isNew = false): void {
    const encode = () => {
      const { id, offlineSinceMs, subscriptions, takes } = session;
      return encodeRecord({ id, offline_since: offlineSinceMs, subscriptions: [...subscriptions.values()], takes });
    };
    this.#store.put(session.key, encode, isNew);
  }

  #write(session: Session, outgoing: Outgoing, isNew = false): void {
    this.#store.put(outgoing.key, () => encodePacket(outgoing.packet, { session: session.key }), isNew);
  }

  #forgetEmpty(session: Session): boolean {
    const { id, key, subscriptions, outgoing, incoming, takes } = session;
    if (subscriptions.size + outgoing.length + incoming.size + takes.length > 0) return false;
    if (this.#sessions.get(id) === session) this.#sessions.delete(id);
    this.#store.remove(key);
    return true;
  }
}

/** Whether an update is of this message: by the broker's number, for ids come round; otherwise, as for a PUBREL, by id. */
function isOf(stored: StoredPacket, { brokerId, brokerCounter, messageId }: StoredPacket): boolean {
  const isNumbered = brokerId !== undefined && stored.brokerId === brokerId;
  return isNumbered ? stored.brokerCounter === brokerCounter : stored.messageId === messageId;
}

function newSession(id: string, key: string): Session {
  return { id, key, subscriptions: new Map(), outgoing: [], incoming: new Map(), takes: [], offlineSinceMs: undefined };
}

function incomingKey({ key }: Session, messageId: number): string {
  return `${keyOf('i', numberOf(key))}.${messageId.toString(16).padStart(4, '0')}`;
}

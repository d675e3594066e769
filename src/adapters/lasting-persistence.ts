import { Readable } from 'node:stream';
import aedesPersistence from 'aedes-persistence';
import { hasMethods } from '../core/shape.js';
import { BROKER_ROOT } from '../core/topics.js';
import { encodePacket } from './lasting-records.js';
import { LastingSessions, type StoredPacket, type Subscription } from './lasting-sessions.js';
import { type LastingParts, LastingStore } from './lasting-store.js';

type Client = { readonly id: string };
type WithId = { readonly messageId: number };
type RetainedPacket = StoredPacket & { topic: string; payload: string | Uint8Array };

/** The part of Aedes' own persistence that answers about retained messages, and about who subscribed to a topic. */
interface Memory {
  storeRetained(packet: StoredPacket): Promise<void>;
  createRetainedStream(pattern: string): Readable;
  createRetainedStreamCombi(patterns: readonly string[]): Readable;
  addSubscriptions(client: Client, subscriptions: readonly Subscription[]): Promise<void>;
  removeSubscriptions(client: Client, filters: readonly string[]): Promise<void>;
  cleanSubscriptions(client: Client): Promise<void>;
  subscriptionsByClient(client: Client): Promise<Subscription[]>;
  subscriptionsByTopic(topic: string): Promise<(Subscription & { clientId: string })[]>;
  countOffline(): Promise<{ subsCount: number; clientsCount: number }>;
  getClientList(topic: string): Readable;
}

/** An Aedes persistence that outlives the node (aedes-persistence, README). All is answered from memory and written
 *  behind; whoever must know that it is safe asks `flushed`. Only where a second try would be taken for a new message,
 *  in a QoS 2 flow towards a client, the answer itself waits. */
export class LastingPersistence {
  readonly #store: LastingStore;
  readonly #sessions: LastingSessions;
  readonly #memory = newMemory();
  /** Keys of what is retained, by topic. */
  readonly #retained = new Map<string, string>();
  readonly #wills = new Map<string, { readonly key: string; readonly packet: StoredPacket }>();
  #broker: Client | undefined;

  private constructor(store: LastingStore) {
    this.#store = store;
    this.#sessions = new LastingSessions(store);
  }

  /** Opens the store in a folder that this process has to itself, or makes one.
   *  @throws Error when it cannot be read, or is not ours; then it stays as it is */
  static async open(dir: string, parts: LastingParts): Promise<LastingPersistence> {
    return LastingPersistence.on(await LastingStore.open(dir, parts));
  }

  /** Takes a store, which it closes with itself. */
  static async on(store: LastingStore): Promise<LastingPersistence> {
    const persistence = new LastingPersistence(store);
    try {
      await persistence.#load();
    } catch (error) {
      await store.close();
      throw error;
    }
    return persistence;
  }

  async #load(): Promise<void> {
    this.#sessions.load();
    for (const { id, subscriptions } of this.#sessions.all())
      await this.#memory.addSubscriptions({ id }, subscriptions);
    for (const { record, key, payload } of this.#store.read('r')) {
      this.#retained.set(record.topic, key);
      await this.#memory.storeRetained({ ...record, payload });
    }
    for (const { record, key, payload } of this.#store.read('w')) {
      this.#wills.set(record.clientId, { key, packet: { ...record, payload } });
    }
    this.#store.opened();
  }

  // ------------------------------------------------------------------ what Aedes does not ask

  /** Resolves when all changes made until now would survive a power cut; undefined: they would. Never rejects. */
  flushed(): Promise<void> | undefined {
    return this.#store.flushed();
  }

  /** A QoS 2 publish of a client is kept for those who get it: from now on it counts as received. Were that noted
   *  before, a crash in between would lose it, for the client's second try would be taken for a repetition. */
  incomingPublished(clientId: string, messageId: number): void {
    this.#sessions.receivedForGood(clientId, messageId);
  }

  /** Each session, and since when its client is away, in milliseconds of the wall clock; undefined: it was there when the
   *  node ended. */
  storedSessions(): { readonly id: string; readonly offlineSinceMs: number | undefined }[] {
    return [...this.#sessions.all()];
  }

  /** A client came (undefined) or went.
   *  @returns false: nothing is kept for it */
  noteSession(id: string, offlineSinceMs: number | undefined): boolean {
    return this.#sessions.note(id, offlineSinceMs);
  }

  /** What is in flight towards a client, in the order in which it is sent again. */
  inFlight(clientId: string): StoredPacket[] {
    return this.#sessions.outgoing(clientId).filter(({ messageId }) => messageId !== undefined);
  }

  /** By what a client takes entries of the node's queues, which the broker knows nothing of. */
  takes(clientId: string): readonly Subscription[] {
    return this.#sessions.takes(clientId);
  }

  setTakes(clientId: string, takes: readonly Subscription[]): void {
    this.#sessions.setTakes(clientId, takes);
    this.#store.flushed();
  }

  /** Writes what can be written, and closes the store. */
  close(): Promise<void> {
    return this.#store.close();
  }

  // ------------------------------------------------------------------ life

  get broker(): unknown {
    return this.#broker;
  }

  async setup(broker: Client): Promise<void> {
    this.#broker = broker;
  }

  destroy(): Promise<void> {
    return this.close();
  }

  // ------------------------------------------------------------------ retained messages

  async storeRetained(packet: RetainedPacket): Promise<void> {
    // What the broker tells about itself changes every few seconds, and says nothing after a restart: it would only wear
    // out an SD card.
    if (!packet.topic.startsWith(BROKER_ROOT)) this.#keepRetained(packet);
    await this.#memory.storeRetained(packet);
  }

  #keepRetained(packet: RetainedPacket): void {
    const { topic, payload } = packet;
    const before = this.#retained.get(topic);
    if (payload.length > 0) {
      const key = before ?? this.#store.newKey('r');
      const kept = { ...packet };
      this.#retained.set(topic, key);
      this.#store.put(key, () => encodePacket(kept), before === undefined);
    } else if (before !== undefined) {
      this.#retained.delete(topic);
      this.#store.remove(before);
    }
  }

  createRetainedStream(pattern: string): Readable {
    return this.#memory.createRetainedStream(pattern);
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    return this.#memory.createRetainedStreamCombi(patterns);
  }

  // ------------------------------------------------------------------ subscriptions

  async addSubscriptions(client: Client, subscriptions: readonly Subscription[]): Promise<void> {
    this.#sessions.subscribe(client.id, subscriptions);
    await this.#memory.addSubscriptions(client, subscriptions);
    // The SUBACK waits, but a client that wants to hear something now is not kept from it by a disk in trouble.
    await this.#store.attempted();
  }

  async removeSubscriptions(client: Client, filters: readonly string[]): Promise<void> {
    this.#sessions.unsubscribe(client.id, filters);
    await this.#memory.removeSubscriptions(client, filters);
    await this.#store.attempted();
  }

  async cleanSubscriptions(client: Client): Promise<void> {
    this.#sessions.unsubscribe(client.id);
    await this.#memory.cleanSubscriptions(client);
  }

  subscriptionsByClient(client: Client): Promise<Subscription[]> {
    return this.#memory.subscriptionsByClient(client);
  }

  subscriptionsByTopic(topic: string): Promise<(Subscription & { clientId: string })[]> {
    return this.#memory.subscriptionsByTopic(topic);
  }

  countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return this.#memory.countOffline();
  }

  getClientList(topic: string): Readable {
    return this.#memory.getClientList(topic);
  }

  // ------------------------------------------------------------------ messages to clients

  async outgoingEnqueue({ clientId }: { readonly clientId: string }, packet: StoredPacket): Promise<void> {
    this.#sessions.enqueue(clientId, asQueued(packet));
  }

  async outgoingEnqueueCombi(subscriptions: readonly { clientId: string }[], packet: StoredPacket): Promise<void> {
    for (const { clientId } of subscriptions) this.#sessions.enqueue(clientId, asQueued(packet));
  }

  async outgoingUpdate(client: Client, packet: StoredPacket): Promise<void> {
    if (!this.#sessions.update(client.id, packet)) throw new Error('no such packet');
    if (packet.qos === 2 || packet.cmd === 'pubrel') await this.flushed();
  }

  async outgoingClearMessageId(client: Client, { messageId }: StoredPacket): Promise<StoredPacket | undefined> {
    return this.#sessions.clear(client.id, messageId);
  }

  outgoingStream(client: Client): Readable {
    return Readable.from(this.#sessions.outgoing(client.id));
  }

  // ------------------------------------------------------------------ messages from clients, at QoS 2

  async incomingStorePacket(client: Client, packet: StoredPacket & WithId): Promise<void> {
    const { messageId } = packet;
    this.#sessions.received(client.id, messageId, { ...asQueued(packet), messageId });
  }

  async incomingGetPacket(client: Client, { messageId }: WithId): Promise<StoredPacket> {
    const found = this.#sessions.incoming(client.id, messageId);
    if (!found) throw new Error('no such packet');
    return found;
  }

  async incomingDelPacket(client: Client, { messageId }: WithId): Promise<void> {
    if (!this.#sessions.released(client.id, messageId)) throw new Error('no such packet');
  }

  async cleanIncoming(client: Client): Promise<void> {
    this.#sessions.forgetIncoming(client.id);
  }

  // ------------------------------------------------------------------ last wills

  async putWill(client: Client, packet: StoredPacket): Promise<void> {
    packet.clientId = client.id;
    packet.brokerId = this.#broker?.id;
    const before = this.#wills.get(client.id)?.key;
    const key = before ?? this.#store.newKey('w');
    this.#wills.set(client.id, { key, packet });
    this.#store.put(key, () => encodePacket(packet), before === undefined);
  }

  async getWill(client: Client): Promise<StoredPacket | undefined> {
    return this.#wills.get(client.id)?.packet;
  }

  async delWill(client: Client): Promise<StoredPacket | undefined> {
    const will = this.#wills.get(client.id);
    if (!will) return undefined;
    this.#wills.delete(client.id);
    this.#store.remove(will.key);
    return will.packet;
  }

  /** Of clients whose broker is none of these: of one that was killed, they go out later [MQTT-3.1.2-8]. */
  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    const wills = [...this.#wills.values()].map(({ packet }) => packet);
    return Readable.from(wills.filter(({ brokerId = '' }) => !brokers[brokerId]));
  }
}

/** A copy as aedes-packet makes it: what is queued has no packet id yet. */
function asQueued(packet: StoredPacket): StoredPacket {
  const { cmd = 'publish', topic = '', payload = Buffer.alloc(0), qos = 0, retain = false, dup = false } = packet;
  const { brokerId, brokerCounter = 0, clientId } = packet;
  return {
    ...(clientId === undefined ? {} : { clientId }),
    ...{ cmd, brokerId, brokerCounter, topic, payload, qos, retain, dup },
    ...(qos > 0 ? { messageId: undefined } : {}),
  };
}

function newMemory(): Memory {
  const factory: unknown = aedesPersistence;
  const made: unknown = typeof factory === 'function' ? factory() : undefined;
  if (!isMemory(made)) throw new Error('aedes-persistence: expected a function that makes a persistence');
  return made;
}

function isMemory(value: unknown): value is Memory {
  return hasMethods(
    value,
    ...['storeRetained', 'createRetainedStream', 'createRetainedStreamCombi', 'addSubscriptions'],
    ...['removeSubscriptions', 'cleanSubscriptions', 'subscriptionsByClient', 'subscriptionsByTopic'],
    ...['countOffline', 'getClientList'],
  );
}

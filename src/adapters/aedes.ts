import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Aedes, AuthenticateError, Client, PublishPacket } from 'aedes';
import { LIMITS } from '../core/limits.js';
import type { Clock, Logger } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { NOWHERE_ROOT } from '../core/topics.js';
import { WORKER_TOKEN_PREFIX } from '../core/worker-token.js';
import { Channel, type Identity } from '../transport/channel.js';
import { CONNACK_CODE } from '../transport/encode.js';
import type { Qos } from '../transport/packet-type.js';
import type { Subscription } from '../transport/subscribe-packet.js';
import { guardDelivery } from './aedes-delivery.js';
import { Hearing } from './aedes-hearing.js';
import { RetainedCount } from './aedes-retained.js';
import { BrokerStorage } from './aedes-storage.js';

/** Turns that closing clients get for their last wills. */
const CLOSING_TURNS_MAX = 100;

const BYPASS_ADVICE =
  'dropped: this connection does not pass the node. Attach before you create servers, or use createServer(node.handle)';

/** Where a publish goes that must reach nobody: a topic no wildcard matches and no client may hold. */
const NOWHERE = `${NOWHERE_ROOT}dropped`;

/** What the adapter needs from the transport. */
export interface AedesHost {
  open(stream: Duplex, request: IncomingMessage | undefined): Channel | undefined;
  /** Undefined: not a token of a running generation. */
  identify(username: string, token: string): Identity | undefined;
  mayHold(channel: Channel, filter: string): boolean;
  isOurs(topic: string): boolean;
  /** True: the broker may publish it. */
  will(channel: Channel, topic: string, payload: Buffer, qos: Qos): boolean;
  /** Something went missing, for a client or for all; only counted when it comes too often. */
  event(type: string, data: Record<string, unknown>): boolean;
  /** The broker keeps nothing for this client any more. */
  sessionForgotten(clientId: string): void;
}

export interface AedesAdapterParts {
  readonly broker: Aedes;
  readonly host: AedesHost;
  readonly log: Logger;
  readonly clock: Clock;
  /** How long a stored session outlives its connection. 0: for ever. */
  readonly sessionExpiryMs: number;
}

export interface OutgoingMessage {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  /** A live copy or a line of output: may be dropped when the broker is behind. */
  readonly live?: boolean;
}

/** The one place that knows Aedes: its hooks are wrapped, the host's called first, and put back by `detach`. */
export class AedesAdapter {
  readonly #broker: Aedes;
  readonly #log: Logger;
  readonly #host: AedesHost;
  readonly #undo: Array<() => void> = [];
  /** What the host's rules made of a filter that the channel asked about before the broker does. */
  readonly #approved = new WeakMap<Channel, Map<string, Subscription>>();
  readonly #clients = new Map<Channel, Client>();
  readonly #hearing: Hearing;
  readonly #storage: BrokerStorage;
  #attached = false;
  #liveBytes = 0;
  #liveWaiters: Array<() => void> = [];

  constructor({ broker, host, log, clock, sessionExpiryMs }: AedesAdapterParts) {
    this.#broker = broker;
    this.#hearing = new Hearing(broker);
    this.#host = host;
    this.#log = log;
    this.#storage = new BrokerStorage({
      ...{ broker, clock, log, sessionExpiryMs },
      notKept: (clientId, counter) => this.#notKept(clientId, counter),
      sessionDropped: (client_id, why, messages) => {
        host.sessionForgotten(client_id);
        host.event('session_dropped', { client_id, why, messages });
      },
    });
  }

  attach(): void {
    this.#attached = true;
    this.#wrapConnect();
    this.#wrapSubscribe();
    this.#wrapPublish();
    this.#listen();
    this.#undo.push(this.#storage.start(), this.#hearing.start());
    this.#unboundEmitter();
  }

  /** Puts every hook back as it was, in reverse order. Call it in the turn in which the channels were closed: their
   *  last wills still pass the hooks. */
  async detach(): Promise<void> {
    const closing = [...this.#clients.values()];
    for (let turn = 0; turn < CLOSING_TURNS_MAX && closing.some(hasWill); turn++) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#attached = false;
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }

  /** Takes over a fresh connection. Before `attach` and after `detach` it is the broker's alone. */
  handle(stream: Duplex, request: IncomingMessage | undefined): void {
    if (!this.#attached) {
      this.#broker.handle(stream, request);
      return;
    }
    const channel = this.#host.open(stream, request);
    if (!channel) return;
    const client = this.#broker.handle(channel, request);
    this.#clients.set(channel, client);
    channel.once('close', () => this.#clients.delete(channel));
    const slow = (one: Channel) => this.#host.event('slow_client', { client_id: one.clientId });
    if (!guardDelivery(client, channel, (topic) => this.#host.isOurs(topic), slow)) {
      this.#log.error({}, 'this Aedes is not one we know: packet ids and deliveries are its own');
    }
  }

  /** Tells the broker's clients. After `detach` the node has no voice any more. */
  publish({ topic, payload, qos, retain, live }: OutgoingMessage): void {
    if (!this.#attached) return;
    if (live && this.#liveBytes > LIMITS.liveBytesMax) {
      this.#host.event('live_dropped', { topic });
      return;
    }
    // Most tasks are fetched from, and nobody listens: then there is nothing to tell, and nothing that keeps it.
    if (live && !retain && !this.#hearing.isHeard(topic) && (qos === 0 || !this.#hearing.isKept(topic))) return;
    const bytes = Buffer.from(payload);
    const cost = live ? bytes.length + LIMITS.liveOverheadBytes : 0;
    this.#liveBytes += cost;
    this.#broker.publish({ cmd: 'publish', topic, payload: bytes, qos, retain, dup: false }, (error) => {
      this.#liveBytes -= cost;
      if (this.#liveBytes <= LIMITS.liveSoftBytes / 2) this.#wakeLive();
      if (error) this.#log.warn({ err: error, topic }, 'the broker did not take a message of the node');
    });
  }

  /** Whether a message to this topic would reach anybody now. */
  isHeard(topic: string): boolean {
    return this.#attached && this.#hearing.isHeard(topic);
  }

  /** A promise while the broker is behind with live copies, for sources that can wait: until it has caught up. */
  liveRoom(): undefined | Promise<void> {
    if (this.#liveBytes <= LIMITS.liveSoftBytes) return undefined;
    return new Promise((resolve) => this.#liveWaiters.push(resolve));
  }

  /** Asks the host whether a client may hold a filter, before the broker stores anything of it. */
  authorizeSubscribe(channel: Channel, subscription: Subscription): Promise<boolean> | boolean {
    const client = this.#clients.get(channel);
    if (!client) return false;
    const wanted = { topic: subscription.filter, qos: subscription.qos };
    let answer: boolean | undefined;
    let resolve: (allowed: boolean) => void = (allowed) => {
      answer = allowed;
    };
    this.#hostAuthorizeSubscribe.call(this.#broker, client, wanted, (error, granted) => {
      const allowed = !error && granted !== null && granted !== undefined;
      if (allowed) {
        const approved = this.#approved.get(channel) ?? new Map<string, Subscription>();
        approved.set(subscription.filter, { filter: granted.topic, qos: subscription.qos });
        this.#approved.set(channel, approved);
      }
      resolve(allowed);
    });
    if (answer !== undefined) return answer;
    return new Promise((settle) => {
      resolve = settle;
    });
  }

  #wakeLive(): void {
    const waiters = this.#liveWaiters;
    if (waiters.length === 0) return;
    this.#liveWaiters = [];
    for (const resume of waiters) resume();
  }

  pinged(channel: Channel): void {
    const client = this.#clients.get(channel);
    if (client && this.#broker.listenerCount('ping') > 0) this.#broker.emit('ping', { cmd: 'pingreq' }, client);
  }

  get sessionsAway(): number {
    return this.#storage.sessionsAway;
  }

  countRetained(): RetainedCount {
    return new RetainedCount(this.#broker);
  }

  takesChanged(channel: Channel): void {
    if (this.#attached) this.#storage.takesChanged(channel);
  }

  /** Topics of retained messages that match a filter. */
  async retainedTopics(filter: string): Promise<string[]> {
    const topics: string[] = [];
    const persistence: unknown = Reflect.get(this.#broker, 'persistence');
    if (!hasRetainedStream(persistence)) return topics;
    for await (const packet of persistence.createRetainedStreamCombi([filter])) topics.push(packet.topic);
    return topics;
  }

  #hostAuthorizeSubscribe: Aedes['authorizeSubscribe'] = (_client, subscription, done) => done(null, subscription);

  /** Aedes lets so many deliveries wait at once, whoever they are for, and queues the rest: one peer that does not read
   *  held up all others, and the queue, worked off by recursion, could end the process. Without that bound a peer holds
   *  up its own publishers alone, and those for as long as `Outbound` lets it. */
  #unboundEmitter(): void {
    const emitter: unknown = Reflect.get(this.#broker, 'mq');
    if (!isRecord(emitter) || typeof emitter.concurrency !== 'number') return;
    const { concurrency } = emitter;
    emitter.concurrency = 0;
    this.#undo.push(() => {
      emitter.concurrency = concurrency;
    });
  }

  #wrapConnect(): void {
    const broker = this.#broker;
    const { preConnect, authenticate } = broker;
    this.#replace('preConnect', (client, packet, done) => {
      preConnect.call(broker, client, packet, (error, success) => {
        // One clock judges all silences, ours. With a limit of its own the host keeps Aedes' timers.
        const channel = channelOf(client);
        if (channel && !Reflect.get(broker, 'keepaliveLimit')) packet.keepalive = 0;
        if (channel && !packet.clean) this.#storage.connecting(channel, packet.clientId);
        done(error, success);
      });
    });
    this.#replace('authenticate', (client, username, password, done) => {
      const channel = channelOf(client);
      const token = password?.toString() ?? '';
      if (!channel || !token.startsWith(WORKER_TOKEN_PREFIX)) {
        authenticate.call(broker, client, username, password, done);
        return;
      }
      const identity = this.#host.identify(username ?? '', token);
      if (identity) {
        channel.identity = identity;
        done(null, true);
      } else {
        done(badCredentials(), null);
      }
    });
  }

  #wrapSubscribe(): void {
    const broker = this.#broker;
    const { authorizeSubscribe, authorizeForward } = broker;
    this.#hostAuthorizeSubscribe = authorizeSubscribe;
    this.#replace('authorizeSubscribe', (client, subscription, done) => {
      const channel = channelOf(client);
      if (!channel) {
        if (subscription.topic.startsWith(NOWHERE_ROOT)) done(null, null);
        else authorizeSubscribe.call(broker, client, subscription, done);
        return;
      }
      const approved = this.#approved.get(channel)?.get(subscription.topic);
      if (approved) {
        this.#approved.get(channel)?.delete(subscription.topic);
        channel.heardLive.clear();
        channel.subscriptions.add(approved.filter, subscription.qos);
        done(null, { ...subscription, topic: approved.filter });
        return;
      }
      // A stored session is being restored, or the host subscribes in the client's name.
      if (!this.#host.mayHold(channel, subscription.topic)) {
        done(null, null);
        return;
      }
      authorizeSubscribe.call(broker, client, subscription, (error, granted) => {
        if (!error && granted) channel.subscriptions.add(granted.topic, granted.qos);
        done(error, granted);
      });
    });
    this.#replace('authorizeForward', (client, packet) => {
      const channel = channelOf(client);
      // What a stored session kept for a filter that is refused today stays behind.
      if (channel?.phase === 'accepted' && channel.subscriptions.maxQos(packet.topic) < 0) return null;
      return authorizeForward.call(broker, client, packet);
    });
  }

  #wrapPublish(): void {
    const broker = this.#broker;
    const { authorizePublish } = broker;
    this.#replace('authorizePublish', (client, packet, done) => {
      const channel = client ? channelOf(client) : undefined;
      // A connection that is over publishes nothing but its last will, and its will is published by no other.
      const isWill = channel ? client?.closed === true || 'brokerId' in packet : client === null;
      const decided: typeof done = (error) => {
        if (error || !channel || isWill) done(error);
        else this.#storage.admit(channel, packet, () => done(null));
      };
      if (!this.#mayPublish(client, channel, packet, isWill)) {
        drop(packet);
        decided(null);
      } else {
        authorizePublish.call(broker, client, packet, decided);
      }
    });
  }

  #mayPublish(client: Client | null, channel: Channel | undefined, packet: PublishPacket, isWill: boolean): boolean {
    const { topic, payload, qos } = packet;
    // After a jump of the wall clock Aedes takes itself for dead, and publishes the wills of connected clients.
    if (isWill && client && !client.closed) return false;
    // Aedes ends with an error where a stored will is refused.
    if (isWill && topic.startsWith('$')) return false;
    if (isWill && channel) return this.#host.will(channel, topic, Buffer.from(payload), qos);
    if (!this.#host.isOurs(topic)) return true;
    if (!isWill && this.#host.event('bypassed', { client_id: client?.id, topic: topic.slice(0, 200) })) {
      this.#log.warn({ client_id: client?.id, topic: topic.slice(0, 200) }, BYPASS_ADVICE);
    }
    return false;
  }

  /** The session holds its limit of messages. */
  #notKept(clientId: string, counter: number | undefined): void {
    const clients: unknown = Reflect.get(this.#broker, 'clients');
    const client: unknown = isRecord(clients) ? clients[clientId] : undefined;
    const channel = isRecord(client) && client.conn instanceof Channel ? client.conn : undefined;
    if (channel && counter !== undefined) channel.missed.add(counter);
    this.#host.event('session_full', { client_id: clientId });
  }

  #listen(): void {
    this.#on('connackSent', (_packet: unknown, client: Client) => {
      const channel = channelOf(client);
      // Aedes marks the client as connected right after this event, and only then takes further packets.
      if (channel) process.nextTick(() => channel.resumeAfterConnack());
    });
    this.#on('clientReady', (client: Client) => channelOf(client)?.becomeReady());
    this.#on('unsubscribe', (filters: string[], client: Client) => {
      for (const filter of filters) channelOf(client)?.subscriptions.remove(filter);
    });
  }

  #on(event: string, listener: Parameters<Aedes['addListener']>[1]): void {
    this.#broker.addListener(event, listener);
    this.#undo.push(() => this.#broker.removeListener(event, listener));
  }

  #replace<H extends HookName>(name: H, hook: Aedes[H]): void {
    const before: Aedes[H] = this.#broker[name];
    this.#broker[name] = hook;
    this.#undo.push(() => {
      // Somebody wrapped us in turn: taking the whole chain apart is not ours.
      if (this.#broker[name] === hook) this.#broker[name] = before;
    });
  }
}

type HookName = 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward';

function channelOf(client: Client | null): Channel | undefined {
  return client?.conn instanceof Channel ? client.conn : undefined;
}

/** Aedes forgets a will once it has published it. */
function hasWill(client: Client): boolean {
  return Boolean(Reflect.get(client, 'will'));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function badCredentials(): AuthenticateError {
  return Object.assign(new Error('a token of no running worker'), { returnCode: CONNACK_CODE.badCredentials });
}

function drop(packet: PublishPacket): void {
  packet.topic = NOWHERE;
  packet.payload = Buffer.alloc(0);
  packet.retain = false;
}

function hasRetainedStream(
  value: unknown,
): value is { createRetainedStreamCombi(filters: string[]): AsyncIterable<{ topic: string }> } {
  return hasMethods(value, 'createRetainedStreamCombi');
}

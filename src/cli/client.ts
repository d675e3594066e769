import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { shownUrl } from '../core/address.js';
import { withoutDelay } from '../core/shape.js';
import { Topics } from '../core/topics.js';
import { asFailure, EXIT, Failure, interruption } from './failure.js';

/** Where the node is and who we are. */
export interface NodeAddress {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly prefix: string;
  readonly timeoutMs: number;
}

/** What the node answers (docs/protocol.md, replies). */
export interface Envelope {
  readonly status: 'ok' | 'error';
  readonly data?: unknown;
  readonly error?: string;
  readonly code?: string;
  readonly transaction?: unknown;
}

export interface RequestOptions {
  /** Longest wait for the reply, and for each further one. */
  readonly timeoutMs?: number;
  /** What it means when that is over. Default: exit code 3. */
  readonly late?: () => Failure;
  /** Runs before a reply that is no error is acknowledged: a fetch settles its entries only once they are written out. */
  readonly accept?: (envelope: Envelope) => Promise<void>;
  /** Whether a further reply follows this one. Nothing follows an error. */
  readonly continues?: (envelope: Envelope) => boolean;
}

/** Takes one message; its acknowledgement waits for the promise. */
export type Listener = (topic: string, payload: Buffer, retained: boolean) => Promise<void>;

interface Pending {
  /** Takes a reply; gives what is to happen once it is acknowledged. */
  readonly accept: (envelope: Envelope) => Promise<() => void>;
  readonly reject: (failure: Failure) => void;
}

type Reject = (failure: Failure) => void;

/** One connection of the command line to a node. Not resumed: when it is lost, the command ends. */
export class NodeClient {
  readonly topics: Topics;
  /** Rejects when the connection is lost or the user interrupts. */
  readonly ended: Promise<never>;
  readonly #address: NodeAddress;
  readonly #client: MqttClient;
  readonly #replyTo: string;
  readonly #pending = new Map<string, Pending>();
  /** Ends of what lasts no longer than the connection. */
  readonly #rejections = new Set<Reject>();
  /** Those of puts that are not acknowledged yet. */
  readonly #puts = new Set<Reject>();
  #listener: Listener | undefined;
  #failure: Failure | undefined;
  #reject: (failure: Failure) => void = nothing;

  constructor(client: MqttClient, address: NodeAddress) {
    this.topics = new Topics(address.prefix);
    this.#client = client;
    this.#address = address;
    this.#replyTo = `${this.topics.reply}/${randomId()}`;
    this.ended = new Promise((_, reject) => {
      this.#reject = reject;
    });
  }

  /** Begins to listen for replies. */
  async start(interrupted: AbortSignal): Promise<void> {
    this.ended.catch(nothing);
    this.#client.handleMessage = ({ topic, payload, retain }, done) => {
      this.#take(topic, Buffer.from(payload), retain).then(
        (acknowledged) => {
          done();
          acknowledged();
        },
        // What could not be written out is not acknowledged.
        (thrown) => this.#fail(asFailure(thrown)),
      );
    };
    this.#client.on('close', () => this.#fail(lost(this.#address)));
    interrupted.addEventListener('abort', () => this.#fail(interruption(interrupted)), { once: true });
    if (interrupted.aborted) this.#fail(interruption(interrupted));
    await this.#subscribe([this.topics.reply, this.#replyTo], 1);
  }

  /** Sends a JSON request and gives the envelope of its answer; of several replies the last one.
   *  @throws Failure with exit code 1 for an error reply, 3 for none in time */
  request(topic: string, body: object, options: RequestOptions = {}): Promise<Envelope> {
    const transaction = randomId();
    const payload = JSON.stringify({ ...body, transaction, reply_to: this.#replyTo });
    return this.#send(topic, payload, transaction, options);
  }

  /** Sends bytes as they are; the answer is the next one that names no transaction. */
  requestRaw(topic: string, payload: Buffer, options: RequestOptions = {}): Promise<Envelope> {
    return this.#send(topic, payload, '', options);
  }

  /** Gives every message that matches to the listener. One per connection. */
  async listen(filter: string, listener: Listener): Promise<void> {
    this.#listener = listener;
    await this.#subscribe([filter], 0);
  }

  /** What is retained on a topic. Takes the place of a listener.
   *  @throws Failure with exit code 3 when nothing comes in time */
  async retained(topic: string): Promise<Buffer> {
    const { timeoutMs } = this.#address;
    let timer: NodeJS.Timeout | undefined;
    const message = new Promise<Buffer>((resolve, reject) => {
      timer = setTimeout(() => reject(noAnswer(this.#address, topic, timeoutMs)), timeoutMs);
      this.listen(topic, async (_topic, payload) => resolve(payload)).catch(reject);
    });
    return this.within(message).finally(() => clearTimeout(timer));
  }

  /** Publishes at QoS 1 and waits for the acknowledgement, however long that takes: a put may wait for room.
   *  @throws Failure with exit code 1 when the node refuses it; whether others on their way are refused as well is not
   *  told, so all of them fail */
  put(topic: string, payload: Buffer): Promise<void> {
    let reject: Reject = nothing;
    const acknowledged = new Promise<void>((resolve, refuse) => {
      reject = refuse;
      this.#client.publish(topic, payload, { qos: 1 }, (error) => (error ? refuse(lost(this.#address)) : resolve()));
    });
    this.#puts.add(reject);
    return this.within(acknowledged).finally(() => this.#puts.delete(reject));
  }

  /** The same promise, but no longer than the connection lasts. Without `Promise.race`: each race would stay tied to
   *  `ended`, with what it gave.
   *  @throws Failure as `ended` */
  within<T>(work: Promise<T>): Promise<T> {
    let end: Reject = nothing;
    const bounded = new Promise<T>((resolve, reject) => {
      end = reject;
      if (this.#failure) reject(this.#failure);
      work.then(resolve, reject);
    });
    this.#rejections.add(end);
    return bounded.finally(() => this.#rejections.delete(end));
  }

  /** Says goodbye; idempotent. */
  async close(): Promise<void> {
    this.#failure ??= lost(this.#address);
    if (this.#client.connected && this.#pending.size === 0) {
      await Promise.race([this.#client.endAsync(), pause(GOODBYE_MS, undefined, { ref: false })]);
    }
    this.#client.end(true);
    this.#client.stream?.destroy();
  }

  async #send(topic: string, payload: string | Buffer, key: string, options: RequestOptions): Promise<Envelope> {
    if (this.#failure) throw this.#failure;
    const timeoutMs = options.timeoutMs ?? this.#address.timeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<Envelope>((resolve, reject) => {
      const expire = () => reject(options.late?.() ?? noAnswer(this.#address, topic, timeoutMs));
      const accept = async (envelope: Envelope) => {
        clearTimeout(timer);
        if (envelope.status === 'ok') await options.accept?.(envelope);
        if (envelope.status === 'error' || !options.continues?.(envelope)) return () => resolve(envelope);
        if (this.#pending.has(key)) timer = setTimeout(expire, timeoutMs);
        return nothing;
      };
      this.#pending.set(key, { accept, reject });
      timer = setTimeout(expire, timeoutMs);
    });
    try {
      this.#client.publish(topic, payload, { qos: 1 });
      return await answer;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(key);
    }
  }

  async #take(topic: string, payload: Buffer, retained: boolean): Promise<() => void> {
    if (this.topics.isReply(topic)) {
      const envelope = envelopeOf(payload);
      if (this.#refusesPuts(envelope)) return nothing;
      return (await this.#pendingFor(envelope)?.accept(envelope)) ?? nothing;
    }
    await this.#listener?.(topic, payload, retained);
    return nothing;
  }

  /** A refusal of the channel itself names no transaction; with one request under way it is clear whose it is. */
  #pendingFor({ transaction }: Envelope): Pending | undefined {
    if (typeof transaction === 'string') return this.#pending.get(transaction);
    return this.#pending.get('') ?? (this.#pending.size === 1 ? [...this.#pending.values()][0] : undefined);
  }

  /** A refused put is acknowledged like any other; that it was refused comes before that, and names no transaction. */
  #refusesPuts({ status, transaction, error = 'refused', code }: Envelope): boolean {
    if (status === 'ok' || transaction !== undefined || this.#puts.size === 0) return false;
    const failure = new Failure(EXIT.refused, error, { code });
    for (const reject of this.#puts) reject(failure);
    return true;
  }

  async #subscribe(filters: string[], qos: 0 | 1): Promise<void> {
    const refused = new Failure(EXIT.refused, `expected to be allowed to subscribe to ${filters[0]}, got a refusal`);
    const granted = this.#client.subscribeAsync(filters, { qos }).catch(() => {
      throw this.#failure ?? refused;
    });
    await Promise.race([granted, this.ended]);
  }

  #fail(failure: Failure): void {
    if (this.#failure) return;
    this.#failure = failure;
    for (const { reject } of this.#pending.values()) reject(failure);
    for (const reject of this.#rejections) reject(failure);
    this.#reject(failure);
  }
}

const GOODBYE_MS = 500;
const KEEPALIVE_S = 30;

/** Connects to a node.
 *  @throws Failure with exit code 2 for a URL that is none, 3 when nobody is there or the node refuses us */
export async function connectNode(address: NodeAddress, interrupted: AbortSignal): Promise<NodeClient> {
  const url = checkedUrl(address.url);
  const { connect } = await import('mqtt');
  const mqtt = connect(url.href, {
    protocolVersion: 4,
    clientId: `super-node-cli-${process.pid}-${randomId()}`,
    keepalive: KEEPALIVE_S,
    reconnectPeriod: 0,
    connectTimeout: address.timeoutMs,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
  });
  const client = new NodeClient(mqtt, address);
  try {
    await connected(mqtt, address, interrupted);
    withoutDelay(mqtt.stream);
    await client.start(interrupted);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

function connected(mqtt: MqttClient, address: NodeAddress, interrupted: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string) =>
      reject(new Failure(EXIT.unreachable, `cannot connect to ${shownUrl(address.url)}: ${why}`));
    mqtt.once('connect', () => resolve());
    mqtt.on('error', (error) => refuse(reasonOf(error)));
    mqtt.once('close', () => refuse('the connection was closed'));
    interrupted.addEventListener('abort', () => reject(interruption(interrupted)), { once: true });
  });
}

/** CONNACK return codes [MQTT-3.2.2-3] and socket errors, in words. */
function reasonOf(error: Error & { code?: unknown }): string {
  if (error.code === 4) return 'the node does not accept this user name and password';
  if (error.code === 5) return 'the node does not allow this connection';
  if (error.code === 'ECONNREFUSED') return 'nobody listens there (ECONNREFUSED); is the node running?';
  if (error.code === 'ENOTFOUND') return 'the host name is not known (ENOTFOUND)';
  return error.message || String(error.code);
}

function lost(address: NodeAddress): Failure {
  return new Failure(EXIT.unreachable, `the connection to ${shownUrl(address.url)} was lost`);
}

function noAnswer(address: NodeAddress, topic: string, timeoutMs: number): Failure {
  const advice = address.prefix ? '' : ' (a node with a topic prefix needs --prefix)';
  return new Failure(
    EXIT.unreachable,
    `${shownUrl(address.url)} did not answer on ${topic} within ${timeoutMs} ms${advice}`,
  );
}

function checkedUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['mqtt:', 'mqtts:', 'ws:', 'wss:'].includes(url.protocol) || !url.hostname) {
    throw new Failure(
      EXIT.usage,
      `--url: expected mqtt://, mqtts://, ws:// or wss:// and a host, got ${shownUrl(text)}`,
    );
  }
  if (url.protocol.startsWith('ws') && url.pathname === '/') url.pathname = '/mqtt';
  return url;
}

function envelopeOf(payload: Buffer): Envelope {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    if (typeof value === 'object' && value !== null && 'status' in value) {
      const { status, data, error, code, transaction } = { ...value } as Partial<Record<keyof Envelope, unknown>>;
      return {
        status: status === 'ok' ? 'ok' : 'error',
        data,
        ...(typeof error === 'string' ? { error } : {}),
        ...(typeof code === 'string' ? { code } : {}),
        ...(transaction === undefined ? {} : { transaction }),
      };
    }
  } catch (error) {
    return {
      status: 'error',
      error: `expected a reply in JSON, got none (${error instanceof Error ? error.message : ''})`,
    };
  }
  return { status: 'error', error: 'expected a reply with a status, got none' };
}

function nothing(): void {
  // Nobody waits for this.
}

function randomId(): string {
  return randomBytes(6).toString('hex');
}

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { withoutDelay } from '../core/shape.js';
import { Topics } from '../core/topics.js';
import { readEnvelope } from './envelope.js';
import { asFailure, EXIT, Failure, interruption } from './failure.js';
import { Lifetime } from './lifetime.js';
import type { Envelope, Listener, NodeAddress, NodeClient, RequestOptions } from './node-client.js';
import { fieldsOf, numberOf } from './reply-data.js';
import { cannotConnect, lost, noAnswer, socketReason, WRONG_PASSWORD } from './unreachable.js';

interface Pending {
  /** Takes a reply; gives what is to happen once it is acknowledged. */
  readonly accept: (envelope: Envelope) => Promise<() => void>;
  readonly reject: (failure: Failure) => void;
}

type Reject = (failure: Failure) => void;

/** The command line as a client of MQTT 3.1.1. */
class MqttNodeClient implements NodeClient {
  readonly topics: Topics;
  readonly keepsOrder = true;
  readonly #address: NodeAddress;
  readonly #client: MqttClient;
  readonly #replyTo: string;
  readonly #pending = new Map<string, Pending>();
  readonly #lifetime = new Lifetime();
  /** Those of puts that are not acknowledged yet. */
  readonly #puts = new Set<Reject>();
  #listener: Listener | undefined;

  constructor(client: MqttClient, address: NodeAddress) {
    this.topics = new Topics(address.prefix);
    this.#client = client;
    this.#address = address;
    this.#replyTo = `${this.topics.reply}/${randomId()}`;
  }

  get ended(): Promise<never> {
    return this.#lifetime.ended;
  }

  /** Begins to listen for replies. */
  async start(interrupted: AbortSignal): Promise<void> {
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

  request(topic: string, body: object, options: RequestOptions = {}): Promise<Envelope> {
    const transaction = randomId();
    const payload = JSON.stringify({ ...body, transaction, reply_to: this.#replyTo });
    return this.#send(topic, payload, transaction, options);
  }

  /** The answer is the next one that names no transaction. */
  requestRaw(topic: string, payload: Buffer, options: RequestOptions = {}): Promise<Envelope> {
    return this.#send(topic, payload, '', options);
  }

  async listen(filter: string, listener: Listener): Promise<void> {
    this.#listener = listener;
    await this.#subscribe([filter], 0);
  }

  /** `m/info` is retained. Takes the place of a listener.
   *  @throws Failure with exit code 3 when nothing comes in time */
  async packetBytesMax(): Promise<number | undefined> {
    const { timeoutMs } = this.#address;
    let timer: NodeJS.Timeout | undefined;
    const message = new Promise<Buffer>((resolve, reject) => {
      timer = setTimeout(() => reject(this.#noAnswer(this.topics.info, timeoutMs)), timeoutMs);
      this.listen(this.topics.info, async (_topic, payload) => resolve(payload)).catch(reject);
    });
    const info = await this.within(message).finally(() => clearTimeout(timer));
    return numberOf(fieldsOf(fieldsOf(JSON.parse(info.toString('utf8'))).limits).packet_bytes);
  }

  /** Publishes at QoS 1. Whether others on their way are refused as well as one is not told, so all of them fail. */
  put(topic: string, payload: Buffer): Promise<void> {
    let reject: Reject = nothing;
    const acknowledged = new Promise<void>((resolve, refuse) => {
      reject = refuse;
      this.#client.publish(topic, payload, { qos: 1 }, (error) => (error ? refuse(lost(this.#address)) : resolve()));
    });
    this.#puts.add(reject);
    return this.within(acknowledged).finally(() => this.#puts.delete(reject));
  }

  within<T>(work: Promise<T>): Promise<T> {
    return this.#lifetime.within(work);
  }

  async close(): Promise<void> {
    this.#lifetime.close(lost(this.#address));
    if (this.#client.connected && this.#pending.size === 0) {
      await Promise.race([this.#client.endAsync(), pause(GOODBYE_MS, undefined, { ref: false })]);
    }
    this.#client.end(true);
    this.#client.stream?.destroy();
  }

  async #send(topic: string, payload: string | Buffer, key: string, options: RequestOptions): Promise<Envelope> {
    if (this.#lifetime.failure) throw this.#lifetime.failure;
    const timeoutMs = options.timeoutMs ?? this.#address.timeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<Envelope>((resolve, reject) => {
      const expire = () => reject(options.late?.() ?? this.#noAnswer(topic, timeoutMs));
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
      const read = readEnvelope(payload);
      const envelope: Envelope = typeof read === 'string' ? { status: 'error', error: read } : read;
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
      throw this.#lifetime.failure ?? refused;
    });
    await Promise.race([granted, this.ended]);
  }

  #noAnswer(topic: string, timeoutMs: number): Failure {
    const advice = this.#address.prefix ? '' : ' (a node with a topic prefix needs --prefix)';
    return noAnswer(this.#address, topic, timeoutMs, advice);
  }

  #fail(failure: Failure): void {
    if (this.#lifetime.failure) return;
    for (const { reject } of this.#pending.values()) reject(failure);
    this.#lifetime.fail(failure);
  }
}

const GOODBYE_MS = 500;
const KEEPALIVE_S = 30;

/** Connects to the broker of a node.
 *  @throws Failure with exit code 3 when nobody is there or the node refuses us */
export async function connectMqtt(url: URL, address: NodeAddress, interrupted: AbortSignal): Promise<NodeClient> {
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
  const client = new MqttNodeClient(mqtt, address);
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
    const refuse = (why: string) => reject(cannotConnect(address, why));
    mqtt.once('connect', () => resolve());
    mqtt.on('error', (error) => refuse(reasonOf(error)));
    mqtt.once('close', () => refuse('the connection was closed'));
    interrupted.addEventListener('abort', () => reject(interruption(interrupted)), { once: true });
  });
}

/** CONNACK return codes [MQTT-3.2.2-3] and socket errors, in words. */
function reasonOf(error: Error & { code?: unknown }): string {
  if (error.code === 4) return WRONG_PASSWORD;
  if (error.code === 5) return 'the node does not allow this connection';
  return socketReason(error);
}

function nothing(): void {
  // Nobody waits for this.
}

function randomId(): string {
  return randomBytes(6).toString('hex');
}

import { Topics } from '../core/topics.js';
import { Deadline } from './deadline.js';
import { type Failure, interruption } from './failure.js';
import { type HttpAnswer, HttpPeer, type Question } from './http-peer.js';
import { HttpPuts } from './http-puts.js';
import { HttpStreams } from './http-streams.js';
import { Lifetime } from './lifetime.js';
import type { Envelope, Listener, Missed, NodeAddress, NodeClient, RequestOptions } from './node-client.js';
import { fieldsOf } from './reply-data.js';
import { lost, noAnswer } from './unreachable.js';

/** Of a node; a URL that names no port means it. */
const DEFAULT_PORT = '8080';

/** How long fetched entries stay ours when we say nothing more, and how often we do while they are written out. */
const LEASE_MS = 30_000;
const EXTEND_MS = 10_000;
/** What an interrupted command still has to say gets so long. */
const GOODBYE_MS = 1_000;
/** A put may wait for a disk, but not for ever. */
const PUT_TIMEOUT_MS = 60_000;

const JSON_TYPE = 'application/json';
const LINES_TYPE = 'application/x-ndjson';

type Sent = Omit<Question, 'signal'>;

/** The command line as a client of the node's REST API. The path of a thing is its topic without the prefix. */
class HttpNodeClient implements NodeClient {
  readonly topics = new Topics();
  readonly keepsOrder = false;
  readonly #address: NodeAddress;
  readonly #peer: HttpPeer;
  readonly #lifetime = new Lifetime();
  readonly #streams: HttpStreams;
  readonly #puts = new Map<string, HttpPuts>();

  constructor(url: URL, address: NodeAddress) {
    this.#address = address;
    this.#peer = new HttpPeer(url, address);
    this.#streams = new HttpStreams(this.#peer, this.#lifetime, address);
  }

  get ended(): Promise<never> {
    return this.#lifetime.ended;
  }

  start(interrupted: AbortSignal): void {
    const interrupt = () => this.#lifetime.fail(interruption(interrupted));
    interrupted.addEventListener('abort', interrupt, { once: true });
    if (interrupted.aborted) interrupt();
  }

  request(topic: string, body: object, options: RequestOptions = {}): Promise<Envelope> {
    const { kind } = this.topics.meaning(topic);
    if (kind === 'stat') return this.#ask({ method: 'GET', path: `/${topic}` }, options);
    const { accept } = options;
    if (kind === 'fetch' && accept !== undefined && !('from' in body)) return this.#fetch(topic, body, accept, options);
    return this.#ask(jsonPost(topic, body, options.continues && LINES_TYPE), options);
  }

  requestRaw(topic: string, payload: Buffer, options: RequestOptions = {}): Promise<Envelope> {
    const headers = { 'content-type': 'application/octet-stream' };
    return this.#ask({ method: 'POST', path: `/${topic}`, headers, body: payload }, options);
  }

  async listen(filter: string, listener: Listener, missed?: Missed): Promise<void> {
    // The path of all tasks is the one above theirs.
    return this.#streams.open(filter.endsWith('/+') ? filter.slice(0, -2) : filter, { listener, missed });
  }

  put(topic: string, payload: Buffer): Promise<void> {
    const puts = this.#puts.get(topic) ?? new HttpPuts((body, type) => this.#sendPut(topic, body, type));
    this.#puts.set(topic, puts);
    return this.within(puts.put(payload));
  }

  async packetBytesMax(): Promise<undefined> {
    return undefined;
  }

  within<T>(work: Promise<T>): Promise<T> {
    return this.#lifetime.within(work);
  }

  async close(): Promise<void> {
    this.#lifetime.close(lost(this.#address));
    this.#peer.close();
  }

  /** Over HTTP a fetch without a lease is settled once the node has written its answer, whatever becomes of it here. So
   *  one is taken, extended while the entries are written out, and settled after that. Should we die under it they come
   *  back when its time is over. */
  async #fetch(
    topic: string,
    body: object,
    accept: NonNullable<RequestOptions['accept']>,
    { accept: _, ...options }: RequestOptions,
  ): Promise<Envelope> {
    const envelope = await this.#ask(jsonPost(topic, { ...body, lease_ms: LEASE_MS }), options);
    if (envelope.status === 'error') return envelope;
    const { lease } = fieldsOf(envelope.data);
    const taken = typeof lease === 'string' ? lease : undefined;
    const extending = setInterval(() => {
      if (taken !== undefined) this.#acknowledge({ lease: taken, lease_ms: LEASE_MS }).catch(nothing);
    }, EXTEND_MS);
    try {
      await this.within(accept(envelope));
    } catch (thrown) {
      if (taken !== undefined) await this.#acknowledge({ lease: taken, ok: false }, GOODBYE_MS).catch(nothing);
      throw thrown;
    } finally {
      clearInterval(extending);
    }
    // An error reply says that all of them left the queue meanwhile, by a purge or a bound: they are written all the same.
    if (taken !== undefined) await this.#acknowledge({ lease: taken, ok: true });
    return envelope;
  }

  /** Not ended by an interruption: what was written out is to be settled, the rest to go back at once. */
  async #acknowledge(body: object, timeoutMs = this.#address.timeoutMs): Promise<Envelope> {
    const path = `/${this.topics.ack}`;
    const deadline = new Deadline(undefined, timeoutMs, () => noAnswer(this.#address, path, timeoutMs));
    try {
      const answer = await this.#peer.ask({ ...jsonPost(this.topics.ack, body), signal: deadline.signal });
      return await answer.envelope();
    } finally {
      deadline.end();
    }
  }

  async #ask(sent: Sent, options: RequestOptions): Promise<Envelope> {
    const deadline = this.#deadline(sent.path, options.timeoutMs ?? this.#address.timeoutMs, options.late);
    try {
      const answer = await this.#peer.ask({ ...sent, signal: deadline.signal });
      if (answer.is(LINES_TYPE)) return await this.#takeLines(answer, deadline, options);
      const envelope = await answer.envelope();
      deadline.stop();
      if (envelope.status === 'ok' && options.accept) await this.within(options.accept(envelope));
      return envelope;
    } finally {
      deadline.end();
    }
  }

  /** The next line is read once this one is accepted: who reads slowly slows the node down. */
  async #takeLines(answer: HttpAnswer, deadline: Deadline, options: RequestOptions): Promise<Envelope> {
    for await (const envelope of answer.envelopes()) {
      deadline.stop();
      if (envelope.status === 'ok' && options.accept) await this.within(options.accept(envelope));
      if (envelope.status === 'error' || !options.continues?.(envelope)) return envelope;
      deadline.start();
    }
    throw lost(this.#address);
  }

  async #sendPut(topic: string, body: Buffer, type: string) {
    const path = `/${topic}`;
    const deadline = this.#deadline(path, Math.max(PUT_TIMEOUT_MS, this.#address.timeoutMs));
    try {
      const headers = { 'content-type': type };
      const answer = await this.#peer.ask({ method: 'POST', path, headers, body, signal: deadline.signal });
      return { envelope: await answer.envelope(), retryAfter: answer.header('retry-after') };
    } finally {
      deadline.end();
    }
  }

  #deadline(path: string, timeoutMs: number, late?: () => Failure): Deadline {
    return new Deadline(this.#lifetime, timeoutMs, late ?? (() => noAnswer(this.#address, path, timeoutMs)));
  }
}

/** Nothing is asked yet: who is not there shows at the first request.
 *  @throws Failure with exit code 2 for a user name that HTTP cannot carry */
export function openHttp(url: URL, address: NodeAddress, interrupted: AbortSignal): NodeClient {
  const target = new URL(url);
  const isDefault = target.protocol === 'http:' && target.port === '' && !namesPort(address.url);
  if (isDefault) target.port = DEFAULT_PORT;
  const shown = isDefault ? { ...address, url: target.href.replace(/\/$/, '') } : address;
  const client = new HttpNodeClient(target, shown);
  client.start(interrupted);
  return client;
}

/** A URL forgets the port that its scheme has by default. */
function namesPort(url: string): boolean {
  return /^[a-z]+:\/\/(?:[^/?#]*@)?(?:\[[^\]]*\]|[^/?#:]*):\d/i.test(url);
}

function jsonPost(topic: string, body: object, accept = JSON_TYPE): Sent {
  const headers = { 'content-type': JSON_TYPE, accept };
  return { method: 'POST', path: `/${topic}`, headers, body: JSON.stringify(body) };
}

function nothing(): void {
  // A lease that cannot be ended ends by itself.
}

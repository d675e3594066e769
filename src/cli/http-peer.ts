import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { LIMITS } from '../core/limits.js';
import { readEnvelope } from './envelope.js';
import { EXIT, Failure } from './failure.js';
import { linesOf } from './lines.js';
import type { Envelope, NodeAddress } from './node-client.js';
import { cannotConnect, lost, socketReason, WRONG_PASSWORD } from './unreachable.js';

/** Connections that are open at a time, beside those of streams. */
const SOCKETS_MAX = 256;

export interface Question {
  readonly method: 'GET' | 'POST';
  /** `/m/stat`, below what the URL of the node names. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Aborted with the Failure that it then ends with. */
  readonly signal: AbortSignal;
  /** It lasts, on a connection of its own. */
  readonly isStream?: boolean;
}

/** Who answers over HTTP. On `node:http`: `fetch` gives up after five minutes without an answer, and refuses ports that
 *  browsers do. */
export class HttpPeer {
  readonly #url: URL;
  readonly #address: NodeAddress;
  readonly #authorization: string | undefined;
  readonly #agent: HttpAgent;
  readonly #open = new Set<ClientRequest>();
  #hasAnswered = false;

  /** @throws Failure with exit code 2 for a user name or password that Basic (RFC 7617 §2) or a URL cannot carry */
  constructor(url: URL, address: NodeAddress) {
    this.#url = url;
    this.#address = address;
    this.#authorization = authorizationOf(url, address);
    const options = { keepAlive: true, maxSockets: SOCKETS_MAX };
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Gives the answer as soon as its head is there.
   *  @throws Failure with exit code 3 when there is none, and why the signal was aborted */
  async ask(question: Question): Promise<HttpAnswer> {
    const response = await this.#send(question, true);
    this.#hasAnswered = true;
    const answer = new HttpAnswer(response, question, this.#address);
    if (response.statusCode !== 401) return answer;
    response.destroy();
    throw cannotConnect(
      this.#address,
      this.#authorization === undefined ? 'the node wants a user name and a password' : WRONG_PASSWORD,
    );
  }

  /** Ends all that is under way. Idempotent. */
  close(): void {
    for (const request of this.#open) request.destroy();
    this.#agent.destroy();
  }

  #send(question: Question, again: boolean): Promise<IncomingMessage> {
    const { method, path, headers, body, signal, isStream = false } = question;
    const url = new URL(this.#url);
    url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
        method,
        headers: {
          ...headers,
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
          ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
        },
        agent: isStream ? false : this.#agent,
        signal,
      });
      this.#open.add(request);
      request.once('close', () => this.#open.delete(request));
      request.once('response', resolve);
      // It stays: one that was answered can break off later, which its reader is told of.
      request.on('error', (error: NodeJS.ErrnoException) => {
        if (signal.aborted) return reject(signal.reason);
        // The node closed an idle connection just as we took it again; what only asks can be asked once more.
        const isStale = request.reusedSocket && error.code === 'ECONNRESET' && method === 'GET';
        if (isStale && again) this.#send(question, false).then(resolve, reject);
        else reject(this.#failureOf(error));
      });
      request.setNoDelay(true);
      request.end(body);
    });
  }

  #failureOf(error: NodeJS.ErrnoException): Failure {
    const { code = '' } = error;
    if (code.startsWith('HPE_')) return cannotConnect(this.#address, `what listens there speaks no HTTP (${code})`);
    if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
      return cannotConnect(this.#address, `what listens there speaks no TLS (${code})`);
    }
    if (code !== 'ECONNRESET' && code !== 'EPIPE') return cannotConnect(this.#address, socketReason(error));
    if (this.#hasAnswered) return lost(this.#address);
    return cannotConnect(this.#address, 'the connection was closed without an answer; is it an http listener?');
  }
}

/** An answer whose head is there. */
export class HttpAnswer {
  readonly #response: IncomingMessage;
  readonly #question: Question;
  readonly #address: NodeAddress;

  constructor(response: IncomingMessage, question: Question, address: NodeAddress) {
    this.#response = response;
    this.#question = question;
    this.#address = address;
  }

  header(name: string): string | undefined {
    return this.#response.headers[name]?.toString();
  }

  /** Whether it is of this media type. */
  is(type: string): boolean {
    return this.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase() === type;
  }

  /** @throws Failure with exit code 3 when it breaks off, or is none of a node */
  async envelope(): Promise<Envelope> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of this.chunks()) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > LIMITS.replyBytesMax) throw this.#foreign(`more than ${LIMITS.replyBytesMax} bytes`);
    }
    return this.#read(Buffer.concat(chunks));
  }

  /** One envelope a line, as they come.
   *  @throws Failure as `envelope` */
  async *envelopes(): AsyncGenerator<Envelope> {
    for await (const { bytes } of linesOf(this.chunks(), 'answer', LIMITS.replyBytesMax, (chunk) => chunk)) {
      yield this.#read(bytes);
    }
  }

  /** Its bytes as they come. Whoever stops reading ends the connection.
   *  @throws Failure with exit code 3 when it breaks off */
  async *chunks(): AsyncGenerator<Buffer> {
    const { signal } = this.#question;
    try {
      for await (const chunk of this.#response) yield chunk;
    } catch {
      throw signal.aborted ? signal.reason : lost(this.#address);
    }
  }

  /** Ends the connection. */
  destroy(): void {
    this.#response.destroy();
  }

  #read(bytes: Buffer): Envelope {
    const read = readEnvelope(bytes);
    if (typeof read !== 'string') {
      // A closing node lets nobody in; with MQTT its connection would be gone.
      if (read.code === 'SN_ERR_CLOSING') throw cannotConnect(this.#address, read.error ?? 'it is shutting down');
      return read;
    }
    const { location } = this.#response.headers;
    throw this.#foreign(location ?? this.header('content-type') ?? 'no content');
  }

  #foreign(what: string): Failure {
    const { statusCode, statusMessage = '' } = this.#response;
    const { path } = this.#question;
    const answer = [statusCode, statusMessage].filter(Boolean).join(' ');
    return cannotConnect(this.#address, `what answers there is no node (${path}: ${answer}, ${what})`);
  }
}

function authorizationOf(url: URL, address: NodeAddress): string | undefined {
  const username = address.username ?? (decoded(url.username) || undefined);
  const password = address.password ?? (decoded(url.password) || undefined);
  if (username === undefined && password === undefined) return undefined;
  if (username?.includes(':')) {
    throw new Failure(EXIT.usage, `--username: expected one without a colon over HTTP, got ${username}`);
  }
  return `Basic ${Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')}`;
}

/** @throws Failure with exit code 2; what stands there is not shown, it may be a password */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Failure(EXIT.usage, '--url: expected user name and password percent-encoded, got a lone %');
  }
}

import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, HTTPMethods } from 'fastify';
import type { WebSocket } from 'ws';
import { ERROR_TABLE, mismatch, SuperNodeError } from '../core/errors.js';
import { type TaskId, taskIdOf } from '../core/topics.js';
import type { Reply, RequestKind } from '../router/request.js';
import type { Party } from './access.js';
import { type BodyOptions, readBody, receiveBody } from './bodies.js';
import { countError, headersOf } from './error-replies.js';
import { type AnswerBudget, type Asked, Exchange } from './exchange.js';
import { bodyType, JSON_TYPE } from './media-types.js';
import { OpenSockets } from './open-sockets.js';
import type { HttpPorts } from './ports.js';
import { Puts } from './puts.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. Set before any handler runs. */
    party: Party;
  }
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly schema: FastifySchema;
  handle(request: FastifyRequest, reply: FastifyReply): unknown;
  /** What every entry passes: without the headers for pages, which its answers are not. */
  readonly isHot?: boolean;
  /** Of a GET alone. */
  readonly socket?: SocketRoute;
}

export interface BareRoute extends Pick<Route, 'method' | 'path' | 'schema'> {
  /** @param count Takes the status of what went well */
  handle(request: FastifyRequest, reply: FastifyReply, count: Count): unknown;
}

/** What becomes of a WebSocket on a path. */
export interface SocketRoute {
  /** Before it is opened.
   *  @throws SuperNodeError where it may not be */
  admit?(request: FastifyRequest): void;
  open(socket: WebSocket, request: FastifyRequest): void;
}

/** Where routes are added, by what is done to their requests before. */
export interface Scopes {
  readonly hot: FastifyInstance;
  readonly sockets: FastifyInstance;
  readonly guarded: FastifyInstance;
}

/** What is answered. */
export type Answer = Pick<Reply, 'code' | 'json'>;

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];

const LONG_CHARS = 4_096;

/** Counts an answer with this status. */
export type Count = (status: number) => void;

/** What all routes of a listener use. */
export class Api {
  readonly #scopes: Scopes;
  readonly ports: HttpPorts;
  readonly puts: Puts;
  /** How bodies are read, but for their bounds. */
  readonly bodyOptions: Pick<BodyOptions, 'budget' | 'received'>;
  readonly sockets: OpenSockets;
  readonly #packetOptions: BodyOptions;
  readonly #answers: AnswerBudget;
  /** Of plain requests, by path. */
  readonly #methods = new Map<string, HTTPMethods[]>();
  /** Paths of WebSockets that no GET is for. */
  readonly #socketPaths = new Set<string>();

  constructor(scopes: Scopes, ports: HttpPorts, answers: AnswerBudget) {
    this.#scopes = scopes;
    this.ports = ports;
    this.puts = new Puts(ports);
    this.sockets = new OpenSockets(ports.figures);
    const { bodies, figures } = ports;
    this.bodyOptions = {
      budget: bodies,
      received: (bytes) => {
        figures.bytesReceived += bytes;
      },
    };
    this.#packetOptions = { ...this.bodyOptions, bytesMax: ports.limits.packetBytesMax };
    this.#answers = answers;
  }

  route({ method, path, schema, handle, isHot = false, socket }: Route): void {
    const { hot, sockets, guarded } = this.#scopes;
    const app = !isHot ? guarded : socket ? sockets : hot;
    const count = this.#declare(method, path);
    // Counted here and not by a hook, which would cost each request its listeners; errors are by who answers them.
    const handler = async (request: FastifyRequest, reply: FastifyReply) => {
      const sent = await handle(request, reply);
      if (reply.statusCode < 400) count(reply.statusCode);
      return sent;
    };
    app.route({ method, url: path, schema, handler, ...(socket ? upgrade(socket) : {}) });
  }

  /** A route that answers by itself, and counts what went well. */
  bareRoute({ method, path, schema, handle }: BareRoute): void {
    const count = this.#declare(method, path);
    const handler = (request: FastifyRequest, reply: FastifyReply) => handle(request, reply, count);
    this.#scopes.hot.route({ method, url: path, schema, handler });
  }

  #declare(method: Route['method'], path: string): Count {
    this.#methods.set(path, [...(this.#methods.get(path) ?? []), method]);
    return this.ports.figures.route(method, path);
  }

  /** Opens WebSockets on a path that no GET is for. */
  socketRoute(path: string, socket: SocketRoute): void {
    const handler = (request: FastifyRequest, reply: FastifyReply) => {
      const known = this.#methods.get(path);
      if (known !== undefined) refuseMethod(request, reply, known);
      reply.header('upgrade', 'websocket');
      throw new SuperNodeError('SN_ERR_UPGRADE', `${path}: expected a WebSocket, got a plain request`);
    };
    this.#socketPaths.add(path);
    this.#scopes.guarded.route({ method: 'GET', url: path, schema: { hide: true }, handler, ...upgrade(socket) });
  }

  /** The methods that a path of ours does not know are told which it does. */
  refuseOtherMethods(): void {
    for (const path of new Set([...this.#methods.keys(), ...this.#socketPaths])) {
      const known = this.#methods.get(path) ?? ['GET'];
      const taken: readonly HTTPMethods[] = this.#socketPaths.has(path) ? [...known, 'GET'] : known;
      this.#scopes.guarded.route({
        method: METHODS.filter((method) => !taken.includes(method)),
        url: path,
        schema: { hide: true },
        handler: (request, reply) => refuseMethod(request, reply, known),
      });
    }
  }

  /** The whole body, at most one packet of it.
   *  @throws SuperNodeError as `readBody` */
  body(request: FastifyRequest): Promise<Buffer> {
    return readBody(request.raw, this.#packetOptions);
  }

  /** The same, as `receiveBody` does it. */
  receive(request: FastifyRequest, done: (body: Buffer) => void, failed: (error: unknown) => void): void {
    receiveBody(request.raw, this.#packetOptions, done, failed);
  }

  /** The body of a JSON request. Other types a web page of somebody else can send without being asked first (CORS).
   *  @throws SuperNodeError SN_ERR_MEDIA_TYPE, and as `readBody` */
  async json(request: FastifyRequest): Promise<Buffer> {
    const type = bodyType(request);
    const isJson = type === JSON_TYPE || /^application\/[\w.-]+\+json$/.test(type);
    const body = isJson || type === '' ? await this.body(request) : undefined;
    if (body === undefined || (!isJson && body.length > 0)) {
      throw mismatch('SN_ERR_MEDIA_TYPE', 'Content-Type', JSON_TYPE, request.headers['content-type']);
    }
    return body;
  }

  /** Asks the router and answers with its envelope. */
  async relay(request: FastifyRequest, reply: FastifyReply, kind: RequestKind, asked: Omit<Asked, 'kind'>) {
    const exchange = new Exchange(reply.raw, request.party);
    return this.answer(reply, await exchange.ask(this.ports, { kind, ...asked }));
  }

  /** Answers with an envelope as JSON.
   *  @throws SuperNodeError SN_ERR_LIMIT: too much is waiting to be read; SN_ERR_REQUEST: it cannot be written */
  answer(reply: FastifyReply, answer: Answer): FastifyReply {
    const text = answer.json();
    if (text === undefined) {
      throw new SuperNodeError('SN_ERR_REQUEST', 'reply: expected one that can be written, got too much depth');
    }
    if (answer.code !== undefined) {
      const { status } = ERROR_TABLE[answer.code];
      countError(reply, answer.code, this.ports.figures);
      reply.code(status).headers(headersOf(status));
    }
    // A long one is encoded once, not measured first and encoded after.
    return this.send(reply, JSON_TYPE, text.length < LONG_CHARS ? `${text}\n` : Buffer.from(`${text}\n`));
  }

  /** Counts what is gathered for an answer, until that is read.
   *  @throws SuperNodeError SN_ERR_LIMIT */
  hold(reply: FastifyReply, bytes: number): void {
    this.#answers.hold(bytes, reply.raw);
  }

  /** Answers with this body, counted until it is read.
   *  @throws SuperNodeError SN_ERR_LIMIT */
  send(reply: FastifyReply, type: string, body: string | Buffer): FastifyReply {
    this.#answers.admit(body.length, reply.raw);
    this.ports.figures.bytesSent += body.length;
    return reply.type(type).send(body);
  }
}

function upgrade({ admit, open }: SocketRoute) {
  return {
    config: { isSocket: true },
    preHandler: async (request: FastifyRequest) => {
      if (request.ws) admit?.(request);
    },
    wsHandler: open,
  };
}

/** @throws SuperNodeError SN_ERR_METHOD */
function refuseMethod({ method, url }: FastifyRequest, reply: FastifyReply, known: readonly string[]): never {
  const allowed = known.join(', ');
  reply.header('allow', allowed);
  throw mismatch('SN_ERR_METHOD', `method of ${url.split('?', 1)[0]}`, allowed, method);
}

/** The task that the path names.
 *  @throws SuperNodeError SN_ERR_TASK_ID */
export function taskOf({ params }: FastifyRequest): TaskId {
  return taskIdOf(typeof params === 'object' && params !== null ? Reflect.get(params, 'task') : undefined);
}

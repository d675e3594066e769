import { createServer, type Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import fastifyCors from '@fastify/cors';
import fastifyHelmet from '@fastify/helmet';
import fastifyWebsocket from '@fastify/websocket';
import fastify, { type FastifyInstance } from 'fastify';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { ListenerNames } from '../transport/origin.js';
import { Access } from './access.js';
import { Api } from './api.js';
import { Connections } from './connections.js';
import { docsRoutes } from './docs.js';
import { errorHandler, prepare, refuseConnection, refuseUrl } from './error-replies.js';
import { AnswerBudget, closing, Pipelines } from './exchange.js';
import { fetchRoutes } from './fetch-routes.js';
import { mqttSocket, subProtocol } from './mqtt-socket.js';
import type { HttpPorts } from './ports.js';
import { putRoutes } from './put-routes.js';
import { requestRoutes } from './request-routes.js';
import { ignoreOtherUpgrades, refuseUpgrade } from './upgrades.js';
import { watchRoutes } from './watch-routes.js';

const MQTT_PATH = '/mqtt';
/** For who watches the node, to its end. */
const WHILE_CLOSING = new Set(['/health', '/ready', '/metrics']);

/** Which of its own headers a web page of an allowed origin may read. */
const EXPOSED = ['Task', 'Seq', 'Timestamp', 'Attempts', 'Topic', 'Epoch', 'Dropped', 'Remaining', 'Lease']
  .map((name) => `SN-${name}`)
  .concat('Retry-After');

/** A server that speaks HTTP for the node; it is not listening yet. */
export interface HttpServer {
  readonly server: Server;
  /** Listens no more, and ends what is open: politely for `httpDrainMs`. Idempotent. */
  close(): Promise<void>;
}

/** @param names How clients may call the listener, and which web pages may use it */
export async function createHttpServer(ports: HttpPorts, names: ListenerNames): Promise<HttpServer> {
  const { app, api } = await buildApp(ports, names);
  await app.ready();
  const { server } = app;
  const connections = new Connections(server);
  ignoreOtherUpgrades(server);
  // What a client expects beside 100-continue nobody has to fulfil (RFC 9110 §10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.maxConnections = ports.limits.connectionsMax;
  server.on('drop', () => {
    const error = `connections: expected at most ${ports.limits.connectionsMax}, got one more`;
    ports.report.event('refused', { error, code: 'SN_ERR_LIMIT' });
  });
  let closed: Promise<void> | undefined;
  const close = async () => {
    // Not its own, which would cut, as idle, connections whose answers are not read yet.
    if (server.listening) NetServer.prototype.close.call(server);
    api.sockets.close();
    await connections.end(ports.clock);
    await app.close();
  };
  return {
    server,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/** All routes of a listener. */
async function buildApp(ports: HttpPorts, names: ListenerNames): Promise<{ app: FastifyInstance; api: Api }> {
  const access = new Access(names, ports.identify);
  const pipelines = new Pipelines();
  const app = fastify({
    serverFactory: (handler) =>
      createServer(
        {
          maxHeaderSize: LIMITS.httpHeaderBytes,
          headersTimeout: LIMITS.httpHeaderMs,
          requestTimeout: LIMITS.httpRequestMs,
          keepAliveTimeout: LIMITS.httpIdleMs,
          connectionsCheckingInterval: LIMITS.httpCheckMs,
          // Refused where all names are, with a reason.
          requireHostHeader: false,
        },
        handler,
      ),
    clientErrorHandler: refuseConnection,
    frameworkErrors: refuseUrl,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: LIMITS.httpSegmentChars },
    forceCloseConnections: 'idle',
  });
  // The router checks what comes, by the schemas that the documents are made of; nothing is compiled here.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler(errorHandler(ports.log, ports.figures));
  app.setNotFoundHandler((request) => {
    throw mismatch('SN_ERR_ROUTE_UNKNOWN', 'path', 'one of those in /docs', request.url.split('?', 1)[0]);
  });
  // Bodies are read where it is known how much they may hold.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  app.decorateRequest('party');
  // Before all that refuses: a page of an allowed origin reads errors, too.
  await registerCors(app, names);
  app.addHook('onRequest', (request, reply, done) => {
    prepare(request, reply);
    try {
      request.party = access.admit(request.raw);
      pipelines.admit(reply.raw);
      refuseUpgrade(request);
      if (ports.isClosing() && !WHILE_CLOSING.has(request.url)) throw closing();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    done();
  });
  docsRoutes(app, { ...ports, servers: ports.listeners });
  return { app, api: await addRoutes(app, ports, names) };
}

/** Three scopes, each within the one before, since hooks cost as much as a put: what every entry passes; paths of
 *  WebSockets; and what has the headers for who might take an answer for a page. */
async function addRoutes(app: FastifyInstance, ports: HttpPorts, names: ListenerNames): Promise<Api> {
  let api: Api | undefined;
  await app.register(async (sockets) => {
    await registerSockets(sockets, ports);
    await sockets.register(async (guarded) => {
      await registerHelmet(guarded, names);
      api = new Api({ hot: app, sockets, guarded }, ports, new AnswerBudget());
      requestRoutes(api);
      fetchRoutes(api);
      putRoutes(api);
      watchRoutes(api);
      mqttRoute(api);
      api.refuseOtherMethods();
    });
  });
  if (api === undefined) throw new SuperNodeError('SN_ERR_INTERNAL', 'routes: expected them to be added, got none');
  return api;
}

function mqttRoute(api: Api): void {
  api.socketRoute(MQTT_PATH, {
    open: (socket, request) => {
      api.sockets.add(socket, 'mqtt');
      mqttSocket(socket, request.raw, api.ports.mqtt);
    },
  });
}

async function registerHelmet(app: FastifyInstance, { origins }: ListenerNames): Promise<void> {
  await app.register(fastifyHelmet, {
    // Answers are data: a browser is to show none of it as a page. The documents have a policy of their own.
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    // It is for who stands before the node with TLS to say that there is TLS.
    strictTransportSecurity: false,
    ...(origins.length > 0 ? { crossOriginResourcePolicy: false } : {}),
  });
}

async function registerCors(app: FastifyInstance, { origins }: ListenerNames): Promise<void> {
  if (origins.length === 0) return;
  await app.register(fastifyCors, {
    origin: [...origins],
    methods: ['GET', 'POST'],
    exposedHeaders: EXPOSED,
    strictPreflight: false,
  });
}

async function registerSockets(app: FastifyInstance, { log, limits }: HttpPorts): Promise<void> {
  await app.register(fastifyWebsocket, {
    options: {
      perMessageDeflate: false,
      // A message of MQTT may hold several packets; one packet over the cap is refused by the channel, with its reason.
      maxPayload: 2 * limits.packetBytesMax,
      handleProtocols: subProtocol,
    },
    errorHandler: (error, socket) => {
      log.debug({ err: error }, 'a WebSocket met an error');
      socket.terminate();
    },
    preClose: (done) => done(),
  });
}

import { createServer, type Server } from 'node:http';
import fastifyCors from '@fastify/cors';
import fastifyHelmet from '@fastify/helmet';
import fastifyWebsocket from '@fastify/websocket';
import fastify, { type FastifyInstance } from 'fastify';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { ListenerNames } from '../transport/origin.js';
import { Access } from './access.js';
import { Api } from './api.js';
import { docsRoutes } from './docs.js';
import { errorHandler, refuseConnection, refuseUrl } from './error-replies.js';
import { AnswerBudget, Pipelines } from './exchange.js';
import { fetchRoutes } from './fetch-routes.js';
import { mqttSocket, subProtocol } from './mqtt-socket.js';
import type { HttpPorts } from './ports.js';
import { putRoutes } from './put-routes.js';
import { requestRoutes } from './request-routes.js';
import { ignoreOtherUpgrades, refuseUpgrade } from './upgrades.js';
import { watchRoutes } from './watch-routes.js';

const MQTT_PATH = '/mqtt';

/** Which of its own headers a web page of an allowed origin may read. */
const EXPOSED = [
  'Retry-After',
  'SN-Task',
  'SN-Seq',
  'SN-Timestamp',
  'SN-Attempts',
  'SN-Topic',
  'SN-Epoch',
  'SN-Dropped',
];
const EXPOSED_OF_LEASES = ['SN-Remaining', 'SN-Lease'];

/** A server that speaks HTTP for the node; it is not listening yet. */
export interface HttpServer {
  readonly server: Server;
  /** Ends what is open, politely for a while. */
  close(): Promise<void>;
}

/** @param names How clients may call the listener, and which web pages may use it */
export async function createHttpServer(ports: HttpPorts, names: ListenerNames): Promise<HttpServer> {
  const { app, api } = await buildApp(ports, names);
  await app.ready();
  const { server } = app;
  ignoreOtherUpgrades(server);
  // What a client expects beside 100-continue nobody has to fulfil (RFC 9110 §10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.maxConnections = ports.limits.connectionsMax;
  server.on('drop', () => {
    const error = `connections: expected at most ${ports.limits.connectionsMax}, got one more`;
    ports.report.event('refused', { error, code: 'SN_ERR_LIMIT' });
  });
  return {
    server,
    close: async () => {
      api.sockets.close();
      server.closeIdleConnections();
      const cut = () => {
        server.closeAllConnections();
        api.sockets.terminate();
      };
      const cancel = ports.clock.after(LIMITS.httpDrainMs, cut);
      await app.close();
      cancel();
      cut();
    },
  };
}

/** All routes of a listener. */
export async function buildApp(ports: HttpPorts, names: ListenerNames): Promise<{ app: FastifyInstance; api: Api }> {
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
  app.setErrorHandler(errorHandler(ports.log));
  const countUnknown = ports.figures.route('ANY', '(none)');
  app.setNotFoundHandler((request) => {
    countUnknown(404);
    throw mismatch('SN_ERR_ROUTE_UNKNOWN', 'path', 'one of those in /docs', request.url.split('?', 1)[0]);
  });
  // Bodies are read where it is known how much they may hold.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  app.decorateRequest('party');
  // Before our own hook: a WebSocket that is refused there has to be known as one, or its socket would stay.
  await registerPlugins(app, ports, names);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    try {
      request.party = access.admit(request.raw);
      pipelines.admit(reply.raw);
      refuseUpgrade(request);
      if (ports.isClosing()) throw new SuperNodeError('SN_ERR_CLOSING', 'the node is shutting down');
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    done();
  });
  docsRoutes(app, { ...ports, servers: () => [] });
  return { app, api: await addRoutes(app, ports, names) };
}

/** What every entry passes is added to the root, all else below Helmet's headers, which cost as much as a put. */
async function addRoutes(app: FastifyInstance, ports: HttpPorts, { origins }: ListenerNames): Promise<Api> {
  let api: Api | undefined;
  await app.register(async (guarded) => {
    await guarded.register(fastifyHelmet, {
      // Answers are data: a browser is to show none of it as a page. The documents have a policy of their own.
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      // It is for who stands before the node with TLS to say that there is TLS.
      strictTransportSecurity: false,
      ...(origins.length > 0 ? { crossOriginResourcePolicy: false } : {}),
    });
    api = new Api(app, guarded, ports, new AnswerBudget());
    requestRoutes(api);
    fetchRoutes(api);
    putRoutes(api);
    const { sockets } = api;
    watchRoutes(api);
    api.socketRoute(MQTT_PATH, {
      open: (socket, request) => {
        sockets.add(socket, 'mqtt');
        mqttSocket(socket, request.raw, ports.mqtt);
      },
    });
    api.refuseOtherMethods();
  });
  if (api === undefined) throw new SuperNodeError('SN_ERR_INTERNAL', 'routes: expected them to be added, got none');
  return api;
}

async function registerPlugins(app: FastifyInstance, { log, limits }: HttpPorts, { origins }: ListenerNames) {
  if (origins.length > 0) {
    await app.register(fastifyCors, {
      origin: [...origins],
      methods: ['GET', 'POST'],
      exposedHeaders: [...EXPOSED, ...EXPOSED_OF_LEASES],
    });
  }
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

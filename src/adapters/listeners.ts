import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import websocket from 'websocket-stream';
import { DEFAULT_HOST, urlHost } from '../core/address.js';
import type { ListenerWire } from '../core/config-schema.js';
import { SuperNodeError } from '../core/errors.js';
import type { Logger } from '../core/ports.js';
import { refuseSource } from '../transport/origin.js';

export interface ListenerOptions {
  readonly listener: ListenerWire;
  readonly packetBytesMax: number;
  readonly connectionsMax: number;
  readonly log: Logger;
  /** Takes a fresh connection. */
  handle(stream: Duplex, request: IncomingMessage | undefined): void;
}

export interface OpenListener {
  readonly type: ListenerWire['type'];
  readonly host: string;
  /** The port in use. */
  readonly port: number;
  /** What a client on this machine connects to. */
  readonly url: string;
  /** Takes no new connections; open ones stay. */
  close(): Promise<void>;
}

const MQTT_PATH = '/mqtt';
const SUB_PROTOCOLS = ['mqtt', 'mqttv3.1'];

/** Opens one listener.
 *  @throws SuperNodeError SN_ERR_LISTEN, naming address and reason */
export async function openListener(options: ListenerOptions): Promise<OpenListener> {
  const { log } = options;
  const { type, host = DEFAULT_HOST, port } = options.listener;
  const server = type === 'mqtt' ? mqttServer(options) : httpServer(options);
  await listen(server, host, port);
  server.on('error', (error) => log.error({ err: error, host, port }, 'a listener met an error'));
  const address = server.address();
  const usedPort = typeof address === 'object' && address ? address.port : port;
  return {
    type,
    host,
    port: usedPort,
    url: type === 'mqtt' ? `mqtt://${urlHost(host)}:${usedPort}` : `ws://${urlHost(host)}:${usedPort}${MQTT_PATH}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Half a request would hold up the end; upgraded connections are not touched.
        if ('closeAllConnections' in server) server.closeAllConnections();
      }),
  };
}

function mqttServer({ handle }: ListenerOptions): Server {
  // Who sends all it has and then its end still gets its answers.
  return createTcpServer({ allowHalfOpen: true }, (socket) => handle(socket, undefined));
}

/** MQTT over WebSocket at `/mqtt`; everything else is answered with what there is. */
function httpServer(options: ListenerOptions): HttpServer {
  const { listener, packetBytesMax, connectionsMax, log } = options;
  const names = { host: listener.host ?? DEFAULT_HOST, origins: listener.origins ?? [] };
  const sockets = webSockets(options, packetBytesMax);
  const server = createHttpServer((request, response) => {
    const why = refuseSource(sourceOf(request), names);
    if (why !== undefined) answer(response, 403, 'SN_ERR_FORBIDDEN', why);
    else if (pathOf(request) === MQTT_PATH) answer(response, 426, 'SN_ERR_TOPIC', `${MQTT_PATH}: expected a WebSocket`);
    else answer(response, 404, 'SN_ERR_TOPIC', `expected ${MQTT_PATH} (MQTT over WebSocket), got another path`);
  });
  server.maxConnections = connectionsMax;
  server.on('upgrade', (request, socket, head) => {
    const why = refuseSource(sourceOf(request), names);
    const status = why !== undefined ? 403 : pathOf(request) !== MQTT_PATH ? 404 : 0;
    if (status === 0) {
      sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit('connection', webSocket, request));
      return;
    }
    log.warn({ address: request.socket.remoteAddress, why }, 'refused a WebSocket');
    socket.on('error', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });
  return server;
}

function webSockets({ handle }: ListenerOptions, packetBytesMax: number) {
  const server = new websocket.Server({
    noServer: true,
    perMessageDeflate: false,
    // A frame may hold several packets; one packet over the cap is refused by the channel, with its reason.
    maxPayload: 2 * packetBytesMax,
    handleProtocols: (offered: Set<string>) => SUB_PROTOCOLS.find((known) => offered.has(known)) ?? false,
  });
  const streams = new WeakMap<object, Duplex>();
  // This listener comes before the stream's own, so that a text frame is not taken for bytes [MQTT-6.0.0-1].
  server.on('connection', (webSocket) => {
    webSocket.on('message', (_data: unknown, isBinary: boolean) => {
      if (isBinary) return;
      webSocket.close(1003, 'expected binary frames');
      streams.get(webSocket)?.destroy();
    });
  });
  server.on('stream', (stream, request) => {
    streams.set(stream.socket, stream);
    handle(stream, request);
  });
  return server;
}

function sourceOf(request: IncomingMessage) {
  return { host: request.headers.host, origin: request.headers.origin };
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] ?? '/';
}

function answer(response: ServerResponse, status: number, code: string, error: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify({ status: 'error', error, code })}\n`);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is taken by another program' : error.message;
      reject(new SuperNodeError('SN_ERR_LISTEN', `cannot listen on ${host}:${port}: ${why}`, { cause: error }));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.removeListener('error', failed);
      resolve();
    });
  });
}

import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { mismatch } from '../core/errors.js';
import { isAnswering } from './connections.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A GET of it may become a WebSocket. */
    isSocket?: boolean;
  }
}

/** What offers another protocol, and so is no request like others. */
const OFFERS = new Set(['connection', 'upgrade', 'http2-settings']);

/** Whether Node has taken the connection of a request off HTTP. */
export function isUpgrade(request: IncomingMessage): boolean {
  return Reflect.get(request, 'upgrade') === true;
}

/** @throws SuperNodeError SN_ERR_ROUTE_UNKNOWN: a WebSocket where there is none */
export function refuseUpgrade({ raw, is404, method, routeOptions }: FastifyRequest): void {
  if (raw.headers.upgrade === undefined || is404 || !isUpgrade(raw)) return;
  if (method === 'GET' && routeOptions.config.isSocket === true) return;
  throw mismatch('SN_ERR_ROUTE_UNKNOWN', 'WebSocket', 'a GET of a path that has one', `${method} ${routeOptions.url}`);
}

/** Serves who offers another protocol than WebSocket as if it did not (RFC 9110 §7.8): HTTP clients of Java offer HTTP/2
 *  with what they send first. Node takes each of them off HTTP once somebody listens for one. */
export function ignoreOtherUpgrades(server: Server): void {
  const listeners = server.listeners('upgrade');
  server.removeAllListeners('upgrade');
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Behind a request that is still being answered (pipelining): the connection cannot be both.
    if (isAnswering(socket)) {
      socket.destroy();
      return;
    }
    if (request.headers.upgrade?.toLowerCase() === 'websocket') {
      for (const listener of listeners) listener.call(server, request, socket, head);
      return;
    }
    socket.unshift(Buffer.concat([headWithoutOffer(request), head]));
    server.emit('connection', socket);
  });
}

function headWithoutOffer({ method, url, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (!OFFERS.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[at + 1]}`);
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

import { createServer, Server, type Socket } from 'node:net';
import { DEFAULT_HOST, urlHost } from '../core/address.js';
import type { ListenerWire } from '../core/config-schema.js';
import { SuperNodeError } from '../core/errors.js';
import type { Logger } from '../core/ports.js';

export interface ListenerOptions {
  readonly listener: ListenerWire;
  /** What listens. Not yet. */
  readonly server: Server;
  readonly log: Logger;
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

/** Opens one listener.
 *  @throws SuperNodeError SN_ERR_LISTEN, naming address and reason */
export async function openListener({ listener, server, log }: ListenerOptions): Promise<OpenListener> {
  const { type, host = DEFAULT_HOST, port } = listener;
  await listen(server, host, port);
  server.on('error', (error) => log.error({ err: error, host, port }, 'a listener met an error'));
  const address = server.address();
  const usedPort = typeof address === 'object' && address ? address.port : port;
  return {
    type,
    host,
    port: usedPort,
    url: `${type}://${urlHost(host)}:${usedPort}`,
    // A server of HTTP would cut, as idle, connections whose answers are not read yet.
    close: () => new Promise((resolve) => Server.prototype.close.call(server, () => resolve())),
  };
}

/** A server whose connections speak MQTT. */
export function mqttServer(handle: (socket: Socket) => void): Server {
  // Who sends all it has and then its end still gets its answers.
  return createServer({ allowHalfOpen: true }, handle);
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

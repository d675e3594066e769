import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';

/** All connections of a server, whatever became of them: Node counts neither those that speak another protocol by now
 *  nor, among those that are idle, any whose answer is not read yet. */
export class Connections {
  readonly #sockets = new Set<Duplex>();

  constructor(server: Server) {
    server.on('connection', (socket: Duplex) => {
      if (this.#sockets.has(socket)) return;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Resolves once all are over, or `httpDrainMs` later, when they are cut. Those between two requests end at once. */
  async end(clock: Clock): Promise<void> {
    const untilMs = clock.now() + LIMITS.httpDrainMs;
    while (this.#sockets.size > 0 && clock.now() < untilMs) {
      for (const socket of this.#sockets) if (!isAnswering(socket)) socket.destroy();
      await new Promise<void>((resolve) => clock.after(LIMITS.httpDrainPollMs, resolve));
    }
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Whether a response has the connection now (Node, `_http_server.js`). */
export function isAnswering(socket: Duplex): boolean {
  return Boolean(Reflect.get(socket, '_httpMessage'));
}

/** Whether it is being written to already. */
export function hasBegunAnswer(socket: Duplex): boolean {
  const response: unknown = Reflect.get(socket, '_httpMessage');
  return typeof response === 'object' && response !== null && Reflect.get(response, 'headersSent') === true;
}

import type { WebSocket } from 'ws';

/** The WebSockets of a listener that speak JSON. */
export class OpenSockets {
  readonly #sockets = new Set<WebSocket>();

  add(socket: WebSocket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Says goodbye to all. */
  close(): void {
    for (const socket of this.#sockets) socket.close(1001, 'the node is shutting down');
  }

  /** Those that do not answer to it. */
  terminate(): void {
    for (const socket of this.#sockets) socket.terminate();
  }
}

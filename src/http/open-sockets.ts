import type { WebSocket } from 'ws';
import type { Figures } from './figures.js';

const GOING_AWAY = 1001;

/** The WebSockets of a listener. */
export class OpenSockets {
  readonly #figures: Figures;
  readonly #sockets = new Set<WebSocket>();

  constructor(figures: Figures) {
    this.#figures = figures;
  }

  /** @param kind Those that speak JSON are counted; MQTT has figures of its own */
  add(socket: WebSocket, kind: 'json' | 'mqtt'): void {
    const one = kind === 'json' ? 1 : 0;
    this.#sockets.add(socket);
    this.#figures.sockets += one;
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#figures.sockets -= one;
    });
  }

  /** Says goodbye to all. */
  close(): void {
    for (const socket of this.#sockets) socket.close(GOING_AWAY, 'the node is shutting down');
  }
}

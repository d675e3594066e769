import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { LIMITS } from '../core/limits.js';
import type { Figures } from './figures.js';

type Written = (arrived: boolean) => void;

/** What goes out on a WebSocket, with bounds: what would pass them waits, and a peer that takes nothing for
 *  `httpWriteMs` is closed. */
export class SocketWriter {
  readonly #socket: WebSocket;
  readonly #figures: Figures;
  readonly #waiting: Array<() => void> = [];
  readonly #connection: Socket;
  #isWatched = false;

  /** @param connection Below the WebSocket: it knows whether the peer takes a long message piece by piece */
  constructor(socket: WebSocket, connection: Socket, figures: Figures) {
    this.#socket = socket;
    this.#connection = connection;
    this.#figures = figures;
    connection.on('timeout', () => {
      if (this.#isWatched) socket.terminate();
    });
    socket.once('close', () => this.#closed());
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** The peer reads too slowly for more. */
  get isFull(): boolean {
    return this.#waiting.length > 0 || this.#socket.bufferedAmount > LIMITS.writeSoftBytes;
  }

  /** Writes at once.
   *  @param written Called once: whether it went out */
  send(data: string | Uint8Array, written: Written = ignore): void {
    if (!this.isOpen) {
      written(false);
      return;
    }
    this.#figures.bytesSent += data.length;
    this.#socket.send(data, { binary: typeof data !== 'string' }, (error) => {
      written(!error);
      this.#progress();
    });
    if (this.isFull) this.#watchStall(true);
  }

  /** Bytes as a text message where they are UTF-8, else as a binary one. */
  sendBytes(bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.send(isUtf8(buffer) ? buffer.toString('utf8') : Buffer.from(buffer));
  }

  /** Runs `write` once there is room, in order; at once where there is. Also when the connection is over: `send` then
   *  says so. */
  whenRoom(write: () => void): void {
    if (this.isFull && this.isOpen) this.#waiting.push(write);
    else write();
  }

  #progress(): void {
    while (this.#socket.bufferedAmount <= LIMITS.writeSoftBytes) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#watchStall(false);
        return;
      }
      next();
    }
  }

  #watchStall(isOn: boolean): void {
    if (this.#isWatched === isOn) return;
    this.#isWatched = isOn;
    this.#connection.setTimeout(isOn ? LIMITS.httpWriteMs : 0);
  }

  #closed(): void {
    for (const write of this.#waiting.splice(0)) write();
  }
}

function ignore(): void {
  // Nobody waits to hear that it went out.
}

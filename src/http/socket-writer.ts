import { isUtf8 } from 'node:buffer';
import type { WebSocket } from 'ws';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';
import type { Figures } from './figures.js';

type Written = (arrived: boolean) => void;

/** What goes out on a WebSocket, with bounds: what would pass them waits, and a peer that takes nothing for
 *  `httpWriteMs` is closed. */
export class SocketWriter {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #figures: Figures;
  readonly #waiting: Array<() => void> = [];
  #cancelStall: Cancel | undefined;

  constructor(socket: WebSocket, clock: Clock, figures: Figures) {
    this.#socket = socket;
    this.#clock = clock;
    this.#figures = figures;
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
    if (this.isFull) this.#watchStall();
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
    this.#cancelStall?.();
    this.#cancelStall = undefined;
    while (this.#socket.bufferedAmount <= LIMITS.writeSoftBytes) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      next();
    }
    this.#watchStall();
  }

  #watchStall(): void {
    this.#cancelStall ??= this.#clock.after(LIMITS.httpWriteMs, () => this.#socket.terminate());
  }

  #closed(): void {
    this.#cancelStall?.();
    for (const write of this.#waiting.splice(0)) write();
  }
}

function ignore(): void {
  // Nobody waits to hear that it went out.
}

import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { TaskId } from '../core/topics.js';
import type { Reply, Request, RequestKind } from '../router/request.js';
import type { Party } from './access.js';
import type { Api, SocketRoute } from './api.js';
import { closing, isBroken } from './exchange.js';
import type { HttpPorts } from './ports.js';
import { SocketPulse } from './socket-pulse.js';
import { SocketWriter } from './socket-writer.js';

const SILENCE_MS = LIMITS.keepaliveTolerance * LIMITS.workerKeepaliveS * 1_000;

type RequestSocketPorts = Pick<HttpPorts, 'clock' | 'handler' | 'figures' | 'limits' | 'isClosing'>;

interface RequestSocketOptions {
  readonly party: Party;
  readonly kind: RequestKind;
  readonly taskId: TaskId | undefined;
  /** That carries the WebSocket. */
  readonly connection: Socket;
}

/** A WebSocket on the path of a request: each message is one, each answer comes back as a text message when it is ready.
 *  Answers are told apart by their `transaction`. */
class RequestSocket {
  readonly #ports: RequestSocketPorts;
  readonly #socket: WebSocket;
  readonly #writer: SocketWriter;
  readonly #party: Party;
  readonly #kind: RequestKind;
  readonly #taskId: TaskId | undefined;
  readonly #connection: Socket;
  readonly #abort = new AbortController();
  #pending = 0;

  constructor(ports: RequestSocketPorts, socket: WebSocket, { party, kind, taskId, connection }: RequestSocketOptions) {
    this.#ports = ports;
    this.#socket = socket;
    this.#writer = new SocketWriter(socket, connection, ports.figures);
    this.#party = party;
    this.#kind = kind;
    this.#taskId = taskId;
    this.#connection = connection;
    // Each waiting request listens; their number is bounded where they are taken.
    setMaxListeners(0, this.#abort.signal);
  }

  start(): void {
    const { clock } = this.#ports;
    const socket = this.#socket;
    new SocketPulse({ clock, socket, limitMs: () => SILENCE_MS, silent: () => socket.terminate() });
    socket.on('message', (data: Buffer) => this.#take(data));
    socket.once('close', () => this.#abort.abort());
  }

  #take(payload: Buffer): void {
    // What comes behind a message that ended it is not looked at.
    if (!this.#writer.isOpen) return;
    const { handler, figures, limits, isClosing } = this.#ports;
    figures.bytesReceived += payload.length;
    if (payload.length > limits.packetBytesMax) {
      this.#socket.close(1009, `expected at most ${limits.packetBytesMax} bytes`);
      return;
    }
    const request: Request = {
      kind: this.#kind,
      taskId: this.#taskId,
      payload,
      caller: this.#party.caller,
      hears: () => true,
      more: (reply) => this.#more(reply),
      signal: this.#abort.signal,
    };
    const why = isClosing() ? closing() : this.#pending >= LIMITS.requestsPerClientMax ? tooMany() : undefined;
    if (why !== undefined) {
      this.#write(handler.refuse(request, why), nothing);
      this.#pauseWhenFull();
      return;
    }
    this.#pending += 1;
    const done = () => {
      this.#pending -= 1;
    };
    handler.handle(request).then(
      (reply) => (reply === undefined ? done() : this.#write(reply, done)),
      () => this.#socket.close(1011, 'a fault of the node'),
    );
    this.#pauseWhenFull();
  }

  /** As many as may be, and no room for answers: what comes behind them waits in the socket. */
  #pauseWhenFull(): void {
    if (this.#pending < LIMITS.requestsPerClientMax || !this.#writer.isFull || this.#socket.isPaused) return;
    this.#socket.pause();
    this.#writer.whenRoom(() => this.#socket.resume());
  }

  /** One of several answers. A promise: there is no room for the next. */
  #more(reply: Reply): undefined | Promise<void> {
    if (!this.#writer.isFull) {
      this.#writeNow(reply);
      if (!this.#writer.isFull) return undefined;
      return new Promise((resolve) => this.#writer.whenRoom(resolve));
    }
    return new Promise((resolve) => this.#write(reply, resolve));
  }

  #write(reply: Reply, done: () => void): void {
    this.#writer.whenRoom(() => {
      done();
      this.#writeNow(reply);
    });
  }

  #writeNow(reply: Reply): void {
    const text = reply.json();
    this.#writer.send(text ?? TOO_DEEP, (arrived) => {
      reply.delivered(arrived && text !== undefined && !isBroken(this.#connection));
    });
  }
}

/** A path on which each message asks this.
 *  @param taskOf The task that the path names */
export function asks(
  { ports, sockets }: Api,
  kind: RequestKind,
  taskOf: (request: FastifyRequest) => TaskId | undefined = () => undefined,
): SocketRoute {
  return {
    admit: taskOf,
    open: (socket, request) => {
      sockets.add(socket, 'json');
      const { party, raw } = request;
      new RequestSocket(ports, socket, { party, kind, taskId: taskOf(request), connection: raw.socket }).start();
    },
  };
}

const TOO_DEEP = JSON.stringify({
  status: 'error',
  error: 'reply: expected one that can be written, got too much depth',
  code: 'SN_ERR_REQUEST',
});

function tooMany(): SuperNodeError {
  const expected = `at most ${LIMITS.requestsPerClientMax} unanswered ones of a client`;
  return new SuperNodeError('SN_ERR_LIMIT', `requests: expected ${expected}, got one more`);
}

function nothing(): void {
  // It was never counted.
}

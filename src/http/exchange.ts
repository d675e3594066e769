import { setMaxListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { TaskId } from '../core/topics.js';
import type { Reply, Request, RequestKind } from '../router/request.js';
import type { Party } from './access.js';
import type { HttpPorts } from './ports.js';

/** What one HTTP request asks of the router. */
export interface Asked {
  readonly kind: RequestKind;
  readonly taskId: TaskId | undefined;
  readonly payload: Uint8Array;
  readonly body?: Request['body'];
  /** Takes the replies that others follow. */
  more?(reply: Reply): undefined | Promise<void>;
}

type AskPorts = Pick<HttpPorts, 'handler' | 'isClosing'>;

/** One HTTP request and its response, as long as the router has to do with them. */
export class Exchange {
  readonly #party: Party;
  /** Made when somebody waits: most answers are there at once. */
  #abort: AbortController | undefined;
  #delivered: ((arrived: boolean) => void) | undefined;
  #isOver = false;

  constructor(response: ServerResponse, party: Party) {
    this.#party = party;
    const { socket } = response.req;
    let arrived = false;
    response.once('finish', () => {
      arrived = !isBroken(socket);
    });
    this.#isOver = isOver(response);
    whenOver(response, () => {
      this.#isOver = true;
      if (!arrived) this.#abort?.abort();
      this.#delivered?.(arrived);
      this.#delivered = undefined;
    });
  }

  /** The router's answer. Its `delivered` is called once the response is written, or broke off.
   *  @throws SuperNodeError SN_ERR_HTTP: nobody waits for it any more; SN_ERR_CLOSING */
  async ask({ handler, isClosing }: AskPorts, { more = ignore, ...asked }: Asked): Promise<Reply> {
    // While its body came in, either may have come about.
    if (this.#isOver) throw gone();
    if (isClosing()) throw closing();
    const signal = () => this.#signal;
    const request: Request = {
      ...asked,
      caller: this.#party.caller,
      hears: isHeard,
      more,
      get signal() {
        return signal();
      },
    };
    const reply = await handler.handle(request);
    if (reply === undefined) throw gone();
    if (this.#isOver) {
      reply.delivered(false);
      throw gone();
    }
    this.#delivered = reply.delivered;
    return reply;
  }

  /** Nothing more is wanted of what the router does for it. */
  abort(): void {
    this.#abort?.abort();
  }

  get #signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      setMaxListeners(0, this.#abort.signal);
      if (this.#isOver) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /** What was asked for does not go out after all. */
  giveUp(): void {
    this.#delivered?.(false);
    this.#delivered = undefined;
  }
}

/** Node calls written, too, what a connection dropped as it broke off. */
export function isBroken(socket: Socket): boolean {
  return socket.destroyed || socket.errored !== null;
}

/** Node tells of an end once: who comes later hears nothing. */
function isOver({ closed, req }: ServerResponse): boolean {
  return closed || req.socket.destroyed;
}

export function closing(): SuperNodeError {
  return new SuperNodeError('SN_ERR_CLOSING', 'the node is shutting down');
}

/** Calls once the response is written or broke off. Of one that waits behind others of its connection (pipelining) Node
 *  does not tell that the connection ended. */
function whenOver(response: ServerResponse, over: () => void): void {
  if (isOver(response)) {
    queueMicrotask(over);
    return;
  }
  if (response.socket !== null) {
    response.once('close', over);
    return;
  }
  const { socket } = response.req;
  const once = () => {
    socket.off('close', once);
    response.off('close', once);
    over();
  };
  socket.once('close', once);
  response.once('close', once);
}

/** The requests of each connection that wait behind others of it: Node reads on while nothing of an answer waits. */
export class Pipelines {
  readonly #waiting = new WeakMap<Socket, number>();

  /** @throws SuperNodeError SN_ERR_LIMIT */
  admit(response: ServerResponse): void {
    if (response.socket !== null) return;
    const { socket } = response.req;
    const waiting = this.#waiting.get(socket) ?? 0;
    if (waiting >= LIMITS.httpPipelinedMax) {
      const expected = `at most ${LIMITS.httpPipelinedMax} that wait behind another one of their connection`;
      throw new SuperNodeError('SN_ERR_LIMIT', `requests: expected ${expected}, got one more`);
    }
    this.#waiting.set(socket, waiting + 1);
    // Each listens for the end of the connection.
    socket.setMaxListeners(0);
    whenOver(response, () => this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1));
  }
}

/** Answers that their readers have not taken yet. */
export class AnswerBudget {
  #bytes = 0;

  /** Counts an answer until its response is over.
   *  @throws SuperNodeError SN_ERR_LIMIT */
  admit(bytes: number, response: ServerResponse): void {
    if (bytes >= LIMITS.httpAnswerBytes) this.hold(bytes, response);
  }

  /** The same of any size, and of what is gathered for one.
   *  @throws SuperNodeError SN_ERR_LIMIT */
  hold(bytes: number, response: ServerResponse): void {
    if (this.#bytes + bytes > LIMITS.httpAnswersBytes) {
      const expected = `at most ${LIMITS.httpAnswersBytes} bytes of answers that are not read yet`;
      throw new SuperNodeError('SN_ERR_LIMIT', `answers: expected ${expected}, got more`);
    }
    this.#bytes += bytes;
    whenOver(response, () => {
      this.#bytes -= bytes;
    });
    // Reset by each byte that goes out; Node sets it anew for the next request.
    response.setTimeout(LIMITS.httpWriteMs, () => response.destroy());
  }
}

function gone(): SuperNodeError {
  return new SuperNodeError('SN_ERR_HTTP', 'request: expected its connection to last, got its end');
}

/** Whoever asks over HTTP waits for the answer. */
function isHeard(): boolean {
  return true;
}

function ignore(): undefined {
  return undefined;
}

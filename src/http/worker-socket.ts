import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { asSuperNodeError, type SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import type { Seat, WorkerAnswer } from '../core/seat.js';
import type { TaskId } from '../core/topics.js';
import { AckOrder } from '../transport/ack-order.js';
import { silenceLimitMs } from '../transport/heartbeat.js';
import type { Answers, HeldPut, Intake, PutOutcome, WorkerChannel } from '../transport/ports.js';
import type { WorkerIdentity } from './access.js';
import type { Figures } from './figures.js';
import { SocketPulse } from './socket-pulse.js';
import { SocketWriter } from './socket-writer.js';

const OPEN_OBJECT = 123;
/** Close codes by which a client takes its leave; none is 1005 (RFC 6455 §7.4.1). */
const GOODBYE = new Set([1000, 1001, 1005]);

/** Calls as messages of text: the lines of programs that know no MQTT. */
interface CallLines {
  answerIn(line: Uint8Array): Omit<WorkerAnswer, 'taskId'> | undefined;
  call(callId: string, payload: Uint8Array): string;
  cancel(callId: string): string;
}

export interface WorkerSocketPorts {
  readonly clock: Clock;
  readonly intake: Intake;
  readonly answers: Answers;
  readonly lines: CallLines;
  readonly figures: Figures;
  readonly limits: { readonly packetBytesMax: number };
  /** Longest silence a worker of the task may keep, from its record. Milliseconds, 0: its keepalive decides. */
  heartbeatMs(taskId: TaskId): number;
  ended(socket: WorkerSocket, how: 'closed' | 'disconnect' | 'silent'): void;
}

export interface WorkerSocketOptions {
  readonly id: string;
  readonly taskId: TaskId;
  readonly identity: WorkerIdentity | undefined;
  /** That carries the WebSocket. */
  readonly connection: Socket;
  /** The node tells how many entries are in the queue for good. */
  readonly acks: boolean;
}

/** A WebSocket on `/w/ch/<task>`: every message is an entry, or the answer to a call it was given. */
export class WorkerSocket implements WorkerChannel {
  readonly id: string;
  readonly taskId: TaskId;
  readonly identity: WorkerIdentity | undefined;
  readonly remoteAddress: string | undefined;
  readonly keepaliveS = LIMITS.workerKeepaliveS;
  readonly writer: SocketWriter;
  readonly #acks: AckOrder;
  readonly #ports: WorkerSocketPorts;
  readonly #socket: WebSocket;
  readonly #pulse: SocketPulse;
  /** Puts that wait for room. */
  readonly #held = new Set<HeldPut>();
  #heldBytes = 0;
  #put = 0;
  #isFlushing = false;
  #waitsForCaller = false;
  #hasCalls = false;
  #end: 'disconnect' | 'silent' | undefined;

  constructor(socket: WebSocket, ports: WorkerSocketPorts, options: WorkerSocketOptions) {
    const { clock } = ports;
    this.id = options.id;
    this.taskId = options.taskId;
    this.identity = options.identity;
    this.remoteAddress = options.connection.remoteAddress;
    this.#ports = ports;
    this.#socket = socket;
    this.writer = new SocketWriter(socket, options.connection, ports.figures);
    this.#acks = new AckOrder((numbers) => {
      if (options.acks) this.writer.send(`{"taken":${numbers.at(-1)}}`);
      this.#pauseWhenFull();
      this.#goOn();
    });
    this.#pulse = new SocketPulse({
      clock,
      socket,
      limitMs: () => this.#limitMs(),
      silent: () => {
        this.#end = 'silent';
        socket.terminate();
      },
    });
    socket.on('message', (data: Buffer, isBinary: boolean) => this.#take(data, isBinary));
    socket.once('close', (code: number) => {
      this.#giveUpHeld();
      ports.ended(this, this.#end ?? (GOODBYE.has(code) ? 'disconnect' : 'closed'));
    });
  }

  get clientId(): string {
    return this.id;
  }

  get lastSeenMs(): number {
    return this.#pulse.lastSeenMs;
  }

  /** Can take commands and calls now. */
  get isListening(): boolean {
    return this.writer.isOpen && !this.writer.isFull;
  }

  /** As a place that takes calls.
   *  @param worker Whose it is, as `Seat.worker` says it */
  seat(worker: string, name: string): Seat {
    const { lines } = this.#ports;
    return {
      id: this.id,
      worker,
      name,
      call: (callId, payload) => {
        if (!this.isListening) return false;
        this.#hasCalls = true;
        this.writer.send(lines.call(callId, payload));
        return true;
      },
      cancel: (callId) => this.writer.send(lines.cancel(callId)),
    };
  }

  /** The node ends it, which is nobody's failure. */
  close(): void {
    this.#end ??= 'disconnect';
    this.#socket.close(1001, 'the node closed it');
    // One that does not close in turn must not keep the socket; `ws` waits for longer than a stop may.
    const cancel = this.#ports.clock.after(LIMITS.refusalLingerMs, () => this.#socket.terminate());
    this.#socket.once('close', cancel);
  }

  #limitMs(): number {
    const heartbeatMs = this.#ports.heartbeatMs(this.taskId);
    return silenceLimitMs(LIMITS.workerKeepaliveS, { heartbeatMs, isProcess: true });
  }

  #take(data: Buffer, isBinary: boolean): void {
    // What comes behind a message that ended it is not looked at.
    if (!this.writer.isOpen) return;
    const { figures, lines, answers, limits } = this.#ports;
    figures.bytesReceived += data.length;
    if (data.length > limits.packetBytesMax) {
      this.#socket.close(1009, `expected at most ${limits.packetBytesMax} bytes`);
      return;
    }
    // Who was never called answers nothing, whatever its entries look like.
    const answer = !isBinary && this.#hasCalls && data[0] === OPEN_OBJECT ? lines.answerIn(data) : undefined;
    if (answer === undefined) {
      this.#putEntry(data);
      return;
    }
    const room = answers.answer(this.id, { taskId: this.taskId, ...answer });
    if (room === undefined) return;
    this.#waitsForCaller = true;
    this.#pauseWhenFull();
    room.then(() => {
      this.#waitsForCaller = false;
      this.#goOn();
    });
  }

  #putEntry(data: Buffer): void {
    const number = ++this.#put;
    let outcome: PutOutcome;
    try {
      outcome = this.#ports.intake.sink(this.taskId).put(data, 1, undefined, this.identity?.instance);
    } catch (thrown) {
      // The task is gone, and may not come back by itself.
      this.#socket.close(1008, reasonOf(asSuperNodeError(thrown)));
      return;
    }
    if (outcome === undefined) {
      this.#acks.done(number);
      this.#flushSoon();
    } else if ('giveUp' in outcome) {
      this.#hold(outcome, data.length, this.#acks.later(number));
    } else {
      this.#acks.committed(number, outcome, () => this.#socket.close(1011, 'a fault of the node'));
    }
    this.#pauseWhenFull();
  }

  #hold(put: HeldPut, bytes: number, acknowledge: () => void): void {
    this.#held.add(put);
    this.#heldBytes += bytes;
    put.done.then(() => {
      if (!this.#held.delete(put)) return;
      this.#heldBytes -= bytes;
      acknowledge();
      this.#goOn();
    });
  }

  /** The last first, so that none of them gets in because one before it left. */
  #giveUpHeld(): void {
    const held = [...this.#held].reverse();
    this.#held.clear();
    for (const put of held) put.giveUp();
  }

  get #isFull(): boolean {
    return (
      this.#waitsForCaller ||
      this.writer.isFull ||
      this.#held.size >= LIMITS.heldPutsMax ||
      this.#heldBytes >= LIMITS.heldPutBytesMax ||
      this.#acks.waiting >= LIMITS.acksWaitingMax
    );
  }

  #pauseWhenFull(): void {
    if (!this.#isFull || this.#socket.isPaused) return;
    this.#socket.pause();
    // One that does not read what it is told is not read from either.
    if (this.writer.isFull) this.writer.whenRoom(() => this.#goOn());
  }

  #goOn(): void {
    if (!this.#isFull && this.#socket.isPaused) this.#socket.resume();
  }

  /** Entries that came together are told of together. */
  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#ports.clock.soon(() => {
      this.#isFlushing = false;
      this.#acks.flush();
    });
  }
}

/** As much as a close frame holds (RFC 6455 §5.5). */
function reasonOf({ code, message }: SuperNodeError): string {
  return Buffer.from(`${code} ${message}`)
    .toString('utf8', 0, 120)
    .replace(/\ufffd$/, '');
}

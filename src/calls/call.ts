import { asSuperNodeError, type SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';
import type { Seat } from '../core/seat.js';
import type { AnswerKind, TaskId } from '../core/topics.js';
import { callerGone, failed, piledUp, timedOut } from './failures.js';
import type { PileBudget } from './pile-budget.js';

/** One part of an answer. The bytes are the receiver's to keep. */
export interface AnswerPart {
  /** From 1. */
  readonly index: number;
  readonly payload: Uint8Array;
  /** Who answers, for people. */
  readonly workerName: string;
}

export interface CallRequest {
  readonly taskId: TaskId;
  readonly payload: Uint8Array;
  /** Longest wait for the whole answer. */
  readonly timeoutMs: number;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal | undefined;
  /** Takes each part but the last. A promise: the next one comes when it is settled. */
  part(part: AnswerPart): undefined | Promise<void>;
}

export interface CallPorts {
  readonly clock: Clock;
  /** What the parts of all calls may take while they wait. */
  readonly budget: PileBudget;
  /** The worker has nothing more to do with this call. Comes once. */
  released(): void;
  /** The call is over. Comes once, after `released`. `error`: it has no last part. */
  over(error: SuperNodeError | undefined): void;
}

/** Where the promise of a call is settled. */
export interface CallOutcome {
  resolve(last: AnswerPart): void;
  reject(error: SuperNodeError): void;
}

/** Something a worker said that the caller has not got yet. */
interface Piece {
  readonly kind: AnswerKind;
  readonly payload: Uint8Array;
  /** The worker may go on. */
  taken: () => void;
}

/** One call that a worker has: its parts in order, its deadline, and one end.
 *
 *      open ──► spoken ──► over      spoken: the worker has said its last word, but the caller has not read so far
 *        └──────────────────┘ */
export class Call {
  readonly id: string;
  readonly seat: Seat;
  readonly #request: CallRequest;
  readonly #ports: CallPorts;
  readonly #outcome: CallOutcome;
  #phase: 'open' | 'spoken' | 'over' = 'open';
  /** Parts handed to the caller. */
  #parts = 0;
  /** What was handed to the caller last, while it has no room for more. */
  #current: Piece | undefined;
  #pile: Piece[] = [];
  #pileBytes = 0;
  #cancelDeadline: Cancel | undefined;
  #cancelGrace: Cancel | undefined;
  readonly #aborted = () => this.end(callerGone(this.#request.signal?.reason), 'cancel');

  constructor(id: string, seat: Seat, request: CallRequest, ports: CallPorts, outcome: CallOutcome) {
    this.id = id;
    this.seat = seat;
    this.#request = request;
    this.#ports = ports;
    this.#outcome = outcome;
  }

  get taskId(): TaskId {
    return this.#request.taskId;
  }

  /** Lets its time run. */
  start(): void {
    const { timeoutMs, signal } = this.#request;
    signal?.addEventListener('abort', this.#aborted, { once: true });
    this.#cancelDeadline = this.#ports.clock.after(timeoutMs, () => {
      this.end(timedOut(this.seat.name, timeoutMs, this.#parts), 'cancel');
    });
  }

  /** False: the worker has said its last word, or nobody waits for one. */
  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** The worker says something; only while `isOpen`. The bytes are valid only during the call.
   *  @returns a promise while the caller has no room for more */
  answer(kind: AnswerKind, payload: Uint8Array): undefined | Promise<void> {
    if (kind !== 'part') this.#release('spoken');
    if (this.#current !== undefined && !this.#admit(payload)) return undefined;
    const piece: Piece = { kind, payload: new Uint8Array(payload), taken: nothing };
    const taken = new Promise<void>((resolve) => {
      piece.taken = resolve;
    });
    if (this.#current !== undefined) {
      this.#pile.push(piece);
      return taken;
    }
    const room = this.#hand(piece);
    if (room === undefined || this.#isOver) return undefined;
    this.#current = piece;
    void this.#handRest(piece, room);
    return taken;
  }

  /** Its seat is gone, and with it perhaps a process whose cause is still to come. */
  awaitCause(error: SuperNodeError): void {
    if (this.isOpen) this.#cancelGrace ??= this.#ports.clock.after(LIMITS.callCauseMs, () => this.end(error, 'leave'));
  }

  /** Ends the call without its last part.
   *  @param how `cancel`: its worker may live, and is told that nobody waits any more */
  end(error: SuperNodeError, how: 'cancel' | 'leave'): void {
    if (this.#isOver) return;
    const tell = this.isOpen && how === 'cancel';
    this.#finish(error);
    if (tell) this.seat.cancel(this.id);
    this.#outcome.reject(error);
  }

  get #isOver(): boolean {
    return this.#phase === 'over';
  }

  /** Takes room for one more piece that waits; without any the call is lost. */
  #admit(payload: Uint8Array): boolean {
    const { budget } = this.#ports;
    const bytes = costOf(payload);
    const bytesMax = this.#pileBytes + bytes > LIMITS.callPartsBytes ? LIMITS.callPartsBytes : budget.bytesMax;
    if (this.#pileBytes + bytes <= LIMITS.callPartsBytes && budget.take(bytes)) {
      this.#pileBytes += bytes;
      return true;
    }
    this.end(piledUp(this.seat.name, bytesMax), 'cancel');
    return false;
  }

  /** @returns a promise while the caller has no room for more */
  #hand({ kind, payload }: Piece): undefined | Promise<void> {
    if (kind === 'error') {
      this.end(failed(this.seat.name, payload), 'leave');
      return undefined;
    }
    const part: AnswerPart = { index: ++this.#parts, payload, workerName: this.seat.name };
    if (kind === 'end') {
      this.#finish(undefined);
      this.#outcome.resolve(part);
      return undefined;
    }
    try {
      return this.#request.part(part);
    } catch (thrown) {
      this.end(asSuperNodeError(thrown), 'cancel');
      return undefined;
    }
  }

  async #handRest(first: Piece, room: Promise<void>): Promise<void> {
    try {
      await room;
      first.taken();
      for (let piece = this.#next(); piece !== undefined; piece = this.#next()) {
        await this.#hand(piece);
        piece.taken();
      }
    } catch (thrown) {
      this.end(asSuperNodeError(thrown), 'cancel');
    }
  }

  #next(): Piece | undefined {
    this.#current = this.#pile.shift();
    if (this.#current !== undefined) this.#giveBack(costOf(this.#current.payload));
    return this.#current;
  }

  #giveBack(bytes: number): void {
    this.#pileBytes -= bytes;
    this.#ports.budget.giveBack(bytes);
  }

  #finish(error: SuperNodeError | undefined): void {
    this.#release('over');
    this.#cancelDeadline?.();
    this.#request.signal?.removeEventListener('abort', this.#aborted);
    const waiting = this.#pile;
    this.#pile = [];
    this.#giveBack(this.#pileBytes);
    this.#current?.taken();
    for (const piece of waiting) piece.taken();
    this.#ports.over(error);
  }

  #release(phase: 'spoken' | 'over'): void {
    const wasOpen = this.isOpen;
    this.#phase = phase;
    this.#cancelGrace?.();
    if (wasOpen) this.#ports.released();
  }
}

/** What a piece takes while it waits. */
function costOf(payload: Uint8Array): number {
  return payload.length + LIMITS.liveOverheadBytes;
}

function nothing(): void {
  // Overwritten before anybody can call it.
}

import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Clock, Random } from '../core/ports.js';
import type { Seat, WorkerAnswer } from '../core/seat.js';
import type { TaskId } from '../core/topics.js';
import { seatOwner, type WorkerKey } from '../core/worker-key.js';
import { Burdens } from './burdens.js';
import { type AnswerPart, Call, type CallOutcome, type CallRequest } from './call.js';
import { callerGone, closing, workerGone } from './failures.js';
import { PileBudget } from './pile-budget.js';

/** Who guesses one may answer for another: 96 bits. */
const CALL_ID_BYTES = 12;

export interface CallsPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** The places of a task that take calls now. A seat must not answer before its `call` returned. */
  seats(taskId: TaskId): readonly Seat[];
}

export interface CallFigures {
  readonly inFlight: number;
  /** Given to a worker, ever. */
  readonly total: number;
  /** Of these, ended without a last part; those that their caller took back included. */
  readonly failed: number;
}

/** Every call of the node: which worker gets it, what it answers, and one end for each. */
export class Calls {
  readonly #ports: CallsPorts;
  readonly #calls = new Map<string, Call>();
  readonly #burdens = new Burdens<Call>();
  readonly #budget = new PileBudget(LIMITS.callsPartsBytes);
  readonly #figures = new Map<TaskId, { inFlight: number; total: number; failed: number }>();
  #late = 0;
  #total = 0;
  #failed = 0;
  #stopped = false;

  constructor(ports: CallsPorts) {
    this.#ports = ports;
  }

  /** Hands a call to the least busy worker of a task. Resolves with the last part of its answer.
   *  @throws SuperNodeError SN_ERR_NO_CHANNEL; SN_ERR_CALL_FAILED: the worker said so, or the caller took it back;
   *  SN_ERR_CALL_TIMEOUT; SN_ERR_WORKER_GONE; SN_ERR_LIMIT: too many calls, or parts that nobody reads;
   *  SN_ERR_CLOSING */
  async call(request: CallRequest): Promise<AnswerPart> {
    const { signal } = request;
    if (this.#stopped) throw closing();
    if (signal?.aborted) throw callerGone(signal.reason);
    if (this.#calls.size >= LIMITS.callsMax) {
      throw new SuperNodeError('SN_ERR_LIMIT', `calls: expected at most ${LIMITS.callsMax} under way, got one more`);
    }
    const id = this.#ports.random.secret(CALL_ID_BYTES);
    const seat = this.#place(id, request);
    return new Promise((resolve, reject) => this.#begin(id, seat, request, { resolve, reject }));
  }

  /** A seat says something about a call. It counts only for a call of this task that this very seat was given and has
   *  not answered to the end; anything else is counted in `late`. The bytes are valid only during the call.
   *  @returns a promise while the caller has no room for more; it never rejects */
  answer(seatId: string, answer: WorkerAnswer): undefined | Promise<void> {
    const call = this.#calls.get(answer.callId);
    // One connection may be a seat of several tasks.
    if (call?.isOpen && call.seat.id === seatId && call.taskId === answer.taskId) {
      return call.answer(answer.kind, answer.payload);
    }
    this.#late++;
    return undefined;
  }

  /** A seat is gone for good, and so are its calls.
   *  @param end.processBehind The cause may be the end of a process: it is waited for, for `LIMITS.callCauseMs`
   *  @param end.why For people, where no better cause comes */
  seatGone(seatId: string, { processBehind, why }: { processBehind: boolean; why: string }): void {
    for (const call of this.#burdens.seatGone(seatId)) {
      const error = workerGone(call.seat.name, why);
      if (processBehind) call.awaitCause(error);
      else call.end(error, 'leave');
    }
  }

  /** A process is gone, or counts as gone: so are the calls of all its seats, also of those that went before.
   *  @param why For people, such as `signal SIGKILL` */
  workerGone(worker: WorkerKey, why: string): void {
    for (const call of this.#burdens.workerGone(seatOwner(worker))) {
      call.end(workerGone(call.seat.name, why), 'leave');
    }
  }

  /** Calls that a worker has not answered to the end.
   *  @param worker `Seat.worker`, or the key of a worker with a process */
  inFlight(worker: string | WorkerKey): number {
    return this.#burdens.inFlight(typeof worker === 'string' ? worker : seatOwner(worker));
  }

  figures(taskId: TaskId): CallFigures {
    return { ...(this.#figures.get(taskId) ?? { inFlight: 0, total: 0, failed: 0 }) };
  }

  /** The task is removed: its calls end, and its figures begin anew. */
  forget(taskId: TaskId): void {
    for (const call of [...this.#calls.values()]) {
      if (call.taskId === taskId) call.end(workerGone(call.seat.name, 'the task was removed'), 'cancel');
    }
    this.#figures.delete(taskId);
  }

  /** Calls under way, of all tasks. */
  get size(): number {
    return this.#calls.size;
  }

  /** Answers that nobody waited for, or that came from a seat that was not asked. */
  get late(): number {
    return this.#late;
  }

  /** Of all tasks, those that are gone as well. */
  get totals(): CallFigures {
    return { inFlight: this.#calls.size, total: this.#total, failed: this.#failed };
  }

  /** Ends every call; no further one is taken. Idempotent. */
  stop(): void {
    this.#stopped = true;
    for (const call of [...this.#calls.values()]) call.end(closing(), 'cancel');
  }

  /** @throws SuperNodeError SN_ERR_NO_CHANNEL */
  #place(id: string, { taskId, payload }: CallRequest): Seat {
    const seats = this.#burdens.inOrder(this.#ports.seats(taskId));
    const seat = seats.find((candidate) => candidate.call(id, payload));
    if (seat !== undefined) return seat;
    const got = seats.length === 0 ? 'none' : `${seats.length} that cannot take one now`;
    throw new SuperNodeError(
      'SN_ERR_NO_CHANNEL',
      `${taskId}: expected a connected worker that takes calls, got ${got}`,
    );
  }

  #begin(id: string, seat: Seat, request: CallRequest, outcome: CallOutcome): void {
    const figures = this.#figures.get(request.taskId) ?? { inFlight: 0, total: 0, failed: 0 };
    this.#figures.set(request.taskId, figures);
    const call: Call = new Call(
      id,
      seat,
      request,
      {
        clock: this.#ports.clock,
        budget: this.#budget,
        released: () => this.#burdens.done(seat, call),
        over: (error) => {
          this.#calls.delete(id);
          figures.inFlight--;
          if (error === undefined) return;
          figures.failed++;
          this.#failed++;
        },
      },
      outcome,
    );
    this.#calls.set(id, call);
    this.#burdens.took(seat, call);
    figures.inFlight++;
    figures.total++;
    this.#total++;
    call.start();
  }
}

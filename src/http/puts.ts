import { SuperNodeError } from '../core/errors.js';
import type { TaskId } from '../core/topics.js';
import type { Intake } from '../transport/ports.js';
import { closing } from './exchange.js';
import { type FlushWaits, storageFailed } from './flush-waits.js';

export interface PutsPorts {
  readonly intake: Intake;
  readonly flushes: FlushWaits;
  /** Nothing new is begun. */
  isClosing(): boolean;
  /** Why nothing can be put into the queue of a task; undefined: it can. */
  storageError(taskId: TaskId): string | undefined;
}

/** Puts of those who ask once and want an answer now: none is held. */
export class Puts {
  readonly #ports: PutsPorts;

  constructor(ports: PutsPorts) {
    this.#ports = ports;
  }

  /** Undefined: it is in the queue, or dropped by the task's policy and counted; a promise: it is once that is settled.
   *  @param payload Is good only during the call
   *  @param instance Which worker of the task puts it, where it has shown its token
   *  @throws SuperNodeError SN_ERR_QUEUE_FULL, SN_ERR_STORAGE, SN_ERR_TASK_UNKNOWN, SN_ERR_LIMIT */
  put(taskId: TaskId, payload: Uint8Array, instance: number | undefined): undefined | Promise<void> {
    const { intake, flushes, storageError, isClosing } = this.#ports;
    if (isClosing()) throw closing();
    const sink = intake.sink(taskId);
    const error = storageError(taskId);
    if (error !== undefined) throw storageFailed(error);
    const outcome = sink.put(payload, 1, undefined, instance);
    if (outcome === undefined) return undefined;
    if (!('giveUp' in outcome)) return flushes.wait(outcome);
    if (!outcome.giveUp()) return flushes.wait(outcome.done);
    const why = 'overflow: block, or a disk that is behind';
    throw new SuperNodeError('SN_ERR_QUEUE_FULL', `${taskId}: expected room in its queue, got none (${why})`);
  }
}

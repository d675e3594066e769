import type { TaskId } from '../core/topics.js';

/** One datum of a task, as it is handed out. `seq` counts from 1 within the queue's epoch, `tsMs` is wall time and never
 *  falls within a queue, `attempts` is 1 at the first hand-out and 0 for one that was only read. */
export interface Entry {
  readonly taskId: TaskId;
  readonly seq: number;
  readonly tsMs: number;
  readonly payload: Uint8Array;
  readonly topic: string | undefined;
  readonly attempts: number;
}

/** Bytes that several queues share. */
export interface ByteBudget {
  bytes: number;
  readonly bytesMax: number;
  /** Somebody waits for room, in whichever queue: entries have left one. */
  freed?: (() => void) | undefined;
}

/** When something is put. */
export interface PutTime {
  readonly wallMs: number;
  readonly nowMs: number;
  /** Counts over all queues of the node. */
  readonly arrival: number;
}

/** What becomes of a put. `full`: it is not taken, and may be tried again. */
export type PutResult = 'stored' | 'dropped' | 'full';

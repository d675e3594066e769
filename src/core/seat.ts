import type { AnswerKind, TaskId } from './topics.js';

/** What a worker says about a call. */
export interface WorkerAnswer {
  /** For which task it speaks. */
  readonly taskId: TaskId;
  readonly callId: string;
  readonly kind: AnswerKind;
  readonly payload: Uint8Array;
}

/** A place that takes calls: one connection of a worker, or the stdin of one. */
export interface Seat {
  /** Unique in the node, and never used again. */
  readonly id: string;
  /** Whose it is: seats of one worker share its burden. */
  readonly worker: string;
  /** The name of the worker for people: `<task>`, `<task>~2`, or a net client's id. */
  readonly name: string;
  /** Hands a call on. False: it cannot take one now. */
  call(callId: string, payload: Uint8Array): boolean;
  /** Nobody waits for the answer any more. */
  cancel(callId: string): void;
}

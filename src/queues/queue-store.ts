import type { TaskId } from '../core/topics.js';
import type { EntryLog, StoredQueue } from './entry-log.js';

/** A queue's log, and what the queue was when its last run ended; undefined: it is new. */
export interface OpenedLog {
  readonly log: EntryLog;
  readonly stored: StoredQueue | undefined;
}

export interface UnopenedQueue {
  readonly taskId: TaskId;
  readonly length: number;
  /** A group is to see what comes next. */
  readonly hasNamedGroups: boolean;
}

/** Where queues are kept. */
export interface QueueStore {
  /** The newest arrival that an entry of an earlier run had; 0: there was none. */
  readonly lastArrival: number;
  /** Those that an earlier run left behind and nobody has opened yet. */
  unopened(): readonly UnopenedQueue[];
  open(taskId: TaskId): OpenedLog;
  /** Forgets a queue and all that is kept of it. */
  drop(taskId: TaskId): void;
  /** Settles when all that was done so far is flushed. Undefined: it is. */
  whenFlushed(): Promise<void> | undefined;
}

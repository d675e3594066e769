import type { TaskId } from '../core/topics.js';
import type { EntryLog, StoredQueue } from './entry-log.js';
import { MemoryLog } from './memory-log.js';
import { MissingLog } from './missing-log.js';

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

/** Tasks whose queues nobody has opened and that hold entries. Of the others those are forgotten that nobody would miss. */
export function leftBehind(store: QueueStore): readonly TaskId[] {
  const unopened = store.unopened();
  for (const { taskId, length, hasNamedGroups } of unopened) if (length === 0 && !hasNamedGroups) store.drop(taskId);
  return unopened.filter(({ length }) => length > 0).map(({ taskId }) => taskId);
}

/** @param disk Undefined: it is not there now */
export function openLog(taskId: TaskId, storage: 'memory' | 'disk', disk: QueueStore | undefined): OpenedLog {
  if (storage === 'memory') return { log: new MemoryLog(), stored: undefined };
  return disk?.open(taskId) ?? { log: new MissingLog(), stored: undefined };
}

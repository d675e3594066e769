import type { TaskId } from '../core/topics.js';
import type { Entry } from './entry.js';

export interface FetchOptions {
  /** Undefined: of all tasks, in order of arrival. */
  readonly taskId: TaskId | undefined;
  readonly group: string;
  readonly max: number;
  /** Payload bytes; the first entry is not held to it. */
  readonly maxBytes: number;
  /** How long an empty queue may keep the answer waiting. Milliseconds, 0: not at all. */
  readonly waitMs: number;
  /** How long the taker has to settle what it got. Undefined: `Fetched` ends it. */
  readonly leaseMs: number | undefined;
  /** Aborted when the caller is gone: a waiting fetch ends, and takes nothing. */
  readonly signal: AbortSignal | undefined;
}

/** Entries on lease. Exactly one of `settle` and `giveBack` has an effect, the first one called. */
export interface Fetched {
  readonly entries: readonly Entry[];
  /** Entries lost to bounds so far: of the group in this epoch, or of all tasks. */
  readonly dropped: number;
  /** Entries that the group could take next. */
  readonly remaining: number;
  /** Absent in a fetch of all tasks. */
  readonly epoch: string | undefined;
  /** The id for `settle` and so on, where `leaseMs` was asked for and something was taken. */
  readonly leaseId: string | undefined;
  /** The taker has them. With a `leaseId`: it knows of them, and goes on by that. */
  settle(): void;
  giveBack(): void;
}

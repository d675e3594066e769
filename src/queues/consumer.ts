import type { TaskId } from '../core/topics.js';
import type { Entry } from './entry.js';
import type { Lease } from './lease.js';
import type { Waiter } from './waiters.js';

/** Entries at a time for one, before the next has his turn. */
const TURN_ENTRIES = 8;

export interface ConsumerOptions {
  /** Undefined: of all tasks, in order of arrival. */
  readonly taskId: TaskId | undefined;
  readonly group: string;
  /** Most entries that are neither settled nor given back. */
  readonly prefetch: number;
  /** Hands an entry on. `done` is to be called once: whether it arrived. Its bytes stay good. */
  push(entry: Entry, done: (arrived: boolean) => void): void;
  /** It cannot go on, and takes nothing any more. */
  failed(error: unknown): void;
}

/** What whoever consumes has in hand. */
export interface Consumption {
  /** Nothing more is pushed until `goOn`; what was pushed still counts. */
  pause(): void;
  goOn(): void;
  /** Nothing more is pushed at all. */
  end(): void;
}

interface Source {
  /** Leases the next entries to the group. */
  take(max: number): { readonly entries: readonly Entry[]; readonly lease: Lease };
  /** There is room for more. */
  wake(): void;
  /** An entry of this task may be taken again. */
  cameBack(taskId: TaskId): void;
}

/** Somebody who is given entries as they come, as many as he keeps unsettled at once. Waits among those who fetch. */
export class Consumer implements Waiter {
  readonly #options: ConsumerOptions;
  readonly #source: Source;
  #inFlight = 0;
  #paused = false;
  #stopped = false;

  constructor(options: ConsumerOptions, source: Source) {
    this.#options = options;
    this.#source = source;
  }

  /** Takes a few, if it has room. */
  serve(): boolean {
    const room = this.#options.prefetch - this.#inFlight;
    if (this.#stopped || this.#paused || room <= 0) return false;
    try {
      const { entries, lease } = this.#source.take(Math.min(room, TURN_ENTRIES));
      for (const entry of entries) this.#push(entry, lease);
      return entries.length > 0;
    } catch (error) {
      this.#stopped = true;
      this.#options.failed(error);
      return false;
    }
  }

  pause(): void {
    this.#paused = true;
  }

  goOn(): void {
    this.#paused = false;
    if (!this.#stopped) this.#source.wake();
  }

  /** What was pushed stays with whom it was pushed to until `done`. */
  giveUp(): void {
    this.#stopped = true;
  }

  /** It goes on when there is one of this name again. */
  taskGone(): void {
    // Nothing to do: what it had is nobody's now.
  }

  #push(entry: Entry, lease: Lease): void {
    this.#inFlight += 1;
    let isDone = false;
    this.#options.push(entry, (arrived) => {
      if (isDone) return;
      isDone = true;
      this.#inFlight -= 1;
      lease.endOne(entry, arrived ? 'settle' : 'giveBack');
      if (!arrived) this.#source.cameBack(entry.taskId);
      if (!this.#stopped) this.#source.wake();
    });
  }
}

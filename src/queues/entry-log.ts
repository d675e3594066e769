/** An entry as a log keeps it. */
export interface LoggedEntry {
  /** Rising by one with each `append`. */
  readonly seq: number;
  /** Wall clock, ms. */
  readonly tsMs: number;
  /** Counts over all queues of the node. */
  readonly arrival: number;
  /** Monotonic, ms: when it was put. */
  readonly putMs: number;
  readonly payload: Uint8Array;
  /** Where it was routed from. */
  readonly topic: string | undefined;
}

/** How far one group has got, without its marks. */
export interface GroupState {
  /** Names its marks; the smallest that is free. */
  readonly id: number;
  readonly name: string;
  readonly cursor: number;
  /** Entries held from the cursor on. */
  readonly ahead: number;
  readonly dropped: number;
}

/** What a queue knows beside its entries, and beside what is marked. */
export interface QueueState {
  readonly epoch: string;
  /** The newest `seq` given out. */
  readonly seq: number;
  readonly lastTsMs: number;
  /** Arrival of the newest entry. */
  readonly lastArrival: number;
  readonly length: number;
  readonly bytes: number;
  readonly dropped: number;
  readonly discarded: number;
  readonly isDefaultUsed: boolean;
  readonly groups: readonly GroupState[];
}

/** An entry that a group was handed and is not done with. */
export interface Mark {
  readonly groupId: number;
  readonly seq: number;
  readonly attempts: number;
}

/** An entry that was given back too often. */
export interface DeadMark {
  readonly seq: number;
  readonly attempts: number;
  /** Where it died. */
  readonly groups: readonly string[];
}

/** A queue as it was when the last flush ended. */
export interface StoredQueue {
  readonly state: QueueState;
  readonly marks: readonly Mark[];
  readonly dead: readonly DeadMark[];
}

/** What a log asks of the queue it works for, when it writes down what changed. */
export interface LoggedQueue {
  state(): QueueState;
  /** Marks of a group from `from` up to, and without, `to`. None where there is no such group. */
  marksIn(groupId: number, from: number, to: number): readonly Mark[];
  deadMark(seq: number): DeadMark | undefined;
  /** `flushedSeq` rose. */
  flushed(): void;
}

/** Where the entries of one queue are kept, in order of `seq`, and what the queue knows beside them. It knows no bounds,
 *  groups or leases: those are the queue's. Whatever asks for an entry that is not held gets `undefined`, or 0 for a
 *  number of bytes. */
export interface EntryLog {
  /** The newest entry that outlives a crash, as far as this log does; a newer one may not be handed out, or its `seq`
   *  could come again for another entry. */
  readonly flushedSeq: number;
  /** False: it cannot write now. What it has is good. */
  readonly isWritable: boolean;
  /** Whose log it is; once, before anything else. */
  attach(queue: LoggedQueue): void;
  /** Takes an entry in after all others; the bytes are copied. */
  append(entry: LoggedEntry): void;
  /** The bytes are the log's own, and stay as they are. */
  read(seq: number): LoggedEntry | undefined;
  /** The smallest `seq` held that is at least `from`. */
  next(from: number): number | undefined;
  arrival(seq: number): number | undefined;
  putMs(seq: number): number | undefined;
  /** What it counts for: its payload and, where it was routed, its topic. */
  bytes(seq: number): number;
  remove(seq: number): void;
  clear(): void;
  /** The queue's state changed. `lazily`: it may wait for the next flush, or a while. */
  changed(how: 'soon' | 'lazily'): void;
  /** The mark of a group on an entry changed, or went. */
  marked(groupId: number, seq: number): void;
  /** The same for one of the dead. */
  markedDead(seq: number): void;
  /** Settles when all so far is flushed. Undefined: it is. */
  whenFlushed(): Promise<void> | undefined;
}

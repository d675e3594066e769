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

/** Where the entries of one queue are kept, in order of `seq`. It knows no bounds, groups or leases: those are the
 *  queue's. Whatever asks for an entry that is not held gets `undefined`, or 0 for a number of bytes. */
export interface EntryLog {
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
}

/** One batch of changes. Keys may be used again after the call; values stay as they are until the batch is flushed. */
export interface DiskBatch {
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
}

/** Keys and values in order of the keys, on something that outlives the process. What it gives is as of the last batch
 *  that was flushed. One batch at a time. */
export interface OrderedDisk {
  /** Writes all that `fill` says, or nothing. Resolves when it would survive a power cut.
   *  @throws when nothing of it was written: no room, no right, a fault */
  write(fill: (batch: DiskBatch) => void): Promise<void>;
  /** The bytes are good until the next call. Undefined: there is none. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Keys from `from` up to, and without, `to`. */
  keys(from: Uint8Array, to: Uint8Array, max: number): Uint8Array[];
  /** The same with their values. */
  entries(from: Uint8Array, to: Uint8Array): Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
  /** All that is there was read and understood. */
  opened(): void;
  /** Waits for the batch under way. */
  close(): Promise<void>;
}

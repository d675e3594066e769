/** Which entries may be seen: those that are flushed. A newer one's `seq` could come again after a crash. */
export class Visible {
  /** The newest that may be seen. */
  seq = 0;
  /** The newest that was lost before it was seen. */
  #lostSeq = 0;

  /** Entries held that may not be seen yet: what is lost of them is the oldest.
   *  @param newest The newest `seq` given out */
  hidden(newest: number): number {
    return newest - Math.max(this.seq, this.#lostSeq);
  }

  /** All up to `seq` may be seen.
   *  @returns How many more than before */
  show(seq: number): number {
    const before = Math.max(this.seq, this.#lostSeq);
    this.seq = seq;
    return Math.max(0, seq - before);
  }

  /** All up to `seq` are gone. */
  lost(seq: number): void {
    this.#lostSeq = seq;
  }
}

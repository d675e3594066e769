import { lowerBound } from './lower-bound.js';

/** Who holds entries on lease: compared by identity, so that a late word about an entry that was handed out again says
 *  nothing. */
export type Holder = object;

/** What tells a group from others of its queue. */
export interface GroupIdentity {
  /** The smallest that is free; names its marks in the log. */
  readonly id: number;
  readonly name: string;
  /** Its count of the attempts of an entry changed, or went. */
  marked(seq: number): void;
}

/** How far one group of takers has got with a queue.
 *
 *      seq   1 2 3 4 5 6 7 8 9
 *                    ▲ cursor: from here on nothing was handed out
 *      before it: on lease, returned (next again, oldest first), or done
 *
 *  Which entries are held is the queue's to know. */
export class Group {
  readonly id: number;
  readonly name: string;
  /** Entries it lost to the queue's bounds. */
  dropped = 0;
  /** Entries held from the cursor on. */
  ahead: number;
  #cursor: number;
  /** Ascending; those before `#head` are taken again. */
  #returned: number[] = [];
  #head = 0;
  readonly #leased = new Map<number, Holder>();
  /** How often it was handed out, of those on lease or returned. */
  readonly #attempts = new Map<number, number>();
  readonly #marked: (seq: number) => void;

  /** @param ahead Entries held from `cursor` on */
  constructor({ id, name, marked }: GroupIdentity, cursor: number, ahead: number) {
    this.id = id;
    this.name = name;
    this.#marked = marked;
    this.#cursor = cursor;
    this.ahead = ahead;
  }

  /** Gets back what it had before a restart: all that was on lease is returned.
   *  @param marks Ascending */
  restore(marks: readonly { readonly seq: number; readonly attempts: number }[], dropped: number): void {
    this.dropped = dropped;
    for (const { seq, attempts } of marks) this.#attempts.set(seq, attempts);
    this.#returned = marks.map(({ seq }) => seq);
  }

  /** Entries that could be taken now. */
  get readyLength(): number {
    return this.ahead + this.#returned.length - this.#head;
  }

  /** Entries that it is not done with, among those that may be seen. */
  get openLength(): number {
    return this.ahead + this.#attempts.size;
  }

  get leasedLength(): number {
    return this.#leased.size;
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** The oldest that was given back. */
  get returned(): number | undefined {
    return this.#returned[this.#head];
  }

  /** Those that were given back, oldest first. */
  allReturned(): readonly number[] {
    return this.#returned.slice(this.#head);
  }

  attempts(seq: number): number {
    return this.#attempts.get(seq) ?? 0;
  }

  /** Whether it was handed the entry, or got it back, and is not done with it. */
  has(seq: number): boolean {
    return this.#attempts.has(seq);
  }

  /** What it has in that sense. */
  all(): Iterable<number> {
    return this.#attempts.keys();
  }

  /** Whether it needs the entry no more. */
  isDone(seq: number): boolean {
    return seq < this.#cursor && !this.#attempts.has(seq);
  }

  /** An entry that was not handed out yet will not be: it is not held any more.
   *  @param seq The next one that is held, at or after the cursor */
  skipTo(seq: number): void {
    this.#cursor = seq;
  }

  /** Hands out `seq`, which is `returned`, or the next one held from the cursor on.
   *  @returns Its attempts, 1 the first time */
  take(seq: number, holder: Holder): number {
    if (seq >= this.#cursor) {
      this.#cursor = seq + 1;
      this.ahead -= 1;
    } else {
      this.#unreturn(seq);
    }
    const attempts = this.attempts(seq) + 1;
    this.#attempts.set(seq, attempts);
    this.#leased.set(seq, holder);
    this.#marked(seq);
    return attempts;
  }

  isHeldBy(seq: number, holder: Holder): boolean {
    return this.#leased.get(seq) === holder;
  }

  /** It is done with an entry, whatever it was before. */
  finish(seq: number): void {
    if (!this.#attempts.delete(seq)) return;
    if (!this.#leased.delete(seq)) this.#unreturn(seq);
    this.#marked(seq);
  }

  /** One on lease may be taken again. */
  giveBack(seq: number): void {
    if (this.#leased.delete(seq)) this.#insert(seq);
  }

  /** An entry that it was done with becomes its own to take, as if it had been given back.
   *  @param attempts So many are behind it */
  add(seq: number, attempts: number): void {
    if (!this.isDone(seq)) return;
    this.#attempts.set(seq, attempts);
    this.#insert(seq);
    this.#marked(seq);
  }

  /** The queue lost an entry. */
  lose(seq: number): void {
    if (seq >= this.#cursor) this.ahead -= 1;
    else if (this.isDone(seq)) return;
    else this.finish(seq);
    this.dropped += 1;
  }

  /** Nothing before `seq` is held any more, and nobody has any of it. */
  clear(seq: number): void {
    this.#cursor = Math.max(this.#cursor, seq);
    this.ahead = 0;
    this.#returned = [];
    this.#head = 0;
    this.#leased.clear();
    this.#attempts.clear();
  }

  /** Where it stands among the returned, or would. */
  #placeOf(seq: number): number {
    const returned = this.#returned;
    return lowerBound(this.#head, returned.length, (at) => (returned[at] ?? 0) < seq);
  }

  #insert(seq: number): void {
    const at = this.#placeOf(seq);
    if (at === this.#head && at > 0) {
      this.#head -= 1;
      this.#returned[this.#head] = seq;
    } else {
      this.#returned.splice(at, 0, seq);
    }
  }

  /** Mostly it is the oldest: then nothing has to move. */
  #unreturn(seq: number): void {
    const at = this.#placeOf(seq);
    if (this.#returned[at] !== seq) return;
    if (at > this.#head) {
      this.#returned.splice(at, 1);
      return;
    }
    this.#head += 1;
    if (this.#head * 2 < this.#returned.length) return;
    this.#returned.splice(0, this.#head);
    this.#head = 0;
  }
}

/** Why an entry that was put was not kept, or not kept until it was taken.
 *  - `drop_oldest`: evicted to make room for a newer one, or because its queue was made smaller
 *  - `drop_newest`: the queue was full, and its `overflow` is that
 *  - `block`: the queue was full or its disk could not be written, and whoever put it could not wait: at QoS 0
 *  - `no_room`: larger than its queue, or than what other queues leave of the bound of all
 *  - `ttl`: too old
 *  - `stopped`: the task takes none now */
export const DROP_POLICIES = ['drop_oldest', 'drop_newest', 'block', 'no_room', 'ttl', 'stopped'] as const;
export type DropPolicy = (typeof DROP_POLICIES)[number];

/** What happened in a queue since the node was started. A `purge` is not counted: somebody wanted it. */
export class QueueCounts {
  /** Entries that were put and kept, and their payload bytes. */
  puts = 0;
  putBytes = 0;
  /** Hand-outs to somebody who took; one that comes again counts again. */
  taken = 0;
  settled = 0;
  /** Given back, by a word, or because the lease or the connection ended. */
  returned = 0;
  readonly dropped: Record<DropPolicy, number> = {
    drop_oldest: 0,
    drop_newest: 0,
    block: 0,
    no_room: 0,
    ttl: 0,
    stopped: 0,
  };
  /** Of all queues, those that are gone as well. */
  readonly #all: QueueCounts | undefined;

  /** @param all Counts the same for all queues together */
  constructor(all?: QueueCounts) {
    this.#all = all;
  }

  put(bytes: number): void {
    this.puts += 1;
    this.putBytes += bytes;
    this.#all?.put(bytes);
  }

  took(): void {
    this.taken += 1;
    this.#all?.took();
  }

  ended(how: 'settle' | 'giveBack'): void {
    this[how === 'settle' ? 'settled' : 'returned'] += 1;
    this.#all?.ended(how);
  }

  drop(policy: DropPolicy, entries = 1): void {
    this.dropped[policy] += entries;
    this.#all?.drop(policy, entries);
  }

  get droppedTotal(): number {
    return DROP_POLICIES.reduce((sum, policy) => sum + this.dropped[policy], 0);
  }
}

import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Random } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import type { Lease } from './lease.js';

const LEASE_ID_BYTES = 12;

/** What an acknowledgement says: settle or return all or some, or have the lease last longer. */
export type LeaseWord =
  | { readonly ok: boolean; readonly seqs: readonly number[] | undefined }
  | { readonly leaseMs: number };

/** What became of it: for how many entries, and of which tasks. */
export interface LeaseOutcome {
  readonly count: number;
  readonly taskIds: readonly TaskId[];
}

interface TimedLease {
  readonly lease: Lease;
  readonly cancel: Cancel;
}

/** Leases with a time of their own, which their takers name by an id. */
export class Leases {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #giveBack: (lease: Lease, seqs?: readonly number[]) => number;
  readonly #leases = new Map<string, TimedLease>();

  /** @param giveBack Returns what is on a lease, or some of it; tells how many entries that were */
  constructor(clock: Clock, random: Random, giveBack: (lease: Lease, seqs?: readonly number[]) => number) {
    this.#clock = clock;
    this.#random = random;
    this.#giveBack = giveBack;
  }

  /** @throws SuperNodeError SN_ERR_LIMIT: there is no room for one more */
  assertRoom(): void {
    if (this.#leases.size < LIMITS.leasesMax) return;
    for (const [leaseId, { lease }] of [...this.#leases]) if (lease.living === 0) this.forget(leaseId);
    if (this.#leases.size < LIMITS.leasesMax) return;
    throw new SuperNodeError('SN_ERR_LIMIT', `lease: expected at most ${LIMITS.leasesMax} of the node, got one more`);
  }

  /** @returns Its id */
  keep(lease: Lease, leaseMs: number): string {
    const leaseId = this.#random.secret(LEASE_ID_BYTES);
    this.#keepFor(leaseMs, leaseId, lease);
    return leaseId;
  }

  /** @throws SuperNodeError SN_ERR_LEASE_UNKNOWN: it ended, by itself or because all its entries are gone;
   *  SN_ERR_REQUEST: `seqs` of a lease on several tasks, or of none that it has */
  acknowledge(leaseId: string, word: LeaseWord): LeaseOutcome {
    const timed = this.#leases.get(leaseId);
    if (timed === undefined) throw leaseUnknown(leaseId);
    const { lease } = timed;
    const { taskIds } = lease;
    if ('leaseMs' in word) {
      const { living } = lease;
      this.forget(leaseId);
      if (living === 0) throw leaseUnknown(leaseId);
      this.#keepFor(word.leaseMs, leaseId, lease);
      return { count: living, taskIds: [] };
    }
    const { ok, seqs } = word;
    if (seqs !== undefined && taskIds.length > 1) {
      throw mismatch('SN_ERR_REQUEST', 'seqs', 'none for a lease on entries of several tasks', seqs);
    }
    if (seqs !== undefined && !lease.hasSome(seqs)) {
      throw mismatch('SN_ERR_REQUEST', 'seqs', 'some that are still on this lease', seqs);
    }
    const count = ok ? lease.end('settle', seqs) : this.#giveBack(lease, seqs);
    if (lease.size === 0) this.forget(leaseId);
    if (count === 0) throw leaseUnknown(leaseId);
    return { count, taskIds };
  }

  forget(leaseId: string): void {
    this.#leases.get(leaseId)?.cancel();
    this.#leases.delete(leaseId);
  }

  clear(): void {
    for (const leaseId of [...this.#leases.keys()]) this.forget(leaseId);
  }

  /** When its time is over, what was not settled is the next again. */
  #keepFor(leaseMs: number, leaseId: string, lease: Lease): void {
    const cancel = this.#clock.after(leaseMs, () => {
      this.#leases.delete(leaseId);
      this.#giveBack(lease);
    });
    this.#leases.set(leaseId, { lease, cancel });
  }
}

function leaseUnknown(leaseId: string): SuperNodeError {
  return mismatch('SN_ERR_LEASE_UNKNOWN', 'lease', 'one that has not ended', leaseId);
}

import type { Seat } from '../core/seat.js';

interface SeatBurden<C> {
  readonly worker: string;
  readonly calls: Set<C>;
  /** Counts the calls of the node: the higher, the later it was used. */
  usedAt: number;
}

interface WorkerBurden<C> {
  readonly calls: Set<C>;
  readonly seats: Set<string>;
}

/** Who carries how many calls. Knows a seat from its first call until it, or its worker, is gone. */
export class Burdens<C> {
  readonly #seats = new Map<string, SeatBurden<C>>();
  readonly #workers = new Map<string, WorkerBurden<C>>();
  #used = 0;

  /** The seats in the order in which they are to be tried: those of the worker with the fewest calls first, then the
   *  seat with the fewest, then the one that was used longest ago. */
  inOrder(seats: readonly Seat[]): readonly Seat[] {
    if (seats.length < 2) return seats;
    return seats.toSorted((a, b) => {
      const [ofA, ofB] = [this.#seats.get(a.id), this.#seats.get(b.id)];
      return (
        this.inFlight(a.worker) - this.inFlight(b.worker) ||
        (ofA?.calls.size ?? 0) - (ofB?.calls.size ?? 0) ||
        (ofA?.usedAt ?? 0) - (ofB?.usedAt ?? 0)
      );
    });
  }

  inFlight(worker: string): number {
    return this.#workers.get(worker)?.calls.size ?? 0;
  }

  took({ id, worker }: Seat, call: C): void {
    const ofSeat = this.#seats.get(id) ?? { worker, calls: new Set(), usedAt: 0 };
    const ofWorker = this.#workers.get(worker) ?? { calls: new Set(), seats: new Set() };
    this.#seats.set(id, ofSeat);
    this.#workers.set(worker, ofWorker);
    ofSeat.calls.add(call);
    ofSeat.usedAt = ++this.#used;
    ofWorker.calls.add(call);
    ofWorker.seats.add(id);
  }

  /** The worker has nothing more to do with this call. */
  done({ id, worker }: Seat, call: C): void {
    this.#seats.get(id)?.calls.delete(call);
    this.#workers.get(worker)?.calls.delete(call);
    this.#tidy(worker);
  }

  /** @returns the calls that the seat had; its worker has them still */
  seatGone(seatId: string): readonly C[] {
    const seat = this.#seats.get(seatId);
    if (seat === undefined) return [];
    this.#seats.delete(seatId);
    this.#workers.get(seat.worker)?.seats.delete(seatId);
    this.#tidy(seat.worker);
    return [...seat.calls];
  }

  /** @returns the calls that the worker had */
  workerGone(worker: string): readonly C[] {
    const burden = this.#workers.get(worker);
    if (burden === undefined) return [];
    this.#workers.delete(worker);
    for (const seatId of burden.seats) this.#seats.delete(seatId);
    return [...burden.calls];
  }

  #tidy(worker: string): void {
    const burden = this.#workers.get(worker);
    if (burden?.calls.size === 0 && burden.seats.size === 0) this.#workers.delete(worker);
  }
}

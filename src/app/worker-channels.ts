import type { Seat } from '../core/seat.js';
import type { TaskId } from '../core/topics.js';
import type { WorkerKey } from '../core/worker-key.js';
import type { WorkerChannel, WorkerChannels } from '../transport/ports.js';

/** The connections of workers, of all kinds: by MQTT and by WebSocket. */
export class AllWorkerChannels implements WorkerChannels {
  readonly #kinds: () => readonly WorkerChannels[];

  constructor(kinds: () => readonly WorkerChannels[]) {
    this.#kinds = kinds;
  }

  channelsOf(taskId: TaskId): readonly WorkerChannel[] {
    return this.#kinds().flatMap((kind) => kind.channelsOf(taskId));
  }

  send(taskId: TaskId, payload: Uint8Array): number {
    return this.#kinds().reduce((sum, kind) => sum + kind.send(taskId, payload), 0);
  }

  seats(taskId: TaskId): readonly Seat[] {
    return this.#kinds().flatMap((kind) => kind.seats(taskId));
  }

  closeChannels(worker: WorkerKey): void {
    for (const kind of this.#kinds()) kind.closeChannels(worker);
  }

  forget(taskId: TaskId): void {
    for (const kind of this.#kinds()) kind.forget(taskId);
  }
}

import { join } from 'node:path';
import { openLmdbDisk } from '../adapters/lmdb-disk.js';
import { asSuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { OrderedDisk } from '../core/ordered-disk.js';
import type { Cancel, Clock, Logger } from '../core/ports.js';
import { DiskStore } from '../queues/disk-store.js';
import type { Queues } from '../queues/queues.js';

export interface QueueDiskPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly queues: Queues;
  /** Queues that could not be opened are there now. */
  opened(): void;
  /** There is trouble, another one, or none any more. */
  changed(error: string | undefined): void;
  /** A batch is on the disk: so many entries are safe with it, and so long it took. */
  flushed(entries: number, tookMs: number): void;
}

/** The disk below the queues: opened when it can be, told about when it cannot be read or written, tried again until it
 *  can. Nothing that is there and not understood is touched. */
export class QueueDisk {
  readonly #ports: QueueDiskPorts;
  #path: string | undefined;
  #store: DiskStore | undefined;
  #retry: Cancel | undefined;
  #error: string | undefined;
  #isClosed = false;

  constructor(ports: QueueDiskPorts) {
    this.#ports = ports;
  }

  /** Why nothing can be put into queues on the disk now, for people. */
  get error(): string | undefined {
    return this.#error;
  }

  /** @param dataDir Undefined: there is no disk */
  open(dataDir: string | undefined): void {
    if (dataDir === undefined) return;
    this.#path = join(dataDir, 'queues');
    this.#try(this.#path);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#retry?.();
    await this.#store?.close();
  }

  #try(path: string): void {
    if (this.#isClosed) return;
    const { clock, queues, opened } = this.#ports;
    try {
      this.#store = this.#read(openLmdbDisk(path));
      queues.useDisk(this.#store);
      this.#trouble(undefined);
      opened();
    } catch (error) {
      this.#trouble(error);
      this.#retry = clock.after(LIMITS.diskOpenRetryMs, () => this.#try(path));
    }
  }

  /** @throws when what is there is not understood */
  #read(disk: OrderedDisk): DiskStore {
    const { clock, queues } = this.#ports;
    try {
      return DiskStore.open({
        disk,
        clock,
        trouble: (error) => this.#trouble(error),
        recovered: () => queues.retryHeld(),
        flushed: (entries, tookMs) => this.#ports.flushed(entries, tookMs),
      });
    } catch (error) {
      disk.close().catch((closing: unknown) => this.#ports.log.warn({ err: closing }, 'a disk could not be closed'));
      throw error;
    } finally {
      // It was read without harm, whatever is in it.
      disk.opened();
    }
  }

  #trouble(error: unknown): void {
    const text = error === undefined ? undefined : asSuperNodeError(error).message;
    if (text === this.#error) return;
    const { log, changed } = this.#ports;
    if (text === undefined) log.info({ path: this.#path }, 'queues on the disk can be used again');
    else log.error({ err: error, path: this.#path }, 'queues on the disk take nothing now; trying on');
    this.#error = text;
    changed(text);
  }
}

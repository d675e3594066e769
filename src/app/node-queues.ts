import type { Clock, Logger, Random } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import { Queues } from '../queues/queues.js';
import type { nodeLimits } from './node-limits.js';
import { QueueDisk } from './queue-disk.js';

export interface NodeQueuesPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly limits: Pick<ReturnType<typeof nodeLimits>, 'queueBytesMax' | 'queueDiskBytesMax'>;
  /** Entries of this task were evicted because they were too old. */
  expired(taskId: TaskId): void;
  /** Queues that could not be opened are there now. */
  opened(): void;
  event(type: string, data: Record<string, unknown>): void;
  /** There is trouble with the disk, another one, or none any more. */
  diskChanged(error: string | undefined): void;
  /** A batch is on the disk: so many entries are safe with it, and so long it took. */
  flushed(entries: number, tookMs: number): void;
}

/** The queues of a node and the disk below them. */
export class NodeQueues {
  readonly queues: Queues;
  readonly disk: QueueDisk;

  constructor({ clock, random, log, limits, expired, opened, event, diskChanged, flushed }: NodeQueuesPorts) {
    this.queues = new Queues({
      clock,
      random,
      bytesMax: limits.queueBytesMax,
      diskBytesMax: limits.queueDiskBytesMax,
      expired,
    });
    this.disk = new QueueDisk({
      clock,
      log,
      queues: this.queues,
      opened,
      flushed,
      changed: (error) => {
        if (error === undefined) event('storage_recovered', { what: 'queues' });
        else event('storage_failed', { what: 'queues', error });
        diskChanged(error);
      },
    });
  }

  /** Why nothing can be put into the queue of a task, where that is so. */
  storageError(taskId: TaskId): string | undefined {
    return this.queues.get(taskId)?.bounds.storage === 'disk' ? this.disk.error : undefined;
  }
}

import type { SignalName, TaskWire, TemplateWire } from '../core/schema.js';
import type { TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';

/** What the router asks of the rooms behind it. */

export interface TaskControl {
  start(record: TaskRecord): void;
  stop(taskId: TaskId): Promise<void>;
  restart(taskId: TaskId): Promise<void>;
  remove(taskId: TaskId): Promise<void>;
  signal(taskId: TaskId, sig: SignalName): void;
  has(taskId: TaskId): boolean;
}

export interface QueuedEntry {
  readonly taskId: TaskId;
  readonly seq: number;
  readonly tsMs: number;
  readonly attempts: number;
  readonly topic: string | undefined;
  readonly payload: Uint8Array;
}

export interface Lease {
  readonly entries: readonly QueuedEntry[];
  readonly dropped: number;
  readonly remaining: number;
  readonly epoch: string | undefined;
  settle(): void;
  giveBack(): void;
}

interface QueueAccess {
  fetch(options: {
    taskId: TaskId | undefined;
    max: number;
    maxBytes: number;
    waitMs: number;
    signal: AbortSignal | undefined;
  }): Promise<Lease>;
}

/** Bytes straight to the channels of a task; how many channels got them. */
interface Courier {
  send(taskId: TaskId, payload: Uint8Array): number;
}

export interface StatusBoard {
  /** The whole node, JSON-ready. */
  node(): Record<string, unknown>;
  /** One task with its record, JSON-ready. */
  task(taskId: TaskId): Record<string, unknown>;
}

export interface Records {
  readonly templates: ReadonlyMap<string, TemplateWire>;
  /** @throws SuperNodeError as `resolveRecord` does */
  resolve(wire: TaskWire, source: 'trusted' | 'request'): TaskRecord;
}

export interface RouterPorts {
  readonly tasks: TaskControl;
  readonly queues: QueueAccess;
  readonly courier: Courier;
  readonly board: StatusBoard;
  readonly records: Records;
  /** A fetch that was not executed, because its caller could not hear the reply. */
  unheard(caller: string, taskId: TaskId | undefined): void;
}

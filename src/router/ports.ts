import type { RecordSource } from '../core/task-record.js';
import type { SignalName, TaskWire, TemplateWire } from '../core/task-schema.js';
import type { TaskId } from '../core/topics.js';

/** What the router asks of the rooms behind it. */

export interface TaskControl {
  /** @throws SuperNodeError for a task that makes no record, or cannot be started */
  start(task: TaskWire, source: RecordSource): Promise<TaskId>;
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
  readonly leaseId: string | undefined;
  settle(): void;
  giveBack(): void;
}

interface QueueAccess {
  fetch(options: {
    taskId: TaskId | undefined;
    group: string;
    max: number;
    maxBytes: number;
    waitMs: number;
    leaseMs: number | undefined;
    signal: AbortSignal | undefined;
  }): Promise<Lease>;
  /** Entries that are only looked at. */
  read(
    taskId: TaskId,
    from: { seq: number } | { tsMs: number },
    max: number,
    bytesMax: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly QueuedEntry[]>;
  /** @returns For how many entries
   *  @throws SuperNodeError SN_ERR_LEASE_UNKNOWN, SN_ERR_REQUEST */
  acknowledge(
    leaseId: string,
    word: { ok: boolean; seqs: readonly number[] | undefined } | { leaseMs: number },
  ): Promise<number>;
  /** @returns How many entries left */
  purge(taskId: TaskId, which: 'all' | 'dead'): Promise<number>;
  /** @returns How many entries came back from the dead */
  requeue(taskId: TaskId): Promise<number>;
  /** False: there is no such group. */
  removeGroup(taskId: TaskId, name: string): Promise<boolean>;
}

/** Bytes straight to the channels of a task; how many channels got them. */
interface Courier {
  send(taskId: TaskId, payload: Uint8Array): number;
}

/** One part of an answer. The bytes are the receiver's to keep. */
export interface CallPart {
  /** From 1. */
  readonly index: number;
  readonly payload: Uint8Array;
  /** Who answers, for people. */
  readonly workerName: string;
}

interface CallAccess {
  /** Resolves with the last part of the answer. */
  call(request: {
    taskId: TaskId;
    payload: Uint8Array;
    timeoutMs: number;
    signal: AbortSignal | undefined;
    /** Takes each part but the last. A promise: the next one comes when it is settled. */
    part(part: CallPart): undefined | Promise<void>;
  }): Promise<CallPart>;
}

export interface LogLine {
  readonly tsMs: number;
  readonly stream: 'stdout' | 'stderr';
  readonly line: string;
  /** Where the task has more than one worker. */
  readonly workerId?: string;
}

interface TaskLogs {
  /** The newest lines, at most so many, the oldest of them first. */
  tail(taskId: TaskId, lines: number): readonly LogLine[];
}

export interface StatusBoard {
  /** The whole node, JSON-ready. */
  node(): Record<string, unknown>;
  /** One task with its record, JSON-ready. */
  task(taskId: TaskId): Record<string, unknown>;
}

export interface Records {
  readonly templates: ReadonlyMap<string, TemplateWire>;
}

export interface RouterPorts {
  readonly tasks: TaskControl;
  readonly queues: QueueAccess;
  readonly courier: Courier;
  readonly calls: CallAccess;
  readonly logs: TaskLogs;
  readonly board: StatusBoard;
  readonly records: Records;
  /** A fetch that was not executed, because its caller could not hear the reply. */
  unheard(caller: string, taskId: TaskId | undefined): void;
}

import { type Deferred, deferred } from '../core/deferred.js';
import { LIMITS } from '../core/limits.js';
import type { DiskBatch, OrderedDisk } from '../core/ordered-disk.js';
import type { Cancel, Clock } from '../core/ports.js';
import { DEFAULT_GROUP, type TaskId } from '../core/topics.js';
import { DiskLog, type DiskLogHost, someOf } from './disk-log.js';
import {
  ABOUT_KEY,
  FORMAT,
  QUEUES_RANGE,
  queueKey,
  queueNoOf,
  readFormat,
  readQueue,
  Slab,
  writeAbout,
  writeDeleted,
  writeQueue,
} from './disk-records.js';
import type { QueueState } from './entry-log.js';
import type { OpenedLog, QueueStore, UnopenedQueue } from './queue-store.js';

/** Entries of purged queues deleted with one batch. */
const DELETIONS = 4_000;
/** 2020: a wall clock before that is one of a machine that has no battery and has not been told the time. */
const CLOCK_UNSET_MS = 1_577_836_800_000;

export interface DiskStoreOptions {
  readonly disk: OrderedDisk;
  readonly clock: Clock;
  /** A batch could not be written, and is tried again and again; undefined: it is written now. */
  trouble(error: unknown): void;
  /** Whoever waited for the disk may go on. */
  recovered(): void;
  /** A batch is on the disk: so many entries are safe with it, and so long it took. */
  flushed?(entries: number, tookMs: number): void;
}

/** Queues on a disk. All that changed in a turn, and while a batch is under way, is one batch and one flush, whichever
 *  queues it is of; who waits for it shares one promise. */
export class DiskStore implements QueueStore {
  readonly #disk: OrderedDisk;
  readonly #clock: Clock;
  readonly #options: DiskStoreOptions;
  readonly #host: DiskLogHost;
  readonly #found = new Map<TaskId, { readonly no: number; readonly state: QueueState }>();
  readonly #logs = new Map<TaskId, DiskLog>();
  readonly #taskIds = new Map<DiskLog, TaskId>();
  #changed = new Set<DiskLog>();
  /** Who waits for the next batch, and for the one under way. */
  #next: Deferred | undefined;
  #underWay: { readonly logs: ReadonlySet<DiskLog>; readonly waiting: readonly Deferred[] } | undefined;
  /** Of batches that could not be written: done with the next one that is. */
  #stuck: Deferred[] = [];
  #isScheduled = false;
  #cancelLater: Cancel | undefined;
  #isFailing = false;
  /** Something on the disk could not be read. Nothing more is written to it: that would make it worse. */
  #isDamaged = false;
  /** Of entries that wait for their flush: memory that nothing else bounds while the disk is slow. */
  #unflushedBytes = 0;
  #unflushedEntries = 0;
  #isClosed = false;
  /** The disk says that it is a store of ours. */
  #isMarked = false;
  /** The batch under way, or the last one. */
  #flushing: Promise<void> | undefined;
  #lastNo = 0;
  readonly #slab = new Slab();
  /** Numbers whose deletion is still to be noted, and those whose entries are still there. */
  readonly #retired = new Set<number>();
  readonly #deleted = new Set<number>();
  /** Have entries in memory; the one that was longest not written to first. */
  readonly #cached = new Set<DiskLog>();

  private constructor(options: DiskStoreOptions) {
    const { clock } = options;
    this.#options = options;
    const disk = withGuardedReads(options.disk, (error) => this.#damaged(error));
    this.#disk = disk;
    this.#clock = clock;
    const openedMs = clock.now();
    const openedWallMs = clock.wallNow();
    const isWritable = () => !this.#isFailing && !this.#isDamaged && this.#unflushedBytes < LIMITS.unflushedBytesMax;
    this.#host = {
      disk,
      get isWritable() {
        return isWritable();
      },
      cachedBytes: 0,
      appended: (bytes) => {
        this.#unflushedBytes += bytes;
        this.#unflushedEntries += 1;
      },
      newNo: () => ++this.#lastNo,
      retire: (no) => this.#retired.add(no),
      changed: (log, how) => this.#touch(log, how),
      whenFlushed: (log) => this.#whenWritten(log),
      // A clock that was set back must not make entries younger than they can be.
      // One that had not been set yet tells nothing of an age.
      monotonicOf: (wallMs) => openedMs - (wallMs < CLOCK_UNSET_MS ? 0 : Math.max(0, openedWallMs - wallMs)),
    };
  }

  /** Reads what is there.
   *  @throws when it is not ours, or damaged */
  static open(options: DiskStoreOptions): DiskStore {
    const store = new DiskStore(options);
    store.#load();
    return store;
  }

  /** Bytes of entries in memory. */
  get cachedBytes(): number {
    return this.#host.cachedBytes;
  }

  /** The newest arrival that any queue has seen. */
  get lastArrival(): number {
    let last = 0;
    for (const { state } of this.#found.values()) last = Math.max(last, state.lastArrival);
    return last;
  }

  unopened(): readonly UnopenedQueue[] {
    return Array.from(this.#found, ([taskId, { state }]) => ({
      taskId,
      length: state.length,
      hasNamedGroups: state.groups.some(({ name }) => name !== DEFAULT_GROUP),
    }));
  }

  open(taskId: TaskId): OpenedLog {
    const found = this.#found.get(taskId);
    this.#found.delete(taskId);
    const log = new DiskLog(this.#host, found?.no ?? this.#host.newNo(), found?.state);
    this.#logs.set(taskId, log);
    this.#taskIds.set(log, taskId);
    return { log, stored: found && log.stored(found.state) };
  }

  drop(taskId: TaskId): void {
    const found = this.#found.get(taskId);
    const log = this.#logs.get(taskId);
    if (found !== undefined) this.#retired.add(found.no);
    this.#found.delete(taskId);
    this.#logs.delete(taskId);
    if (log !== undefined) {
      log.drop();
      this.#taskIds.delete(log);
      this.#changed.delete(log);
      this.#cached.delete(log);
    }
    if (found !== undefined || log !== undefined) this.#soon();
  }

  whenFlushed(): Promise<void> | undefined {
    return this.#next?.promise ?? this.#underWay?.waiting.at(-1)?.promise ?? this.#stuck.at(-1)?.promise;
  }

  /** Writes what is still to be written, if that can be, and closes the disk. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelLater?.();
    await this.#flushing;
    if (this.#hasChanges() && !this.#isDamaged) await this.#flush();
    await this.#disk.close();
  }

  #load(): void {
    const { disk } = this.#options;
    const about = disk.get(ABOUT_KEY);
    const format = about && readFormat(about);
    if (about !== undefined && format !== FORMAT) throw new Error(`queues: expected format ${FORMAT}, got ${format}`);
    for (const { key, value } of disk.entries(...QUEUES_RANGE)) {
      const no = queueNoOf(key);
      const record = readQueue(value);
      if (record === undefined) throw new Error(`queues: expected the state of a queue, got something else at ${no}`);
      this.#lastNo = Math.max(this.#lastNo, no);
      if ('deleted' in record) this.#deleted.add(no);
      else this.#found.set(record.taskId, { no, state: record.state });
    }
    this.#isMarked = about !== undefined;
    if (this.#hasChanges()) this.#later();
  }

  // ------------------------------------------------------------------ batches

  #touch(log: DiskLog, how: 'soon' | 'lazily'): void {
    this.#changed.add(log);
    if (how === 'soon') this.#soon();
    else this.#later();
  }

  #soon(): void {
    if (this.#next === undefined) this.#next = deferred();
    if (this.#isScheduled || this.#underWay !== undefined || this.#isFailing) return;
    this.#isScheduled = true;
    this.#clock.soon(() => {
      this.#isScheduled = false;
      this.#begin();
    });
  }

  /** What nobody waits for goes with the next batch, but does not wait for ever for one. */
  #later(delayMs: number = LIMITS.diskLazyMs): void {
    if (this.#cancelLater !== undefined || this.#isClosed) return;
    this.#cancelLater = this.#clock.after(delayMs, () => {
      this.#cancelLater = undefined;
      this.#begin();
    });
  }

  /** Settles when the log is as it is now on the disk. */
  #whenWritten(log: DiskLog): Promise<void> | undefined {
    if (this.#changed.has(log)) {
      this.#soon();
      return this.#next?.promise;
    }
    return this.#underWay?.logs.has(log) ? this.#underWay.waiting.at(-1)?.promise : undefined;
  }

  #hasChanges(): boolean {
    const toDo = this.#changed.size + this.#retired.size + this.#deleted.size;
    return toDo > 0 || this.#next !== undefined || !this.#isMarked;
  }

  #begin(): void {
    if (this.#underWay !== undefined || this.#isClosed || this.#isDamaged || !this.#hasChanges()) return;
    this.#flushing = this.#flush();
  }

  /** One batch. Never rejects. */
  async #flush(): Promise<void> {
    const logs = this.#changed;
    this.#changed = new Set();
    const waiting = [...this.#stuck, this.#next ?? deferred()];
    this.#stuck = [];
    this.#next = undefined;
    this.#underWay = { logs, waiting };
    const retired = [...this.#retired];
    const flushingBytes = this.#unflushedBytes;
    const flushingEntries = this.#unflushedEntries;
    const startedMs = this.#clock.now();
    const { keys, emptied } = this.#toDelete();
    try {
      await this.#disk.write((batch) => {
        if (!this.#isMarked) batch.put(ABOUT_KEY, writeAbout());
        this.#write(batch, logs, retired);
        for (const key of keys) batch.remove(key);
        for (const no of emptied) batch.remove(queueKey(no));
      });
    } catch (error) {
      this.#failed(error, logs, waiting);
      return;
    }
    this.#underWay = undefined;
    this.#isMarked = true;
    const wasFull = this.#unflushedBytes >= LIMITS.unflushedBytesMax;
    this.#unflushedBytes -= flushingBytes;
    this.#unflushedEntries -= flushingEntries;
    this.#options.flushed?.(flushingEntries, this.#clock.now() - startedMs);
    for (const no of retired) {
      this.#retired.delete(no);
      this.#deleted.add(no);
    }
    for (const no of emptied) this.#deleted.delete(no);
    this.#written(logs, waiting);
    if (wasFull) this.#options.recovered();
  }

  /** Some of what purged queues left, and the numbers of which nothing is left then. */
  #toDelete(): { readonly keys: readonly Uint8Array[]; readonly emptied: readonly number[] } {
    const keys: Uint8Array[] = [];
    const emptied: number[] = [];
    for (const no of this.#deleted) {
      const room = DELETIONS - keys.length;
      const some = someOf(this.#disk, no, room);
      keys.push(...some);
      if (some.length === room) break;
      emptied.push(no);
    }
    return { keys, emptied };
  }

  #write(batch: DiskBatch, logs: ReadonlySet<DiskLog>, retired: readonly number[]): void {
    this.#slab.reset();
    for (const log of logs) {
      const taskId = this.#taskIds.get(log);
      if (taskId === undefined || log.queue === undefined) continue;
      log.write(batch, this.#slab);
      batch.put(queueKey(log.no), writeQueue(taskId, log.queue.state()));
    }
    for (const no of retired) batch.put(queueKey(no), writeDeleted());
  }

  #written(logs: ReadonlySet<DiskLog>, waiting: readonly Deferred[]): void {
    for (const log of logs) {
      log.written();
      this.#cached.delete(log);
      if (this.#taskIds.has(log) && log.isCached) this.#cached.add(log);
    }
    for (const { resolve } of waiting) resolve();
    this.#trim();
    if (this.#isFailing) {
      this.#isFailing = false;
      if (!this.#isDamaged) this.#options.trouble(undefined);
      this.#options.recovered();
    }
    if (this.#isClosed) return;
    if (this.#next !== undefined) this.#begin();
    else if (this.#hasChanges()) this.#later();
  }

  #failed(error: unknown, logs: ReadonlySet<DiskLog>, waiting: readonly Deferred[]): void {
    this.#underWay = undefined;
    for (const log of logs) {
      log.failed();
      if (this.#taskIds.has(log)) this.#changed.add(log);
    }
    this.#stuck = [...waiting];
    this.#isFailing = true;
    this.#options.trouble(error);
    this.#cancelLater?.();
    this.#cancelLater = undefined;
    this.#later(LIMITS.diskRetryMs);
  }

  #damaged(error: unknown): void {
    if (this.#isDamaged) return;
    this.#isDamaged = true;
    this.#options.trouble(error);
  }

  #trim(): void {
    if (this.#host.cachedBytes <= LIMITS.queueCacheBytes) return;
    for (const log of this.#cached) {
      log.cool();
      this.#cached.delete(log);
      if (this.#host.cachedBytes <= LIMITS.queueCacheBytes / 2) return;
    }
  }
}

/** What cannot be read is told, and is as if it were not there: whoever asks is in the midst of something else. */
function withGuardedReads(disk: OrderedDisk, damaged: (error: unknown) => void): OrderedDisk {
  const guarded =
    <A extends unknown[], T>(read: (...args: A) => T, nothing: T) =>
    (...args: A): T => {
      try {
        return read(...args);
      } catch (error) {
        damaged(error);
        return nothing;
      }
    };
  return {
    write: (fill) => disk.write(fill),
    opened: () => disk.opened(),
    close: () => disk.close(),
    get: guarded((key) => disk.get(key), undefined),
    keys: guarded((from, to, max) => disk.keys(from, to, max), []),
    entries: guarded((from, to) => [...disk.entries(from, to)], []),
  };
}

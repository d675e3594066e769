import { deferred } from '../core/deferred.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock } from '../core/ports.js';

/** Gives the bytes of a value when they are written, so that what waits for a flush is in memory once. */
export type Encode = () => Uint8Array;

/** `encode` undefined: the key is removed. */
export type Change = readonly [key: string, encode: Encode | undefined];

export interface WriteBehindParts {
  readonly clock: Clock;
  /** Makes all changes safe, or none. */
  commit(changes: readonly Change[]): Promise<void>;
  /** Told once, when writing begins to fail. */
  failed(error: unknown): void;
  /** Told once, when it works again. */
  recovered(): void;
}

interface Pending {
  encode: Encode | undefined;
  /** This key was never on disk: removed before it got there, it needs no writing at all. */
  fresh: boolean;
}

interface Flush {
  readonly done: Promise<void>;
  readonly resolve: () => void;
  /** The first try is over, well or not. */
  readonly tried: Promise<void>;
  readonly wasTried: () => void;
}

/** Changes of a map of keys and values on their way to disk. Those of a while are one commit: it begins at the end of
 *  the turn where somebody waits for it, after `LIMITS.diskRetryMs` otherwise. The last change of a key wins.
 *
 *  A commit that fails is tried again, with what came meanwhile. Until then whoever waits goes on waiting, and what is
 *  held is at most one change for each key that is on disk or should be. */
export class WriteBehind {
  readonly #parts: WriteBehindParts;
  #pending = new Map<string, Pending>();
  /** Who waits for what is pending. */
  #next: Flush | undefined;
  /** The commit under way. */
  #batch: ReadonlyMap<string, Pending> | undefined;
  #committing: Flush | undefined;
  #writing: Promise<void> | undefined;
  #timer: { readonly kind: 'lazy' | 'soon' | 'retry'; cancel: Cancel } | undefined;
  #failing = false;
  #closed = false;

  constructor(parts: WriteBehindParts) {
    this.#parts = parts;
  }

  /** @param isNew The key was never used before */
  put(key: string, encode: Encode, isNew = false): void {
    this.#change(key, { encode, fresh: isNew || this.#pending.get(key)?.fresh === true });
  }

  remove(key: string): void {
    if (this.#pending.get(key)?.fresh === true) this.#pending.delete(key);
    else this.#change(key, { encode: undefined, fresh: false });
  }

  /** Resolves when all changes made until now are safe; undefined: they are. Never rejects. */
  flushed(): Promise<void> | undefined {
    if (this.#pending.size === 0) return this.#committing?.done;
    this.#next ??= newFlush();
    if (this.#batch === undefined && this.#timer?.kind === 'lazy') this.#arm('soon');
    return this.#next.done;
  }

  /** As `flushed`, for those who would rather go on than wait for a disk in trouble: resolves also when a try failed;
   *  undefined where the last one did. */
  attempted(): Promise<void> | undefined {
    if (this.#failing || this.flushed() === undefined) return undefined;
    return (this.#pending.size === 0 ? this.#committing : this.#next)?.tried;
  }

  /** Writes what is left, once. Later changes are for nobody.
   *  @returns how many changes could not be written */
  async close(): Promise<number> {
    this.#closed = true;
    await this.#writing;
    this.#timer?.cancel();
    if (this.#pending.size > 0) await this.#write();
    this.#timer?.cancel();
    return this.#pending.size;
  }

  #change(key: string, change: Pending): void {
    if (this.#closed) return;
    this.#pending.set(key, change);
    if (this.#batch === undefined && this.#timer === undefined) this.#arm('lazy');
  }

  #arm(kind: 'lazy' | 'soon' | 'retry'): void {
    this.#timer?.cancel();
    const { clock } = this.#parts;
    const timer = { kind, cancel: (): void => undefined };
    const run = () => {
      if (this.#timer !== timer || this.#closed) return;
      this.#timer = undefined;
      this.#writing = this.#write();
    };
    this.#timer = timer;
    if (kind === 'soon') clock.soon(run);
    else timer.cancel = clock.after(LIMITS.diskRetryMs, run);
  }

  /** One commit. Never rejects. */
  async #write(): Promise<void> {
    const batch = this.#pending;
    const flush = this.#next ?? newFlush();
    this.#pending = new Map();
    this.#next = undefined;
    this.#batch = batch;
    this.#committing = flush;
    try {
      await this.#parts.commit([...batch].map(([key, { encode }]) => [key, encode]));
    } catch (error) {
      this.#takeBack(batch, flush);
      this.#arm('retry');
      if (!this.#failing) this.#parts.failed(error);
      this.#failing = true;
      return;
    }
    this.#batch = undefined;
    this.#committing = undefined;
    flush.resolve();
    flush.wasTried();
    if (this.#failing) this.#parts.recovered();
    this.#failing = false;
    if (this.#next !== undefined) this.#arm('soon');
    else if (this.#pending.size > 0) this.#arm('lazy');
  }

  /** What was to be written is pending again, below what came meanwhile. */
  #takeBack(batch: Map<string, Pending>, flush: Flush): void {
    const newer = this.#pending;
    this.#pending = batch;
    this.#batch = undefined;
    this.#committing = undefined;
    for (const [key, change] of newer) {
      const fresh = batch.get(key)?.fresh === true;
      if (fresh && change.encode === undefined) batch.delete(key);
      else batch.set(key, { ...change, fresh: change.fresh || fresh });
    }
    this.#next ??= newFlush();
    this.#next.done.then(flush.resolve);
    flush.wasTried();
  }
}

function newFlush(): Flush {
  const { promise: done, resolve } = deferred();
  const { promise: tried, resolve: wasTried } = deferred();
  return { done, resolve, tried, wasTried };
}

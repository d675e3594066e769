import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Logger } from '../core/ports.js';
import {
  ABOUT,
  decodeRecord,
  encodeRecord,
  FORMAT,
  formatOf,
  keyOf,
  type Loaded,
  numberOf,
  type RecordKind,
} from './lasting-records.js';
import { openLmdbDisk } from './lmdb-disk.js';
import { type Change, type Encode, WriteBehind } from './write-behind.js';

/** Where records go; see `openLmdbDisk`. */
export type Disk = Pick<ReturnType<typeof openLmdbDisk>, 'opened' | 'write' | 'entries' | 'close'>;

export interface LastingParts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Nothing can be written: told once; it is tried again and again. */
  failed(error: unknown): void;
  /** Told once, when it can. */
  recovered(): void;
}

/** The records of what is kept for sessions, written behind. */
export class LastingStore {
  readonly #disk: Disk;
  readonly #changes: WriteBehind;
  readonly #log: Logger;
  #lastNumber = 0;

  private constructor(disk: Disk, { clock, log, failed, recovered }: LastingParts) {
    const commit = (changes: readonly Change[]) =>
      disk.write((batch) => {
        for (const [key, encode] of changes) {
          if (encode === undefined) batch.remove(Buffer.from(key));
          else batch.put(Buffer.from(key), encode());
        }
      });
    this.#disk = disk;
    this.#log = log;
    this.#changes = new WriteBehind({ clock, commit, failed, recovered });
  }

  /** Opens the store in a folder that this process has to itself, or makes one, readable for its owner only.
   *  @throws Error when it cannot be read, or is not ours; then it stays as it is */
  static async open(dir: string, parts: LastingParts): Promise<LastingStore> {
    const store = await LastingStore.on(openLmdbDisk(dir), parts);
    for (const name of ['data.mdb', 'lock.mdb']) chmodSync(join(dir, name), 0o600);
    return store;
  }

  /** @throws Error when the disk holds something else; it is closed then */
  static async on(disk: Disk, parts: LastingParts): Promise<LastingStore> {
    const store = new LastingStore(disk, parts);
    const [first] = disk.entries(Buffer.of(0), Buffer.of(255));
    const format = first && text(first.key) === ABOUT ? formatOf(first.value) : undefined;
    if (first && format !== FORMAT) {
      await disk.close();
      throw new Error(`expected a store of format ${FORMAT}, got ${format ?? 'something else'}`);
    }
    if (!first) store.put(ABOUT, () => encodeRecord({ format: FORMAT }));
    return store;
  }

  /** All kinds are read: it was whole. */
  opened(): void {
    this.#disk.opened();
  }

  /** A key that was never used. Read all kinds first. */
  newKey(kind: RecordKind): string {
    return keyOf(kind, ++this.#lastNumber);
  }

  /** @param isNew The key was never used before */
  put(key: string, encode: Encode, isNew = false): void {
    this.#changes.put(key, encode, isNew);
  }

  remove(key: string): void {
    this.#changes.remove(key);
  }

  /** As the last run left them, in the order of their keys. What is no record of this kind stays where it is, and is told
   *  in the log. */
  *read<K extends RecordKind>(kind: K): Generator<Loaded<K>> {
    let strange = 0;
    const after = String.fromCharCode(kind.charCodeAt(0) + 1);
    for (const { key: bytes, value } of this.#disk.entries(Buffer.from(kind), Buffer.from(after))) {
      const key = text(bytes);
      this.#lastNumber = Math.max(this.#lastNumber, numberOf(key) || 0);
      const loaded = decodeRecord(kind, key, value);
      if (loaded) yield loaded;
      else strange += 1;
    }
    if (strange > 0) this.#log.error({ kind, records: strange }, 'the store of sessions holds what is not understood');
  }

  /** Resolves when all changes made until now would survive a power cut; undefined: they would. Never rejects. */
  flushed(): Promise<void> | undefined {
    return this.#changes.flushed();
  }

  /** As `flushed`, but does not wait for a disk in trouble. */
  attempted(): Promise<void> | undefined {
    return this.#changes.attempted();
  }

  /** Writes what can be written, and closes. */
  async close(): Promise<void> {
    const left = await this.#changes.close();
    if (left > 0) this.#log.error({ changes: left }, 'sessions and retained messages could not all be written');
    await this.#disk.close();
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

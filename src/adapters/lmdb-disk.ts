import { mkdirSync } from 'node:fs';
import { open, type RootDatabase } from 'lmdb';
import type { OrderedDisk } from '../core/ordered-disk.js';
import { beforeOpening } from './lmdb-sound.js';

type Database = RootDatabase<Buffer, Buffer>;

/** A disk as a file of LMDB in a directory of its own, made with mode 0700 where there is none.
 *  @throws Error when what is there is not one, or is cut off; nothing of it is touched */
export function openLmdbDisk(path: string): OrderedDisk {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const opened = beforeOpening(path);
  const db: Database = open<Buffer, Buffer>({
    path,
    noSubdir: false,
    keyEncoding: 'binary',
    encoding: 'binary',
    compression: false,
    // A promise of a write is then settled by its flush, not before.
    overlappingSync: false,
    // With it, a batch that cannot be written also rejects a promise that nobody is given, and that ends the process.
    eventTurnBatching: false,
  });
  return {
    opened,
    write: (fill) => write(db, fill),
    get: (key) => db.getBinaryFast(asBuffer(key)),
    keys: (from, to, max) => [...db.getKeys({ start: asBuffer(from), end: asBuffer(to), limit: max })],
    entries: (from, to) => db.getRange({ start: asBuffer(from), end: asBuffer(to) }),
    close: () => db.close(),
  };
}

/** All of it is one transaction, and one promise. */
async function write(db: Database, fill: Parameters<OrderedDisk['write']>[0]): Promise<void> {
  const batch = {
    put: (key: Uint8Array, value: Uint8Array) => void db.put(asBuffer(key), asBuffer(value)),
    remove: (key: Uint8Array) => void db.remove(asBuffer(key)),
  };
  try {
    await db.batch(() => fill(batch));
    // Reads of this turn would see what was before.
    db.resetReadTxn();
  } catch (error) {
    throw await causeOf(error);
  }
}

/** LMDB tells what went wrong by a further promise. */
async function causeOf(error: unknown): Promise<unknown> {
  const cause: unknown = error instanceof Error ? Reflect.get(error, 'commitError') : undefined;
  if (!(cause instanceof Promise)) return error;
  return cause.then(
    () => error,
    (reason: unknown) => reason,
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

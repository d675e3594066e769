import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { isErrno } from './errno.js';

/** The layout of a meta page (mdb.c, MDB_page and MDB_meta); numbers are little-endian. */
const META = { flags: 18, magic: 24, version: 28, pageBytes: 48, lastPage: 144, txnId: 152, bytes: 168 } as const;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const IS_META = 0x08;
/** A large file is not walked to its end: what can be read for so long counts as sound. */
const WALK_TIMEOUT_MS = 10_000;

/** Reads all there is, and so ends itself where that cannot be done. */
const WALK = `
const { open } = require(process.argv[1]);
const db = open({ path: process.argv[2], noSubdir: false, readOnly: true, keyEncoding: 'binary', encoding: 'binary' });
for (const { value } of db.getRange({ start: Buffer.alloc(1) })) value.length;
process.exit(0);`;

interface Meta {
  readonly pageBytes: number;
  readonly lastPage: bigint;
  readonly txnId: bigint;
}

/** LMDB trusts what it finds: a file that is none of its own, or cut off, or damaged ends the process that reads it.
 *  Looks before it is opened: at the head and the length of the file always; where the length is suspect, or the last
 *  process ended while it opened it, at all of it, in another process.
 *  @param path The directory
 *  @returns To be called when all is open and read
 *  @throws Error that says what is wrong */
export function beforeOpening(path: string): () => void {
  const marker = join(path, 'opening');
  const file = join(path, 'data.mdb');
  const bytes = sizeOf(file) ?? 0;
  const isSuspect = sizeOf(marker) !== undefined;
  if (bytes > 0) {
    const { lastPage, pageBytes } = newestMeta(file);
    // A file may be shorter than that by pages that are free.
    const isShort = BigInt(bytes) < (lastPage + 1n) * BigInt(pageBytes);
    if (isShort || isSuspect) walk(path, isShort);
  }
  writeFileSync(marker, '', { mode: 0o600 });
  return () => rmSync(marker, { force: true });
}

function newestMeta(file: string): Meta {
  const first = metaAt(file, 0);
  const second = metaAt(file, first.pageBytes);
  return first.txnId > second.txnId ? first : second;
}

function metaAt(file: string, offset: number): Meta {
  const page = Buffer.alloc(META.bytes);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, page, 0, page.length, offset);
  } finally {
    closeSync(descriptor);
  }
  const pageBytes = page.readUInt32LE(META.pageBytes);
  const isOne =
    page.readUInt32LE(META.magic) === MAGIC &&
    page.readUInt32LE(META.version) === VERSION &&
    (page.readUInt16LE(META.flags) & IS_META) !== 0 &&
    pageBytes >= 256 &&
    pageBytes <= 65_536;
  if (!isOne) throw new Error(`${file}: expected a database of LMDB, got something else`);
  return { pageBytes, lastPage: page.readBigUInt64LE(META.lastPage), txnId: page.readBigUInt64LE(META.txnId) };
}

/** Files that could not be walked, as they were then: the same one is not walked again and again. */
const spoilt = new Map<string, string>();

function walk(path: string, isShort: boolean): void {
  const { ino, size, mtimeMs } = statSync(join(path, 'data.mdb'));
  const asItIs = `${ino} ${size} ${mtimeMs}`;
  if (spoilt.get(path) !== asItIs && isWalkable(path)) return;
  spoilt.set(path, asItIs);
  throw new Error(`${path}: expected a whole database, got a ${isShort ? 'cut off' : 'damaged'} one`);
}

function isWalkable(path: string): boolean {
  const lmdb = createRequire(import.meta.url).resolve('lmdb');
  const { status, error } = spawnSync(process.execPath, ['-e', WALK, lmdb, path], {
    stdio: 'ignore',
    timeout: WALK_TIMEOUT_MS,
  });
  return status === 0 || (isErrno(error) && error.code === 'ETIMEDOUT');
}

function sizeOf(file: string): number | undefined {
  try {
    return statSync(file).size;
  } catch (error) {
    if (isErrno(error) && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

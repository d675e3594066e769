import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { SuperNodeError } from '../core/errors.js';
import type { ProcessIdentity } from '../core/ports.js';
import { isErrno } from './errno.js';
import { readIfThere } from './files.js';
import { identityOf, isAlive } from './proc.js';

export interface DataDir {
  readonly path: string;
  /** Lets the next node have it. */
  close(): void;
}

const LockSchema = Type.Object({
  pid: Type.Integer({ minimum: 1 }),
  start_time: Type.String(),
  boot_id: Type.String(),
});

/** Each round either wins, finds a living owner, or somebody else moved on; so many cannot be chance. */
const ROUNDS_MAX = 10;

/** Makes the directory if need be, mode 0700, and keeps every other node out of it.
 *  @throws SuperNodeError SN_ERR_DATA_DIR when another node uses it, or it cannot be used at all */
export function openDataDir(path: string): DataDir {
  const lock = join(path, 'lock');
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const text = takeLock(path, lock);
    return {
      path,
      close: () => {
        if (readIfThere(lock) === text) rmSync(lock, { force: true });
      },
    };
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new SuperNodeError('SN_ERR_DATA_DIR', `data_dir: cannot use ${path}: ${error.message}`, { cause: error });
  }
}

/** The lock appears whole or not at all, since it is written beside and then linked: link(2) fails where one is. */
function takeLock(path: string, lock: string): string {
  const { pid, startTime, bootId } = identityOf(process.pid);
  const text = JSON.stringify({ pid, start_time: startTime, boot_id: bootId });
  const own = `${lock}.${pid}`;
  writeFileSync(own, text, { mode: 0o600 });
  try {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (linked(own, lock)) return text;
      const held = readIfThere(lock);
      const owner = held === undefined ? undefined : ownerOf(held);
      if (owner !== undefined && isAlive(owner)) {
        throw new SuperNodeError('SN_ERR_DATA_DIR', `data_dir: ${path} is in use by process ${owner.pid}`);
      }
      if (held !== undefined) removeDead(lock, held, `${own}.dead`);
    }
  } finally {
    rmSync(own, { force: true });
  }
  throw new SuperNodeError('SN_ERR_DATA_DIR', `data_dir: ${path} is fought over; other nodes keep taking its lock`);
}

/** Moves a dead lock away. Another node may have done so first and hold a lock of its own by now: it gets it back. */
function removeDead(lock: string, dead: string, aside: string): void {
  try {
    renameSync(lock, aside);
  } catch (error) {
    if (isErrno(error) && error.code === 'ENOENT') return;
    throw error;
  }
  if (readIfThere(aside) !== dead) linked(aside, lock);
  rmSync(aside, { force: true });
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isErrno(error) && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** undefined: not a lock that a living node wrote; a power cut can leave an empty one. */
function ownerOf(text: string): ProcessIdentity | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!Value.Check(LockSchema, value)) return undefined;
    return { pid: value.pid, startTime: value.start_time, bootId: value.boot_id };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

import { closeSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { ChildJournal, ChildRecord, Logger } from '../core/ports.js';
import { isErrno } from './errno.js';
import { readIfThere } from './files.js';

/** One line of `children.ndjson`. A child has up to three, tied by its token's hash:
 *
 *  ```
 *  spawning → spawned (with its identity) → gone
 *  ```
 *
 *  Nothing is flushed to the disk: the file is for a crash of the node, which the kernel's own cache survives. What
 *  loses the cache, such as a power cut, ends every child as well. */
const LineSchema = Type.Object({
  op: Type.Union([Type.Literal('spawning'), Type.Literal('spawned'), Type.Literal('gone')]),
  task_id: Type.String(),
  generation: Type.Integer(),
  token_hash: Type.String(),
  pid: Type.Optional(Type.Integer({ minimum: 2 })),
  start_time: Type.Optional(Type.String()),
  boot_id: Type.Optional(Type.String()),
});
type Line = Static<typeof LineSchema>;

export interface OpenChildJournal {
  readonly journal: ChildJournal;
  /** Children of an earlier run that it did not see gone. They stay in the journal until `journal.gone` for each. */
  readonly leftovers: readonly ChildRecord[];
  close(): void;
}

/** Opens the journal of a data directory that this process has to itself. When nothing can be written later on, as on a
 *  full disk, workers start all the same, `log` is told, and the journal is made whole with the first line that can be
 *  written: until then a crash of the node leaves behind what only the journal would have known.
 *  @throws SuperNodeError SN_ERR_DATA_DIR */
export function openChildJournal(dataDir: string, log: Logger): OpenChildJournal {
  const path = join(dataDir, 'children.ndjson');
  try {
    const leftovers = readLiving(path);
    const file = new JournalFile(path, leftovers, log);
    return {
      leftovers,
      journal: {
        spawning: (record) => file.append('spawning', record),
        spawned: (record) => file.append('spawned', record),
        gone: (record) => file.append('gone', record),
      },
      close: () => file.close(),
    };
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new SuperNodeError('SN_ERR_DATA_DIR', `data_dir: cannot use ${path}: ${error.message}`, { cause: error });
  }
}

class JournalFile {
  readonly #path: string;
  readonly #living: Map<string, ChildRecord>;
  /** undefined once it is closed: a child that outlives the node has nobody to tell. */
  #fd: number | undefined;
  #lines = 0;
  /** What stands in the file is not what is true. */
  #isBehind = false;
  readonly #log: Logger;

  constructor(path: string, living: readonly ChildRecord[], log: Logger) {
    this.#path = path;
    this.#log = log;
    this.#living = new Map(living.map((record) => [record.tokenHash, record]));
    this.#fd = this.#rewrite();
  }

  append(op: Line['op'], record: ChildRecord): void {
    if (this.#fd === undefined) return;
    if (op === 'gone') this.#living.delete(record.tokenHash);
    else this.#living.set(record.tokenHash, record);
    this.#lines += 1;
    try {
      if (this.#isBehind || this.#lines >= LIMITS.journalLinesMax) this.#renew(this.#fd);
      else writeWhole(this.#fd, lineOf(op, record));
    } catch (error) {
      if (!isErrno(error)) throw error;
      if (!this.#isBehind) {
        this.#log.error({ err: error, file: this.#path }, 'the journal of children cannot be written, trying on');
      }
      this.#isBehind = true;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #renew(before: number): void {
    // Whether or not a new file can be made, there is one to write to, and it is tried again after as many lines.
    this.#lines = 0;
    this.#fd = this.#rewrite();
    closeSync(before);
    if (this.#isBehind) this.#log.info({ file: this.#path }, 'the journal of children is whole again');
    this.#isBehind = false;
  }

  /** A crash in between leaves the old file or the new one, never half of one. */
  #rewrite(): number {
    const fresh = `${this.#path}.new`;
    const lines = Array.from(this.#living.values(), (record) =>
      lineOf(record.identity === undefined ? 'spawning' : 'spawned', record),
    );
    writeFileSync(fresh, lines.join(''), { mode: 0o600 });
    const fd = openSync(fresh, 'a', 0o600);
    renameSync(fresh, this.#path);
    return fd;
  }
}

/** @throws where the file took a part of it alone, as when the disk has no more room */
function writeWhole(fd: number, line: string): void {
  const bytes = Buffer.from(line);
  const written = writeSync(fd, bytes);
  if (written < bytes.length) writeSync(fd, bytes, written);
}

function lineOf(op: Line['op'], { taskId, generation, tokenHash, identity }: ChildRecord): string {
  const line: Line = { op, task_id: taskId, generation, token_hash: tokenHash };
  const who = identity && { pid: identity.pid, start_time: identity.startTime, boot_id: identity.bootId };
  return `${JSON.stringify({ ...line, ...who })}\n`;
}

function readLiving(path: string): ChildRecord[] {
  const living = new Map<string, ChildRecord>();
  for (const text of (readIfThere(path) ?? '').split('\n')) {
    const line = parseLine(text);
    if (line?.op === 'gone') living.delete(line.token_hash);
    else if (line !== undefined) living.set(line.token_hash, recordOf(line));
  }
  return [...living.values()];
}

/** undefined for the empty rest after the last line end, and for a line that a crash tore. */
function parseLine(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(LineSchema, value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function recordOf(line: Line): ChildRecord {
  const { pid, start_time: startTime = '', boot_id: bootId = '' } = line;
  return {
    taskId: line.task_id,
    generation: line.generation,
    tokenHash: line.token_hash,
    identity: pid === undefined ? undefined : { pid, startTime, bootId },
  };
}

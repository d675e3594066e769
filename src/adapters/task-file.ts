import { copyFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Logger, TaskStore } from '../core/ports.js';
import type { RememberedTask } from '../core/task-record.js';
import { TaskIdField, TaskSchema } from '../core/task-schema.js';
import { isErrno } from './errno.js';
import { readIfThere } from './files.js';

/** `tasks.json`: what was commanded, readable for people, written whole each time:
 *
 *  ```
 *  {"version": 1, "tasks": [{"task_id": "cam1", "wanted": "run", "task": {"task_id": "cam1", "worker": "ffmpeg"}}]}
 *  ``` */
const FileSchema = Type.Object({ version: Type.Literal(1), tasks: Type.Array(Type.Unknown()) });
const EntrySchema = Type.Object({
  task_id: TaskIdField,
  wanted: Type.Union([Type.Literal('run'), Type.Literal('stopped')]),
  task: Type.Optional(TaskSchema),
});

export interface OpenTaskFile {
  readonly store: TaskStore;
  /** As the last run left it. */
  readonly remembered: readonly RememberedTask[];
  /** Resolves when nothing is being written any more. */
  close(): Promise<void>;
}

/** Opens the file of a data directory that this process has to itself. What cannot be understood is kept beside it as
 *  `tasks.json.damaged` and told in the log: a node that does not start is worse than one that forgot.
 *  @throws what keeps the file from being read at all, such as EACCES */
export function openTaskFile(dataDir: string, log: Logger, clock: Clock): OpenTaskFile {
  const path = join(dataDir, 'tasks.json');
  const { tasks, damage } = parse(readIfThere(path));
  if (damage !== undefined) {
    copyFileSync(path, `${path}.damaged`);
    log.error({ file: `${path}.damaged`, damage }, 'what was commanded before is not all understood; the file is kept');
  }
  const store = new TaskFile(path, dataDir, log, clock);
  return { store, remembered: tasks, close: () => store.close() };
}

class TaskFile implements TaskStore {
  readonly #path: string;
  readonly #dir: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  /** What is to be written next, and the promise of all who wait for it. */
  #next: { tasks: readonly RememberedTask[]; readonly done: Promise<void> } | undefined;
  #writing: Promise<void> = Promise.resolve();
  #retry: Cancel | undefined;
  #failing = false;
  #isClosed = false;

  constructor(path: string, dir: string, log: Logger, clock: Clock) {
    this.#path = path;
    this.#dir = dir;
    this.#log = log;
    this.#clock = clock;
  }

  /** All who ask while one write is under way share the next. */
  save(tasks: readonly RememberedTask[]): Promise<void> {
    // The directory may be another node's by then.
    if (this.#isClosed) return this.#writing;
    if (this.#next === undefined) {
      const done = this.#writing.then(() => this.#write());
      this.#writing = done;
      this.#next = { tasks, done };
    }
    this.#next.tasks = tasks;
    return this.#next.done;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    this.#retry?.();
  }

  async #write(): Promise<void> {
    const tasks = this.#next?.tasks ?? [];
    this.#next = undefined;
    this.#retry?.();
    try {
      await replaceFile(this.#path, this.#dir, textOf(tasks));
      if (this.#failing) this.#log.info({ file: this.#path }, 'what was commanded is written down again');
      this.#failing = false;
    } catch (error) {
      if (!isErrno(error)) throw error;
      // The command has been carried out, and its caller must not be told otherwise.
      if (!this.#failing) {
        this.#log.error({ err: error, file: this.#path }, 'what was commanded cannot be written down, trying on');
      }
      this.#failing = true;
      this.#retry = this.#clock.after(LIMITS.taskFileRetryMs, () => void this.save(this.#next?.tasks ?? tasks));
    }
  }
}

/** A crash in between, also of the machine, leaves the old file or the new one. */
async function replaceFile(path: string, dir: string, text: string): Promise<void> {
  const fresh = `${path}.new`;
  const file = await open(fresh, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  const directory = await open(dir, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function textOf(tasks: readonly RememberedTask[]): string {
  const lines = tasks.map(({ taskId, wanted, task }) => JSON.stringify({ task_id: taskId, wanted, task }));
  return `{"version": 1, "tasks": [\n${lines.join(',\n')}\n]}\n`;
}

/** @returns `damage`: what is wrong with all of it, or with the first entry that had to be left out */
function parse(text: string | undefined): { tasks: readonly RememberedTask[]; damage?: string } {
  if (text === undefined) return { tasks: [] };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return { tasks: [], damage: error.message };
    throw error;
  }
  if (!Value.Check(FileSchema, value)) return { tasks: [], damage: 'expected version 1 with a list of tasks' };
  const tasks = value.tasks.flatMap((entry) => {
    if (!Value.Check(EntrySchema, entry)) return [];
    const { task_id: taskId, wanted, task } = entry;
    if (task !== undefined && task.task_id !== taskId) return [];
    return [{ taskId, wanted, task }];
  });
  const left = value.tasks.length - tasks.length;
  return left === 0 ? { tasks } : { tasks, damage: `${left} of ${value.tasks.length} tasks are none` };
}

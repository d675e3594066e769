import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cancel, Clock } from '../core/ports.js';
import { isErrno } from './errno.js';

/** How often the counter is looked at, and for how long a rise explains an end after it was seen: together 5 s, since
 *  the kernel may kill a process whose end is nobody's business here. */
const LOOK_MS = 2_000;
const RISE_MS = 3_000;

export interface CgroupFiles {
  /** Which cgroups this process belongs to [cgroups(7)]. */
  readonly self: string;
  readonly mount: string;
}

const SYSTEM_FILES: CgroupFiles = { self: '/proc/self/cgroup', mount: '/sys/fs/cgroup' };

interface Counter {
  readonly path: string;
  readonly kills: number;
}

interface Rise {
  readonly atMs: number;
  kills: number;
}

/** Whether the kernel ended a process because memory ran out: as far as the counter of our own cgroup tells, which
 *  children share unless somebody moved them. */
export class OomWatch {
  readonly #clock: Clock;
  readonly #files: CgroupFiles;
  #last: Counter | undefined;
  #rises: Rise[] = [];
  #cancel: Cancel | undefined;

  constructor(clock: Clock, files: CgroupFiles = SYSTEM_FILES) {
    this.#clock = clock;
    this.#files = files;
  }

  start(): void {
    if (this.#cancel) return;
    this.#last = this.#read();
    this.#cancel = this.#clock.every(LOOK_MS, () => this.#look());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#rises = [];
  }

  /** Explains one end by SIGKILL that nobody here sent. Each kill explains one. */
  explains(): boolean {
    this.#look();
    const rise = this.#rises[0];
    if (rise === undefined) return false;
    rise.kills -= 1;
    if (rise.kills === 0) this.#rises.shift();
    return true;
  }

  #look(): void {
    const nowMs = this.#clock.now();
    this.#rises = this.#rises.filter(({ atMs }) => nowMs - atMs < RISE_MS);
    const counter = this.#read();
    if (counter === undefined) return;
    const last = this.#last;
    this.#last = counter;
    // We may have been moved to another cgroup, whose count so far is not news.
    if (last?.path !== counter.path || counter.kills <= last.kills) return;
    this.#rises.push({ atMs: nowMs, kills: counter.kills - last.kills });
  }

  #read(): Counter | undefined {
    const self = readText(this.#files.self);
    if (self === undefined) return undefined;
    for (const path of counterPaths(self, this.#files.mount)) {
      const match = /^oom_kill (\d+)$/m.exec(readText(path) ?? '');
      if (match) return { path, kills: Number(match[1]) };
    }
    return undefined;
  }
}

/** Where the counter may stand. Inside of a container a cgroup's path may mean nothing below the mount, whose root is
 *  then the container's own. */
function counterPaths(self: string, mount: string): string[] {
  const v1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(self)?.[1];
  if (v1 !== undefined) {
    const base = join(mount, 'memory');
    return [join(base, v1, 'memory.oom_control'), join(base, 'memory.oom_control')];
  }
  const v2 = /^0::(.*)$/m.exec(self)?.[1];
  return v2 === undefined ? [] : [join(mount, v2, 'memory.events'), join(mount, 'memory.events')];
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

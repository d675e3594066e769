import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessIdentity } from '../core/ports.js';
import { isErrno } from './errno.js';

/** The few readers of /proc [proc(5)]. On systems without it they know nothing, and say so. */

export interface ProcessStat {
  readonly pid: number;
  /** One letter; `Z` and `X` are dead. */
  readonly state: string;
  readonly group: number;
  readonly session: number;
  /** Clock ticks since boot, as text: it is only ever compared. */
  readonly startTime: string;
}

/** Reads `/proc/PID/stat`. The program's name may hold spaces and parentheses, so fields count from the last `)`. */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, , group, session] = fields;
  const startTime = fields[19];
  if (state === undefined || startTime === undefined) return undefined;
  return { pid: Number.parseInt(text, 10), state, group: Number(group), session: Number(session), startTime };
}

/** undefined: there is no such process, or no /proc, or it could not be read.
 *  @param surely undefined then means that it is not there; what says nothing about it is thrown. */
export function statOf(pid: number, surely = false): ProcessStat | undefined {
  const text = readProc(`${pid}/stat`, surely);
  return text === undefined ? undefined : parseStat(text);
}

export function isDead(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

/** Whether this system shows its processes. */
export function hasProc(): boolean {
  return bootId() !== '';
}

let knownBootId: string | undefined;

/** Differs after each boot; empty where there is no /proc. */
export function bootId(): string {
  knownBootId ??= readProc('sys/kernel/random/boot_id')?.trim() ?? '';
  return knownBootId;
}

/** Who runs under this pid now. `startTime` is empty when that cannot be known. */
export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: statOf(pid)?.startTime ?? '', bootId: bootId() };
}

/** Whether this very process lives. A zombie does not. Without /proc the pid alone decides. */
export function isAlive({ pid, startTime, bootId: boot }: ProcessIdentity): boolean {
  if (!hasProc()) return pidExists(pid);
  const stat = statOf(pid);
  return boot === bootId() && stat !== undefined && stat.startTime === startTime && !isDead(stat);
}

/** Living members of a process group or of the session of the same number, which a job-control shell splits up. */
export function processesOfGroup(group: number): ProcessStat[] {
  const members: ProcessStat[] = [];
  for (const pid of allPids()) {
    const stat = statOf(pid);
    if (stat && (stat.group === group || stat.session === group) && !isDead(stat)) members.push(stat);
  }
  return members;
}

export function allPids(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}

/** What one environment variable was when the process began; undefined also where we may not look. */
export function environmentOf(pid: number, name: string): string | undefined {
  const start = `${name}=`;
  return readProc(`${pid}/environ`)
    ?.split('\0')
    .find((entry) => entry.startsWith(start))
    ?.slice(start.length);
}

function pidExists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return isErrno(error) && error.code === 'EPERM';
  }
}

/** What says that a process is not there (any more), or is not ours to look at. Anything else, such as no free
 *  descriptor, says nothing about it. */
const NOT_THERE = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM']);

/** A process may end while it is looked at: a failure to read means that there is nothing to know.
 *  @param surely Throws where the failure says nothing about the process. */
function readProc(path: string, surely = false): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch (error) {
    if (isErrno(error) && (!surely || NOT_THERE.has(error.code))) return undefined;
    throw error;
  }
}

import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import type { ProcessIdentity } from '../core/ports.js';
import { isErrno } from './errno.js';

/** The few readers of /proc [proc(5)]. On systems without it they know nothing, and say so. */

export interface ProcessStat {
  readonly pid: number;
  /** One letter; `Z` and `X` are dead. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** A thread of the kernel. */
  readonly kernel: boolean;
  /** Clock ticks since boot, as text: an identity first of all. */
  readonly startTime: string;
}

/** PF_KTHREAD of the kernel's sched.h. */
const KERNEL_THREAD = 0x20_0000;
/** Up to the start time, counted after the name. */
const STAT_FIELDS = 20;
const ENV_END_FIELD = 48;

/** Reads `/proc/PID/stat`. The program's name may hold spaces and parentheses, so fields count from the last `)`. */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = fieldsOf(text, STAT_FIELDS);
  const [state, parent, group, session, , , flags] = fields;
  const startTime = fields[STAT_FIELDS - 1];
  if (state === undefined || startTime === undefined) return undefined;
  return {
    pid: Number.parseInt(text, 10),
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    kernel: (Number(flags) & KERNEL_THREAD) !== 0,
    startTime,
  };
}

function fieldsOf(text: string, count: number): string[] {
  return text.slice(text.lastIndexOf(')') + 2).split(' ', count);
}

/** undefined: there is no such process, or no /proc, or it could not be read.
 *  @param surely undefined then means that it is not there; what says nothing about it is thrown. */
export function statOf(pid: number, surely = false): ProcessStat | undefined {
  const text = readStat(pid, surely);
  return text === undefined ? undefined : parseStat(text);
}

export function isDead(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

/** Whether the process that was seen as `stat` is still there, and lives.
 *  @throws what says nothing about it */
export function stillLives({ pid, startTime }: Pick<ProcessStat, 'pid' | 'startTime'>): boolean {
  const now = statOf(pid, true);
  return now !== undefined && now.startTime === startTime && !isDead(now);
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

/** How far the kernel has got with giving out pids. It goes round: after the largest comes the smallest free one. */
export interface PidCursor {
  /** The pid given out last, in this namespace. */
  readonly last: number;
  /** Pids given out since boot, at least: each process and each thread takes one. */
  readonly given: number;
  /** Pids that are taken now, at most. */
  readonly taken: number;
}

/** [proc(5): loadavg, stat] undefined where that cannot be known. */
export function pidCursor(): PidCursor | undefined {
  const [, , , threads = '', last] = readProc('loadavg')?.split(/\s+/) ?? [];
  const given = /^processes (\d+)$/m.exec(readProc('stat') ?? '')?.[1];
  const cursor = { last: Number(last), given: Number(given), taken: Number(threads.split('/')[1]) };
  return Object.values(cursor).every(Number.isSafeInteger) ? cursor : undefined;
}

/** Which pids can have been given out between two looks at the cursor. undefined: any. */
export function pidsGiven(
  from: PidCursor | undefined,
  to: PidCursor | undefined,
): ((pid: number) => boolean) | undefined {
  if (from === undefined || to === undefined) return undefined;
  // So many may have been given and so many passed over: less than a round, or nothing can be said.
  if (to.given - from.given + to.taken >= pidMax() / 2) return undefined;
  return from.last <= to.last ? (pid) => pid > from.last && pid <= to.last : (pid) => pid > from.last || pid <= to.last;
}

let knownPidMax: number | undefined;

function pidMax(): number {
  knownPidMax ??= Number(readProc('sys/kernel/pid_max') ?? 0);
  return knownPidMax;
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
  return allPids()
    .flatMap((pid) => statOf(pid) ?? [])
    .filter((stat) => (stat.group === group || stat.session === group) && !isDead(stat));
}

/** @throws what keeps /proc from being listed */
export function allPids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** `none`: it has no environment, or none for us to see. `unsettled`: it ended or began a program meanwhile, so there
 *  is nothing to say about it. */
export type Environment = { readonly value: string } | 'none' | 'unsettled';

/** What one environment variable was when the process began its program.
 *  @throws what says nothing about the process, such as no free descriptor */
export function environmentOf(pid: number, name: string): Environment {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch (error) {
    if (isErrno(error) && NOT_THERE.has(error.code)) return 'unsettled';
    if (isErrno(error) && NOT_OURS.has(error.code)) return 'none';
    throw error;
  }
  if (text === '') return hasEnvironment(pid) ? 'none' : 'unsettled';
  const start = `${name}=`;
  const entry = text.split('\0').find((one) => one.startsWith(start));
  return entry === undefined ? 'none' : { value: entry.slice(start.length) };
}

/** In the midst of execve(2) the old environment is gone and the new one not there yet: it then ends at address 0. */
function hasEnvironment(pid: number): boolean {
  const text = readStat(pid, true);
  const end = text === undefined ? undefined : fieldsOf(text, ENV_END_FIELD + 1)[ENV_END_FIELD];
  return end !== undefined && end !== '0';
}

/** The children of all its threads, as the kernel lists them; none where it keeps no such list, or cannot be asked now.
 *  One that is born or ends meanwhile may be missing. */
export function childrenOf(pid: number): number[] {
  const tasks = orUndefined(false, () => readdirSync(`/proc/${pid}/task`)) ?? [];
  return tasks.flatMap((task) => pidsIn(readProc(`${pid}/task/${task}/children`) ?? ''));
}

function pidsIn(text: string): number[] {
  return text.split(' ').filter(Boolean).map(Number);
}

/** Whether anything holds this number as its pid, dead or alive. Takes no descriptor. */
export function pidExists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return isErrno(error) && error.code === 'EPERM';
  }
}

/** What says that a process is not there (any more), and that it is not ours to look at. Anything else, such as no
 *  free descriptor, says nothing about it. */
const NOT_THERE = new Set(['ENOENT', 'ESRCH']);
const NOT_OURS = new Set(['EACCES', 'EPERM']);

/** A process may end while it is looked at: a failure to read means that there is nothing to know.
 *  @param surely Throws where the failure says nothing about the process. */
function readProc(path: string, surely = false): string | undefined {
  return orUndefined(surely, () => readFileSync(`/proc/${path}`, 'utf8'));
}

const statBuffer = Buffer.alloc(1_024);

/** By far the most frequent look, so it takes three system calls and not the five of `readFileSync`. */
function readStat(pid: number, surely: boolean): string | undefined {
  return orUndefined(surely, () => {
    const file = openSync(`/proc/${pid}/stat`, 'r');
    try {
      return statBuffer.toString('latin1', 0, readSync(file, statBuffer, 0, statBuffer.length, 0));
    } finally {
      closeSync(file);
    }
  });
}

function orUndefined<T>(surely: boolean, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error) && (!surely || NOT_THERE.has(error.code) || NOT_OURS.has(error.code))) return undefined;
    throw error;
  }
}

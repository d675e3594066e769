import { closeSync, openSync } from 'node:fs';
import pidusage from 'pidusage';
import history from 'pidusage/lib/history.js';
import { LIMITS } from '../core/limits.js';
import { isErrno } from './errno.js';
import type { ProcessStat } from './proc.js';

export interface ProcessFigures {
  readonly cpuPercent: number;
  readonly rssKb: number;
}

/** How long pidusage keeps the descriptor of a process that nobody asks for any more. A late sample must not begin
 *  anew. */
const KEPT_MS = 3 * LIMITS.usageMs;

/** Processes of one sample: a descriptor is held for each. What a fork bomb has beyond is counted, not measured. */
const MEASURED_MAX = 4_096;

/** Figures by pidusage, in one call for all.
 *
 *  Left alone, pidusage opens a process's file in one turn and reads it in another: of a process that ends between the
 *  two it loses the descriptor for ever, and of one that got the pid of another it reads the other's file, in vain, for
 *  as long as it is asked. So we open the file and put it into pidusage's memory, which closes it in the end. */
export class ProcessFiguresReader {
  /** Start times by pid, as of the last sample. */
  #seen: ReadonlyMap<number, string> = new Map();

  /** @param processes Living ones, the most important first. Not to be called while a call is under way: pidusage
   *  4 leaks descriptors then. */
  read(processes: readonly ProcessStat[]): Promise<ReadonlyMap<number, ProcessFigures>> {
    const measured = processes.slice(0, MEASURED_MAX).filter((stat) => this.#isOpen(stat));
    this.#seen = new Map(measured.map(({ pid, startTime }) => [pid, startTime]));
    return ask(measured.map(({ pid }) => pid));
  }

  #isOpen({ pid, startTime }: ProcessStat): boolean {
    const fd = history.get(pid, KEPT_MS)?.fd;
    if (fd !== undefined && this.#seen.get(pid) === startTime) return true;
    try {
      history.set(pid, { fd: openSync(`/proc/${pid}/stat`, 'r') }, KEPT_MS, (entry) => close(entry.fd));
    } catch (error) {
      if (isErrno(error)) return false;
      throw error;
    }
    close(fd);
    return true;
  }
}

/** Where /proc is not, pidusage asks ps(1) or WMI, and holds nothing. */
export function figuresWithoutProc(pids: readonly number[]): Promise<ReadonlyMap<number, ProcessFigures>> {
  return ask(pids.slice(0, MEASURED_MAX));
}

async function ask(pids: readonly number[]): Promise<ReadonlyMap<number, ProcessFigures>> {
  if (pids.length === 0) return new Map();
  try {
    const figures = Object.entries(await pidusage([...pids], { maxage: KEPT_MS })).filter(([, figure]) => figure);
    return new Map(
      figures.map(([pid, { cpu, memory }]) => [Number(pid), { cpuPercent: Math.max(cpu, 0), rssKb: memory / 1_024 }]),
    );
  } catch {
    // None of them is there any more, or it could not look; the next sample is seconds away.
    return new Map();
  }
}

function close(fd: number | undefined): void {
  if (fd !== undefined) closeSync(fd);
}

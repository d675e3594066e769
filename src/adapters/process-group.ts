import type { ProcessIdentity, SignalResult } from '../core/ports.js';
import { isErrno } from './errno.js';
import { processesOfGroup } from './proc.js';

/** A process group by the pid of its leader, which stays its number while any member lives. Whether the group is
 *  still the one that was meant is the caller's to know.
 *  @returns `gone`: it has no member. `unverified`: it has, but none that we may signal. */
export function signalGroup(leader: number, signal: string | 0): SignalResult {
  try {
    process.kill(-leader, signal);
    return 'sent';
  } catch (error) {
    if (!isErrno(error)) throw error;
    return error.code === 'ESRCH' ? 'gone' : 'unverified';
  }
}

/** Kills the group, and what a job-control shell moved to other groups of its session. */
export function killTree({ pid }: Pick<ProcessIdentity, 'pid'>): SignalResult {
  const others = processesOfGroup(pid).filter((member) => member.group !== pid);
  const result = signalGroup(pid, 'SIGKILL');
  for (const other of others) killOne(other.pid);
  return result;
}

export function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error)) throw error;
  }
}

/** Whether nothing of the group lives. Asks the kernel first, and looks for a group of zombies only with `thorough`:
 *  where pid 1 does not reap, they stay for ever. */
export function groupIsGone(leader: number, thorough: boolean): boolean {
  if (signalGroup(leader, 0) === 'gone') return true;
  return thorough && !processesOfGroup(leader).some((member) => member.group === leader);
}

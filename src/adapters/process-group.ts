import type { SignalResult } from '../core/ports.js';
import { isErrno } from './errno.js';
import { allPids, hasProc, isDead } from './proc.js';
import { statsOf } from './process-tree.js';

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

export function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error)) throw error;
  }
}

/** Whether all of the group are zombies, for which the kernel keeps it: where pid 1 does not reap, for ever. */
export async function isGroupOfZombies(leader: number): Promise<boolean> {
  if (!hasProc()) return false;
  try {
    const stats = await statsOf(allPids());
    return ![...stats.values()].some((stat) => stat.group === leader && !isDead(stat));
  } catch (error) {
    // Not to be able to look is not to know.
    if (isErrno(error)) return false;
    throw error;
  }
}

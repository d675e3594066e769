import { LIMITS } from '../core/limits.js';
import type { ChildRecord, Clock, Logger } from '../core/ports.js';
import { allPids, bootId, environmentOf, hasProc, identityOf, isAlive, isDead, statOf } from './proc.js';
import { killOne, killTree } from './process-group.js';
import { systemRandom } from './system-clock.js';

/** Ends what a crashed node left behind, and waits until it is gone, at most `LIMITS.leftoversMs`.
 *
 *  A process is ours when pid, start time and boot id are those of the journal, or when its environment holds a
 *  SN_TOKEN whose hash stands there: that finds a child spawned just before the crash, and those that left their group.
 *  Everything else is left alone, whatever its pid.
 *  @returns How many of the children had something left. */
export async function endLeftovers(leftovers: readonly ChildRecord[], log: Logger, clock: Clock): Promise<number> {
  const known = leftovers.filter(({ identity }) => identity === undefined || identity.bootId === bootId());
  if (known.length === 0) return 0;
  if (!hasProc()) {
    log.warn(
      { children: known.length },
      'children of the last run may live on: this system cannot tell which they are',
    );
    return 0;
  }
  const found = new Set<string>();
  const deadlineMs = clock.now() + LIMITS.leftoversMs;
  // Again and again, since what is being killed can still fork.
  for (let living = kill(known, found); living.length > 0; living = kill(known, found)) {
    if (clock.now() >= deadlineMs) {
      log.error({ pids: living }, 'processes of the last run outlived SIGKILL');
      break;
    }
    log.info({ pids: living }, 'ending processes that the last run left');
    await new Promise<void>((resolve) => clock.after(LIMITS.groupPollMs, resolve));
  }
  return found.size;
}

/** Sends SIGKILL to all that is left, and notes whose it was.
 *  @returns The pids that lived. */
function kill(leftovers: readonly ChildRecord[], found: Set<string>): number[] {
  const living = new Set<number>();
  for (const { identity, tokenHash } of leftovers) {
    if (identity === undefined || identity.startTime === '' || !isAlive(identity)) continue;
    killTree(identity);
    living.add(identity.pid);
    found.add(tokenHash);
  }
  const hashes = new Set(leftovers.map(({ tokenHash }) => tokenHash));
  for (const pid of allPids()) {
    const tokenHash = hashOfToken(pid);
    if (tokenHash === undefined || !hashes.has(tokenHash)) continue;
    killOne(pid);
    living.add(pid);
    found.add(tokenHash);
  }
  return [...living];
}

/** The hash of the SN_TOKEN a living process was started with. */
function hashOfToken(pid: number): string | undefined {
  if (pid === process.pid) return undefined;
  const { startTime } = identityOf(pid);
  const token = environmentOf(pid, 'SN_TOKEN');
  if (token === undefined) return undefined;
  // The pid may have passed to somebody else between the two looks.
  const stat = statOf(pid);
  const same = stat !== undefined && stat.startTime === startTime && !isDead(stat);
  return same ? systemRandom.hash(token) : undefined;
}

import { LIMITS } from '../core/limits.js';
import type { ChildRecord, Clock, Logger } from '../core/ports.js';
import { isErrno } from './errno.js';
import { bootId, hasProc, isAlive } from './proc.js';
import { signalGroup } from './process-group.js';
import { type Lineage, sweep } from './sweep.js';

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
  for (let left = await kill(known, found); left !== 'nothing'; left = await kill(known, found)) {
    if (clock.now() >= deadlineMs) {
      log.error({ pids: left }, 'processes of the last run outlived SIGKILL, or could not be looked for');
      break;
    }
    if (left.length > 0) log.info({ pids: left }, 'ending processes that the last run left');
    await new Promise<void>((resolve) => clock.after(LIMITS.groupPollMs, resolve));
  }
  return found.size;
}

/** Sends SIGKILL to all that is left, and notes whose it was.
 *  @returns The pids that lived, as far as they could be looked at. */
async function kill(leftovers: readonly ChildRecord[], found: Set<string>): Promise<'nothing' | number[]> {
  try {
    const lineages = leftovers.map(lineageOf);
    const living = lineages.flatMap(({ group }) => group ?? []);
    for (const group of living) signalGroup(group, 'SIGKILL');
    let complete = true;
    for (const [{ tokenHash, group }, result] of await sweep(lineages)) {
      if (group !== undefined || result.living.length > 0) found.add(tokenHash);
      living.push(...result.living);
      complete &&= result.complete;
    }
    return complete && living.length === 0 ? 'nothing' : [...new Set(living)];
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}

/** The group is surely ours only while its leader lives. */
function lineageOf({ identity, tokenHash }: ChildRecord): Lineage & { readonly tokenHash: string } {
  const leader = identity !== undefined && identity.startTime !== '' && isAlive(identity) ? identity.pid : undefined;
  return { tokenHash, group: leader, startTime: identity?.startTime ?? '', since: undefined };
}

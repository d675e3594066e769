import { LIMITS } from '../core/limits.js';
import type { ChildRecord, Clock, Logger, ProcessIdentity } from '../core/ports.js';
import { isErrno } from './errno.js';
import { bootId, hasProc, isAlive, type ProcessStat } from './proc.js';
import { signalGroup } from './process-group.js';
import { descendantsOf } from './process-tree.js';
import { type Lineage, sweep } from './sweep.js';

interface Ended {
  /** Children of which something had lived, and nothing does now. */
  readonly ended: number;
  /** Those of which something lives on. */
  readonly living: readonly ChildRecord[];
}

interface Suspect {
  readonly child: ChildRecord;
  /** What had come from it when we first looked. */
  readonly seen: readonly ProcessStat[];
}

/** What lived when it was looked for. */
interface Left {
  readonly children: readonly ChildRecord[];
  readonly pids: readonly number[];
  /** False: more may live than could be looked at. */
  readonly complete: boolean;
}

/** Ends what a crashed node left behind, and waits until it is gone, at most `LIMITS.leftoversMs`.
 *
 *  A process is ours when pid, start time and boot id are those of the journal, or when its environment holds a
 *  SN_TOKEN whose hash stands there: that finds a child spawned just before the crash, and those that left their group.
 *  Everything else is left alone, whatever its pid.
 *  @returns What became of those that had something left. */
export async function endLeftovers(leftovers: readonly ChildRecord[], log: Logger, clock: Clock): Promise<Ended> {
  const known = leftovers.filter(({ identity }) => identity === undefined || identity.bootId === bootId());
  if (known.length === 0) return { ended: 0, living: [] };
  if (!hasProc()) {
    log.warn(
      { children: known.length },
      'children of the last run may live on: this system cannot tell which they are',
    );
    return { ended: 0, living: [] };
  }
  const found = new Set<string>();
  // Before the first signal, which takes the parents by whom the children are known.
  const suspects = known.map((child) => ({ child, seen: seenFrom(child) }));
  const deadlineMs = clock.now() + LIMITS.leftoversMs;
  // Again and again, since what is being killed can still fork.
  for (;;) {
    const left = await kill(suspects);
    for (const { tokenHash } of left.children) found.add(tokenHash);
    if (left.children.length === 0 && left.complete) return { ended: found.size, living: [] };
    if (clock.now() >= deadlineMs) {
      // Not to have been able to look is no proof that they are gone.
      const living = left.complete ? left.children : known;
      log.error(
        { pids: left.pids, task_ids: [...new Set(living.map(({ taskId }) => taskId))] },
        'processes of the last run outlived SIGKILL, or could not be looked for; the next start tries again',
      );
      return { ended: [...found].filter((hash) => !living.some(({ tokenHash }) => tokenHash === hash)).length, living };
    }
    if (left.pids.length > 0) log.info({ pids: left.pids }, 'ending processes that the last run left');
    await new Promise<void>((resolve) => clock.after(LIMITS.groupPollMs, resolve));
  }
}

/** Sends SIGKILL to all that is left. */
async function kill(suspects: readonly Suspect[]): Promise<Left> {
  try {
    const lineages = suspects.map((suspect) => ({ ...lineageOf(suspect), child: suspect.child }));
    for (const { group } of lineages) if (group !== undefined) signalGroup(group, 'SIGKILL');
    const left = { children: [] as ChildRecord[], pids: [] as number[], complete: true };
    for (const [{ group, child }, result] of await sweep(lineages)) {
      const pids = group === undefined ? result.living : [group, ...result.living];
      if (pids.length > 0) left.children.push(child);
      left.pids.push(...new Set(pids));
      left.complete &&= result.complete;
    }
    return left;
  } catch (error) {
    if (isErrno(error)) return { children: [], pids: [], complete: false };
    throw error;
  }
}

function lineageOf({ child: { identity, tokenHash }, seen }: Suspect): Lineage {
  return { tokenHash, group: leaderOf(identity), seen, startTime: identity?.startTime ?? '', since: undefined };
}

function seenFrom({ identity }: ChildRecord): ProcessStat[] {
  const leader = leaderOf(identity);
  return leader === undefined ? [] : descendantsOf(leader);
}

/** The number of the group is surely ours only while its leader lives. */
function leaderOf(identity: ProcessIdentity | undefined): number | undefined {
  return identity !== undefined && identity.startTime !== '' && isAlive(identity) ? identity.pid : undefined;
}

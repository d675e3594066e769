import {
  allPids,
  environmentOf,
  isDead,
  type PidCursor,
  type ProcessStat,
  pidCursor,
  pidsGiven,
  stillLives,
} from './proc.js';
import { killOne } from './process-group.js';
import { inTurns, ProcessTree, statsOf } from './process-tree.js';
import { systemRandom } from './system-clock.js';

/** How the processes that came from a child are told from all others. */
export interface Lineage {
  /** Hash of the SN_TOKEN in its environment, which all that it starts inherit; undefined: it got none. */
  readonly tokenHash: string | undefined;
  /** The pid of its leader, as long as this number can mean no other group and session. */
  readonly group: number | undefined;
  /** What was seen to descend from the leader while the parents between lived: where one of these left the group and
   *  cleared its environment, nothing else tells. */
  readonly seen: readonly ProcessStat[];
  /** When the leader began: nothing that came from it is older. Empty where that is not known. */
  readonly startTime: string;
  /** The cursor of pids when it began: what came from it got its pid after that. undefined: not known. */
  readonly since: PidCursor | undefined;
}

export interface SweepResult {
  /** What lived, and was sent SIGKILL. It may take its time to be gone. */
  readonly living: readonly number[];
  /** Whether some of it was found by the number of its group or session. */
  readonly inGroup: boolean;
  /** False: more may live, which came and went too fast to be looked at. */
  readonly complete: boolean;
}

/** A look at all processes again and again, each time only at those that are new, until nothing was on the move. */
const LOOKS_MAX = 8;

interface Found {
  readonly living: Set<number>;
  inGroup: boolean;
}

/** Sends SIGKILL to all that came from the children, in one pass over /proc for all of them: what is in their group or
 *  session, what holds their token, what was seen to descend from them, and what descends from those.
 *  @param ofOthers Whether a group or session belongs to a living child: nothing of it has to be looked at.
 *  @throws what keeps it from looking, such as no free descriptor: it then knows nothing */
export async function sweep<L extends Lineage>(
  lineages: readonly L[],
  ofOthers: (group: number) => boolean = () => false,
): Promise<Map<L, SweepResult>> {
  const pass = new Pass<L>(lineages, ofOthers);
  let complete = false;
  for (let looks = 0; looks < LOOKS_MAX && !complete; looks += 1) complete = await pass.look();
  return pass.results(complete);
}

class Pass<L extends Lineage> {
  readonly #found: ReadonlyMap<L, Found>;
  readonly #byHash: ReadonlyMap<string, L>;
  readonly #oldestTicks: number;
  readonly #ofOthers: (group: number) => boolean;
  /** Whom it has looked at, or may not look at. No pid is used again within the milliseconds of a pass. */
  readonly #seen = new Set<number>();
  readonly #stats = new Map<number, ProcessStat>();

  constructor(lineages: readonly L[], ofOthers: (group: number) => boolean) {
    this.#found = new Map(lineages.map((lineage) => [lineage, { living: new Set(), inGroup: false }]));
    this.#byHash = new Map(lineages.flatMap((lineage) => (lineage.tokenHash ? [[lineage.tokenHash, lineage]] : [])));
    this.#oldestTicks = Math.min(...lineages.map(({ startTime }) => Number(startTime)));
    this.#ofOthers = ofOthers;
  }

  /** @returns Whether it has seen all there was. What ended before it was looked at may have left a child behind that
   *  is not in the list. */
  async look(): Promise<boolean> {
    const mayBeOurs = this.#mayBeOurs();
    const pids = allPids().filter((pid) => pid !== process.pid && !this.#seen.has(pid) && mayBeOurs(pid));
    const stats = await statsOf(pids);
    const candidates = [...stats.values()].filter((stat) => !stat.kernel && this.#isYoung(stat));
    let complete = stats.size === pids.length;
    for (const pid of pids) this.#seen.add(pid);
    for (const stat of stats.values()) this.#stats.set(stat.pid, stat);
    const living = candidates.filter((stat) => !isDead(stat));
    if (living.length < candidates.length) complete = false;
    const roots = this.#known();
    await inTurns(living, (stat) => {
      if (roots.has(stat) || this.#isOthers(stat)) return;
      const lineage = this.#byToken(stat);
      if (lineage === 'unsettled') {
        complete = false;
        this.#seen.delete(stat.pid);
      } else if (lineage) {
        roots.set(stat, lineage);
        this.#kill(stat, lineage);
      }
    });
    this.#killDescendants(roots);
    return complete;
  }

  results(complete: boolean): Map<L, SweepResult> {
    return new Map(
      [...this.#found].map(([lineage, { living, inGroup }]) => [lineage, { living: [...living], inGroup, complete }]),
    );
  }

  /** Most of a machine is older than any child of ours, and need not be looked at. */
  #mayBeOurs(): (pid: number) => boolean {
    const now = pidCursor();
    const given = [...this.#found.keys()].map(({ since }) => pidsGiven(since, now));
    return (pid) => given.some((isGiven) => isGiven === undefined || isGiven(pid));
  }

  #isYoung({ startTime }: ProcessStat): boolean {
    return Number(startTime) >= this.#oldestTicks;
  }

  #isOthers({ session, group }: ProcessStat): boolean {
    return this.#ofOthers(session) || this.#ofOthers(group);
  }

  /** Those that need no look at their environment. */
  #known(): Map<ProcessStat, L> {
    const tree = new ProcessTree([...this.#stats.values()].filter((stat) => !isDead(stat)));
    const roots = new Map<ProcessStat, L>();
    for (const [lineage, found] of this.#found) {
      const { group, startTime, seen } = lineage;
      for (const { pid, startTime: began } of seen) {
        const stat = this.#stats.get(pid);
        if (stat?.startTime === began && !isDead(stat)) roots.set(stat, lineage);
      }
      if (group === undefined) continue;
      // Somebody else has the pid: nothing of the group was left, or the kernel would not have given it away.
      const holder = this.#stats.get(group);
      if (holder !== undefined && holder.startTime !== startTime) continue;
      for (const stat of tree.membersOf(group)) {
        found.inGroup = true;
        roots.set(stat, lineage);
      }
    }
    return roots;
  }

  /** Whose token a process holds. Its start time, read before and now after, says that all of it is about the same. */
  #byToken(stat: ProcessStat): L | 'unsettled' | undefined {
    const token = environmentOf(stat.pid, 'SN_TOKEN');
    if (token === 'none') return undefined;
    if (token === 'unsettled') return 'unsettled';
    const lineage = this.#byHash.get(systemRandom.hash(token.value));
    return lineage && Number(stat.startTime) >= Number(lineage.startTime) ? lineage : undefined;
  }

  /** A child of ours that cleared its environment is ours all the same. */
  #killDescendants(roots: ReadonlyMap<ProcessStat, L>): void {
    if (roots.size === 0) return;
    const tree = new ProcessTree(this.#stats.values());
    for (const [root, lineage] of roots) {
      for (const stat of tree.withDescendants([root]).values()) this.#kill(stat, lineage);
    }
  }

  #kill(stat: ProcessStat, lineage: L): void {
    const living = this.#found.get(lineage)?.living;
    if (living === undefined || living.has(stat.pid) || stat.pid === process.pid || !stillLives(stat)) return;
    killOne(stat.pid);
    living.add(stat.pid);
  }
}

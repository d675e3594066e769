import type { ProcessIdentity, ProcessUsage } from '../core/ports.js';
import { isErrno } from './errno.js';
import { hasProc, isDead, type ProcessStat } from './proc.js';
import { ProcessCensus } from './process-census.js';
import { figuresWithoutProc, type ProcessFigures, ProcessFiguresReader } from './process-figures.js';
import { ProcessTree, statsOf } from './process-tree.js';

type Usages = ReadonlyMap<number, ProcessUsage>;
type Tree = ReadonlyMap<number, ProcessStat>;
type Trees = ReadonlyMap<number, readonly ProcessStat[]>;

const NONE: Usages = new Map();

/** CPU and memory of process trees, looked at again and again. One of it for each node: what it remembers is about the
 *  trees it was asked for. */
export class TreeUsages {
  readonly #reader = new ProcessFiguresReader();
  readonly #census = new ProcessCensus();
  #running: Promise<Usages> | undefined;
  /** What came from each leader as of the last sample, by its identity: the child of a parent that died is known by that
   *  alone. */
  #remembered: ReadonlyMap<string, Tree> = new Map();

  /** Each leader with all that came from it, by the pid of the leader; those that are gone are left out. Where /proc is
   *  not, the leaders alone. One look at a time: whoever asks meanwhile gets the answer that is under way. */
  of(leaders: readonly ProcessIdentity[]): Promise<Usages> {
    if (leaders.length === 0) return Promise.resolve(NONE);
    this.#running ??= (hasProc() ? this.#sampleTrees(leaders) : sampleLeaders(leaders)).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** What came from a leader, itself included, as of the last sample. */
  treeOf(leader: ProcessIdentity): readonly ProcessStat[] {
    return [...(this.#remembered.get(keyOf(leader))?.values() ?? [])];
  }

  async #sampleTrees(leaders: readonly ProcessIdentity[]): Promise<Usages> {
    const trees = await this.#treesOf(leaders);
    const all = [...trees.values()];
    const figures = await this.#reader.read([...new Set([...all.flatMap(([leader]) => leader ?? []), ...all.flat()])]);
    const usages = new Map<number, ProcessUsage>();
    for (const [leader, tree] of trees) {
      if (!figures.has(leader)) continue;
      const pids = tree.map(({ pid }) => pid);
      usages.set(leader, sumOf(pids, figures));
    }
    return usages;
  }

  /** The living processes of each tree, the leader first, by the pid of its leader. Not to be able to look gives none. */
  async #treesOf(leaders: readonly ProcessIdentity[]): Promise<Trees> {
    let stats: ReadonlyMap<number, ProcessStat>;
    try {
      stats = await this.#census.look(new Map(leaders.map(({ pid, startTime }) => [pid, startTime])));
    } catch (error) {
      if (isErrno(error)) return new Map();
      throw error;
    }
    const tree = new ProcessTree([...stats.values()].filter((stat) => !isDead(stat)));
    const known = new Map<string, Tree>();
    const trees = new Map<number, readonly ProcessStat[]>();
    for (const identity of leaders) {
      const { pid, startTime } = identity;
      const key = keyOf(identity);
      const leader = stats.get(pid);
      if (leader?.startTime !== startTime || isDead(leader)) {
        // Whoever is told of its end asks what it left.
        const tree = this.#remembered.get(key);
        if (tree !== undefined) known.set(key, tree);
        continue;
      }
      const before = this.treeOf(identity);
      const found = tree.withDescendants([
        leader,
        ...tree.membersOf(pid),
        ...before.filter((stat) => isSame(stat, stats.get(stat.pid))),
      ]);
      known.set(key, found);
      trees.set(pid, [...found.values()]);
    }
    this.#remembered = known;
    return withoutDead(trees);
  }
}

function keyOf({ pid, startTime }: ProcessIdentity): string {
  return `${pid} ${startTime}`;
}

async function sampleLeaders(leaders: readonly ProcessIdentity[]): Promise<Usages> {
  const figures = await figuresWithoutProc(leaders.map(({ pid }) => pid));
  return new Map([...figures.keys()].map((pid) => [pid, sumOf([pid], figures)]));
}

/** A child that ended stays where it is until its parent waits for it, and the census does not look at it again. */
async function withoutDead(trees: Trees): Promise<Trees> {
  const below = [...trees].flatMap(([leader, tree]) => tree.map(({ pid }) => pid).filter((pid) => pid !== leader));
  if (below.length === 0) return trees;
  const now = await statsOf(new Set(below));
  const lives = (leader: number, { pid }: ProcessStat) => {
    const stat = now.get(pid);
    return pid === leader || (stat !== undefined && !isDead(stat));
  };
  return new Map([...trees].map(([leader, tree]) => [leader, tree.filter((stat) => lives(leader, stat))]));
}

function isSame(before: ProcessStat, now: ProcessStat | undefined): boolean {
  return now !== undefined && now.startTime === before.startTime && !isDead(now);
}

function sumOf(pids: readonly number[], figures: ReadonlyMap<number, ProcessFigures>): ProcessUsage {
  let cpuPercent = 0;
  let rssKb = 0;
  for (const pid of pids) {
    cpuPercent += figures.get(pid)?.cpuPercent ?? 0;
    rssKb += figures.get(pid)?.rssKb ?? 0;
  }
  return { cpuPercent: Math.round(cpuPercent * 10) / 10, rssKb: Math.round(rssKb), processes: pids.length };
}

import { allPids, type PidCursor, type ProcessStat, pidCursor, pidsGiven } from './proc.js';
import { statsOf } from './process-tree.js';

/** All processes, looked at again and again, each time only at those that are new: who somebody's parent was, and when he
 *  began, does not change. What may change (parent after its death, group, session, state) is as it was at first sight. */
export class ProcessCensus {
  #known: Map<number, ProcessStat> = new Map();
  #cursor: PidCursor | undefined;

  /** Those that are there now, by pid, the dead included that nobody waited for.
   *  @param sure Start times of pids that are known for certain; what is remembered otherwise is looked at again
   *  @throws what keeps it from looking, such as no free descriptor */
  async look(sure: ReadonlyMap<number, string>): Promise<ReadonlyMap<number, ProcessStat>> {
    const cursor = pidCursor();
    const isNew = pidsGiven(this.#cursor, cursor) ?? (() => true);
    const there = allPids();
    const kept = new Map<number, ProcessStat>();
    const unknown: number[] = [];
    for (const pid of there) {
      const stat = this.#known.get(pid);
      const startTime = sure.get(pid);
      const isSame = stat !== undefined && !isNew(pid) && (startTime === undefined || startTime === stat.startTime);
      if (isSame) kept.set(pid, stat);
      else unknown.push(pid);
    }
    for (const [pid, stat] of await statsOf(unknown)) kept.set(pid, stat);
    this.#known = kept;
    this.#cursor = cursor;
    return kept;
  }
}

import { setImmediate } from 'node:timers/promises';
import { childrenOf, type ProcessStat, statOf } from './proc.js';

/** So long the event loop may be held by looking at processes: at 20 µs each, a machine with a thousand of them would
 *  keep everybody's PING waiting for 20 ms and more. */
const TURN_MS = 4;

/** Calls `visit` for each item, in pieces of `TURN_MS` with a turn of the event loop between them. */
export async function inTurns<T>(items: Iterable<T>, visit: (item: T) => void): Promise<void> {
  let endMs = performance.now() + TURN_MS;
  for (const item of items) {
    visit(item);
    if (performance.now() < endMs) continue;
    await setImmediate();
    endMs = performance.now() + TURN_MS;
  }
}

/** Those of the processes that are there, by pid; dead ones too.
 *  @throws what says nothing about a process, such as no free descriptor */
export async function statsOf(pids: Iterable<number>): Promise<Map<number, ProcessStat>> {
  const stats = new Map<number, ProcessStat>();
  await inTurns(pids, (pid) => {
    const stat = statOf(pid, true);
    if (stat) stats.set(pid, stat);
  });
  return stats;
}

/** Of a tree that grows as fast as it is looked at. */
const DESCENDANTS_MAX = 4_096;

/** What came from a process and is still its child, its child's child and so on, itself left out. In one turn, since
 *  who asks is about to end the parents, and that would be all that tells whose children they were. */
export function descendantsOf(pid: number): ProcessStat[] {
  const found: ProcessStat[] = [];
  const ahead = childrenOf(pid);
  for (const child of ahead) {
    const stat = statOf(child);
    if (stat === undefined) continue;
    found.push(stat);
    if (found.length === DESCENDANTS_MAX) break;
    for (const grandchild of childrenOf(child)) ahead.push(grandchild);
  }
  return found;
}

/** Who came from whom, as of one look at the processes. */
export class ProcessTree {
  readonly #children = new Map<number, ProcessStat[]>();
  readonly #members = new Map<number, ProcessStat[]>();

  constructor(processes: Iterable<ProcessStat>) {
    for (const stat of processes) {
      if (stat.kernel) continue;
      add(this.#children, stat.parent, stat);
      add(this.#members, stat.group, stat);
      if (stat.session !== stat.group) add(this.#members, stat.session, stat);
    }
  }

  /** Of the group, and of the session of the same number. */
  membersOf(group: number): readonly ProcessStat[] {
    return this.#members.get(group) ?? [];
  }

  /** The processes, their children, and so on, in this order. A process whose parent died has none that would be known. */
  withDescendants(roots: Iterable<ProcessStat>): Map<number, ProcessStat> {
    const found = new Map<number, ProcessStat>();
    const ahead = [...roots];
    for (const stat of ahead) {
      if (found.has(stat.pid)) continue;
      found.set(stat.pid, stat);
      ahead.push(...(this.#children.get(stat.pid) ?? []));
    }
    return found;
  }
}

function add(lists: Map<number, ProcessStat[]>, key: number, stat: ProcessStat): void {
  const list = lists.get(key);
  if (list) list.push(stat);
  else lists.set(key, [stat]);
}

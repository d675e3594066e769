import type { TaskStatus } from '../supervisor/status.js';

export type TaskState = TaskStatus['state'];
export type StateCounts = Readonly<Partial<Record<TaskState, number>>>;
type Counts = Readonly<Record<string, number>>;

/** What the metrics tell of one task. */
export interface TaskFigures {
  readonly task: string;
  /** 1 for the state it is in; of several tasks how many are in each. */
  readonly states: StateCounts;
  readonly workers: StateCounts;
  readonly gauges: TaskGauges;
  readonly puts: number;
  readonly fetched: number;
  readonly dropped: number;
  /** By cause. */
  readonly restarts: Counts;
}

export interface TaskGauges {
  readonly connections: number;
  readonly entries: number;
  readonly bytes: number;
  readonly entriesLimit: number;
  readonly bytesLimit: number;
  readonly oldestAgeS: number;
  readonly dead: number;
  readonly cpuRatio: number;
  readonly rssBytes: number;
}

/** Stands for all tasks that have no series of their own. No task can have this name. */
export const OTHER_TASKS = '(other)';

/** Gives so many tasks series of their own; the others share one. A task stays where it is until it is removed, and what
 *  a removed one counted stays in the shared counters: one that fell would look like a restart of the node. */
export class TaskSeries {
  readonly #max: number;
  #own = new Set<string>();
  /** Of those that share, as of the last look. */
  #shared = new Map<string, TaskFigures>();
  #gone: Counts = {};

  constructor(max: number) {
    this.#max = max;
  }

  /** @param tasks All there are now
   *  @returns One for each series */
  place(tasks: readonly TaskFigures[]): readonly TaskFigures[] {
    const names = new Set(tasks.map(({ task }) => task));
    this.#own = new Set([...this.#own].filter((task) => names.has(task)));
    const before = this.#shared;
    this.#shared = new Map();
    const own: TaskFigures[] = [];
    for (const figures of tasks) {
      if (this.#hasOwn(figures.task, before)) own.push(figures);
      else this.#shared.set(figures.task, figures);
    }
    for (const [task, last] of before) this.#keep(countersOf(last), this.#shared.get(task));
    if (this.#shared.size === 0 && Object.keys(this.#gone).length === 0) return own;
    return [...own, together([...this.#shared.values()], this.#gone)];
  }

  #hasOwn(task: string, shared: ReadonlyMap<string, TaskFigures>): boolean {
    if (this.#own.has(task)) return true;
    if (shared.has(task) || this.#own.size >= this.#max) return false;
    this.#own.add(task);
    return true;
  }

  /** A counter that fell begins anew, with a new task of the same name: what it had is kept. */
  #keep(last: Counts, figures: TaskFigures | undefined): void {
    const now = figures === undefined ? {} : countersOf(figures);
    const lost = Object.entries(last).filter(([name, value]) => value > (now[name] ?? 0));
    this.#gone = sum([this.#gone, Object.fromEntries(lost)]);
  }
}

const RESTARTS = 'restarts ';

function countersOf({ puts, fetched, dropped, restarts }: TaskFigures): Counts {
  const byCause = Object.entries(restarts).map(([cause, count]) => [RESTARTS + cause, count]);
  return { puts, fetched, dropped, ...Object.fromEntries(byCause) };
}

function together(tasks: readonly TaskFigures[], gone: Counts): TaskFigures {
  const { puts = 0, fetched = 0, dropped = 0, ...byCause } = sum([gone, ...tasks.map(countersOf)]);
  const restarts = Object.entries(byCause).map(([name, count]) => [name.slice(RESTARTS.length), count]);
  return {
    task: OTHER_TASKS,
    states: sum(tasks.map(({ states }) => states)),
    workers: sum(tasks.map(({ workers }) => workers)),
    gauges: gaugesTogether(tasks.map(({ gauges }) => gauges)),
    puts,
    fetched,
    dropped,
    restarts: Object.fromEntries(restarts),
  };
}

function gaugesTogether(all: readonly TaskGauges[]): TaskGauges {
  const total = (name: keyof TaskGauges) => all.reduce((before, gauges) => before + gauges[name], 0);
  return {
    connections: total('connections'),
    entries: total('entries'),
    bytes: total('bytes'),
    entriesLimit: total('entriesLimit'),
    bytesLimit: total('bytesLimit'),
    oldestAgeS: all.reduce((oldest, gauges) => Math.max(oldest, gauges.oldestAgeS), 0),
    dead: total('dead'),
    cpuRatio: total('cpuRatio'),
    rssBytes: total('rssBytes'),
  };
}

function sum(all: readonly Readonly<Partial<Record<string, number>>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of all) {
    for (const [name, count = 0] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

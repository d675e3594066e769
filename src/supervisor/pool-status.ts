import type { RestartCause } from '../core/restart-causes.js';
import type { TaskRecord } from '../core/task-record.js';
import type { ShownState, TaskStatus, WorkerStatus } from './status.js';

/** What a pool is said to be, by the best that one of its workers is: as long as one is ready, it serves. */
const BEST_FIRST: readonly ShownState[] = [
  'ready',
  'starting',
  'stopping',
  'backoff',
  'unkillable',
  'failed',
  'exited',
  'stopped',
  'pending',
];

/** The status of a process task: that of its worker, or of its workers taken together. */
export function statusOfWorkers({ taskId }: TaskRecord, workers: readonly WorkerStatus[]): TaskStatus {
  const [only] = workers;
  const shown = only !== undefined && workers.length === 1 ? only : together(workers);
  const { instance: _, ...standing } = { instance: 0, ...shown };
  return { taskId, kind: 'process', ...standing, workers, accepting: workers.some(({ state }) => state !== 'stopped') };
}

function together(workers: readonly WorkerStatus[]): Omit<WorkerStatus, 'instance'> {
  // Why and how the last one ended that did; what is running tells the rest of itself in `workers`.
  const ended = workers.filter(({ cause, exitCode }) => cause !== undefined || exitCode !== undefined);
  const { cause, exitCode, signal, rssKb, stderr, error } =
    ended.toSorted((a, b) => b.sinceMs - a.sinceMs)[0] ?? ({} as Partial<WorkerStatus>);
  const next = least(workers.map(({ nextStartAtMs }) => nextStartAtMs));
  const started = least(workers.map(({ startedAtMs }) => startedAtMs));
  return {
    state: BEST_FIRST.find((state) => workers.some((worker) => worker.state === state)) ?? 'pending',
    generation: Math.max(0, ...workers.map(({ generation }) => generation)),
    ...(cause !== undefined && { cause }),
    ...(exitCode !== undefined && { exitCode }),
    ...(signal !== undefined && { signal }),
    ...(rssKb !== undefined && { rssKb }),
    ...(stderr !== undefined && { stderr }),
    ...(error !== undefined && { error }),
    ...(next !== undefined && { nextStartAtMs: next }),
    ...(started !== undefined && { startedAtMs: started }),
    restarts: summed(workers.map(({ restarts }) => restarts)),
    channels: workers.reduce((sum, { channels }) => sum + channels, 0),
    sinceMs: Math.max(0, ...workers.map(({ sinceMs }) => sinceMs)),
  };
}

function least(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function summed(
  counts: readonly Readonly<Partial<Record<RestartCause, number>>>[],
): Partial<Record<RestartCause, number>> {
  const sum: Partial<Record<string, number>> = {};
  for (const one of counts) {
    for (const [cause, count] of Object.entries(one)) sum[cause] = (sum[cause] ?? 0) + count;
  }
  return sum;
}

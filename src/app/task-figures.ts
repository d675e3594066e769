import type { Clock, ProcessUsage } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import type { TaskQueue } from '../queues/task-queue.js';
import type { TaskStatus } from '../supervisor/status.js';
import type { TaskFigures, TaskGauges } from './task-series.js';

export interface TaskFiguresPorts {
  readonly clock: Pick<Clock, 'now'>;
  readonly supervisor: { list(): readonly TaskStatus[] };
  readonly queues: { get(taskId: TaskId): TaskQueue | undefined };
  readonly usage: { latest(pid: number): ProcessUsage | undefined };
}

/** What the metrics tell of each task, as it is now. */
export function taskFigures({ clock, supervisor, queues, usage }: TaskFiguresPorts): TaskFigures[] {
  const nowMs = clock.now();
  return supervisor.list().map((status) => {
    const { taskId, state, workers, restarts } = status;
    const queue = queues.get(taskId);
    const workerStates: Record<string, number> = {};
    for (const worker of workers) workerStates[worker.state] = (workerStates[worker.state] ?? 0) + 1;
    return {
      task: taskId,
      states: { [state]: 1 },
      workers: workerStates,
      gauges: { connections: status.channels, ...queueGauges(queue, nowMs), ...usageGauges(status, usage) },
      puts: queue?.counts.puts ?? 0,
      fetched: queue?.counts.taken ?? 0,
      dropped: queue?.counts.droppedTotal ?? 0,
      restarts: { ...restarts },
    };
  });
}

function queueGauges(queue: TaskQueue | undefined, nowMs: number): Omit<TaskGauges, 'connections' | UsageNames> {
  const oldestPutMs = queue?.oldestPutMs;
  return {
    entries: queue?.length ?? 0,
    bytes: queue?.bytes ?? 0,
    entriesLimit: queue?.bounds.length ?? 0,
    bytesLimit: queue?.bounds.bytes ?? 0,
    oldestAgeS: oldestPutMs === undefined ? 0 : Math.max(0, nowMs - oldestPutMs) / 1_000,
    dead: queue?.deadLength ?? 0,
  };
}

type UsageNames = 'cpuRatio' | 'rssBytes';

function usageGauges({ workers }: TaskStatus, usage: TaskFiguresPorts['usage']): Pick<TaskGauges, UsageNames> {
  const sum = { cpuRatio: 0, rssBytes: 0 };
  for (const { pid } of workers) {
    const latest = pid === undefined ? undefined : usage.latest(pid);
    if (latest === undefined) continue;
    sum.cpuRatio += latest.cpuPercent / 100;
    sum.rssBytes += latest.rssKb * 1_024;
  }
  return sum;
}

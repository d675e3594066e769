import { workerIdOf } from '../core/worker-key.js';
import type { JobStatus, TaskStatus, WorkerStatus } from '../supervisor/status.js';

/** A status as `m/state/<task>` shows it. */
export function stateToWire(status: TaskStatus): Record<string, unknown> {
  const { taskId, state, kind, sinceMs, job } = status;
  if (job === undefined || state !== 'ready') return statusToWire(status);
  // Each run of a job is another process: what is told of them all would be told for every one.
  return { task_id: taskId, state, ts: sinceMs, kind, ...failureToWire(status) };
}

/** A status with all that is known of it. */
export function statusToWire(status: TaskStatus): Record<string, unknown> {
  const { taskId, state, kind, generation, channels, sinceMs, workers } = status;
  return {
    task_id: taskId,
    state,
    ts: sinceMs,
    kind,
    generation,
    ...(workers.length > 1 ? { workers: countsOf(workers) } : {}),
    channels,
    ...standingToWire(status),
    ...(status.stderr === undefined ? {} : { stderr: status.stderr }),
  };
}

/** Why the last run of a job went wrong, where it did. */
function failureToWire({ cause, exitCode, signal, rssKb, error, stderr }: TaskStatus): Record<string, unknown> {
  if (cause === undefined) return {};
  return { cause, exit_code: exitCode, signal, rss_kb: rssKb, error, stderr };
}

/** One worker of a pool, for `m/stat`. */
export function workerToWire(status: TaskStatus, worker: WorkerStatus): Record<string, unknown> {
  const { instance, state, sinceMs, generation, channels, restarts } = worker;
  return {
    worker_id: workerIdOf(status.taskId, instance, status.workers.length),
    state,
    ts: sinceMs,
    generation,
    channels,
    restarts,
    ...standingToWire(worker),
  };
}

/** The runs of a job, for `m/stat`. */
export function jobToWire(job: JobStatus): Record<string, unknown> {
  const { runs, runsFailed, missedRuns, nextRunAtMs, lastRun } = job;
  return {
    runs,
    runs_failed: runsFailed,
    missed_runs: missedRuns,
    ...(nextRunAtMs === undefined ? {} : { next_run_ts: Math.round(nextRunAtMs) }),
    ...(lastRun && {
      last_run: {
        started_ts: lastRun.startedAtMs,
        duration_ms: lastRun.durationMs,
        exit_code: lastRun.exitCode,
        signal: lastRun.signal,
        cause: lastRun.cause,
        stdout: lastRun.stdout,
        stderr: lastRun.stderr,
      },
    }),
  };
}

function standingToWire(standing: TaskStatus | WorkerStatus): Record<string, unknown> {
  const { pid, cause, exitCode, signal, rssKb, nextStartAtMs, error } = standing;
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(cause === undefined ? {} : { cause }),
    ...(exitCode === undefined ? {} : { exit_code: exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(rssKb === undefined ? {} : { rss_kb: rssKb }),
    ...(nextStartAtMs === undefined ? {} : { next_start_ts: nextStartAtMs }),
    ...(error === undefined ? {} : { error }),
  };
}

function countsOf(workers: readonly WorkerStatus[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of workers) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

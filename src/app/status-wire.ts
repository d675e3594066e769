import type { TaskStatus } from '../supervisor/status.js';

/** A status as `m/state/<task>` shows it. */
export function statusToWire(status: TaskStatus): Record<string, unknown> {
  const { taskId, state, kind, generation, pid, cause, exitCode, signal, nextStartAtMs, error, channels, sinceMs } =
    status;
  return {
    task_id: taskId,
    state,
    ts: sinceMs,
    kind,
    generation,
    ...(pid === undefined ? {} : { pid }),
    channels,
    ...(cause === undefined ? {} : { cause }),
    ...(exitCode === undefined ? {} : { exit_code: exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(nextStartAtMs === undefined ? {} : { next_start_ts: nextStartAtMs }),
    ...(error === undefined ? {} : { error }),
  };
}

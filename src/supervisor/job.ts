import { LIMITS } from '../core/limits.js';
import type { RestartCause } from '../core/restart-causes.js';
import type { JobStatus } from './status.js';
import type { WorkerPast } from './worker-past.js';
import type { WorkerRun } from './worker-run.js';

/** The runs of a job with `exec_interval`: their grid, and what came of them.
 *
 *  ```
 *  grid     0 ─────── 1 ─────── 2 ─────── 3 ───→   distance `intervalMs`, from the first start
 *  runs     ▇▇▇       ▇▇▇▇▇▇▇▇▇▇▇▇▇       ▇▇       2 is missed: runs never overlap
 *  ``` */
export class Job {
  #originMs = 0;
  /** The place on the grid of the run that began last. */
  #place = 0;
  #runs = 0;
  #failed = 0;
  #missed = 0;
  #last: Omit<NonNullable<JobStatus['lastRun']>, 'stdout' | 'stderr'> | undefined;
  #lastOutput: WorkerRun | undefined;
  nextRunAtMs: number | undefined;
  /** The run under way has missed a place, and that was told. */
  isLate = false;

  /** A run begins. @param rerun It is the next one on the grid; otherwise a new grid begins with it. */
  begin(nowMs: number, intervalMs: number, rerun: boolean): void {
    this.#runs += 1;
    this.nextRunAtMs = undefined;
    this.isLate = false;
    if (!rerun) {
      this.#originMs = nowMs;
      this.#place = 0;
      return;
    }
    // A timer may be late by more than a place, where the machine stood still; it is never counted early.
    const due = this.#place + 1;
    this.#place = Math.max(due, Math.floor((nowMs - this.#originMs) / intervalMs));
    this.#missed += this.#place - due;
  }

  /** How long until the next place on the grid; those that passed since the last run began are missed. Milliseconds. */
  untilNext(nowMs: number, intervalMs: number): number {
    const passed = Math.max(this.#place, Math.floor((nowMs - this.#originMs) / intervalMs));
    this.#missed += passed - this.#place;
    this.#place = passed;
    return Math.max(0, this.#originMs + (passed + 1) * intervalMs - nowMs);
  }

  /** What the run came to. */
  ended({ endedRun: run, lastExit, ranMs }: WorkerPast, cause: RestartCause, failed: boolean): void {
    if (failed) this.#failed += 1;
    this.#lastOutput = run;
    this.#last = {
      ...(run?.startedAtMs !== undefined && { startedAtMs: run.startedAtMs }),
      durationMs: Math.round(ranMs),
      ...(lastExit && cause !== 'spawn_error' && { exitCode: lastExit.code, signal: lastExit.signal }),
      ...(failed && { cause }),
    };
  }

  status(): JobStatus {
    const last = this.#last;
    return {
      runs: this.#runs,
      runsFailed: this.#failed,
      missedRuns: this.#missed,
      ...(this.nextRunAtMs !== undefined && { nextRunAtMs: this.nextRunAtMs }),
      ...(last && {
        lastRun: {
          ...last,
          stdout: this.#lastOutput?.tail('stdout').slice(-LIMITS.runOutputLines) ?? [],
          stderr: this.#lastOutput?.tail('stderr').slice(-LIMITS.runOutputLines) ?? [],
        },
      }),
    };
  }
}

import type { RestartCause } from '../core/restart-causes.js';
import { type LastExit, noticeData } from './notices.js';
import type { WorkerStatus } from './status.js';
import type { WorkerRun } from './worker-run.js';
import type { Notice, WorkerEvent } from './worker-states.js';

/** What a worker has been through, as people are told it. */
export class WorkerPast {
  readonly #restarts: Partial<Record<RestartCause, number>> = {};
  lastExit: LastExit | undefined;
  /** Why it was started again, or given up, last. */
  cause: RestartCause | undefined;
  /** Why its last start failed. */
  #error: string | undefined;
  /** The start that ended last, and how long its process ran. Milliseconds. */
  endedRun: WorkerRun | undefined;
  ranMs = 0;

  /** Keeps what an event of this start says beyond the table's need. */
  note(event: WorkerEvent, run: WorkerRun | undefined): void {
    if (event.type === 'spawnFailed') this.#error = event.message;
    if (event.type === 'spawned') this.#error = undefined;
    if (event.type === 'exited' || event.type === 'gone') {
      this.lastExit = { ...event.exit, stderr: run?.tail('stderr') ?? [], rssKb: run?.usage?.rssKb };
    }
    if (event.type !== 'gone' && event.type !== 'spawnFailed') return;
    this.ranMs = run?.ranMs() ?? 0;
    this.endedRun = run;
  }

  count(notice: Notice): void {
    if (notice.type === 'exited') this.cause = 'exit';
    if (notice.type === 'failed' || notice.type === 'run_failed') this.cause = notice.cause;
    if (notice.type !== 'restarting') return;
    this.cause = notice.cause;
    this.#restarts[notice.cause] = (this.#restarts[notice.cause] ?? 0) + 1;
  }

  /** The `data` of an `m/event`. */
  told(notice: Notice, generation: number, run: WorkerRun | undefined, nowMs: number): Record<string, unknown> {
    const facts = { generation, pid: run?.identity?.pid, exit: this.lastExit, error: this.#error };
    return noticeData(notice, facts, nowMs);
  }

  /** Why nobody need wait for the worker any more, for people. Undefined: after this event it may still work.
   *  @param planned Why it was ended, where it was, to be started again. */
  whyGone(event: WorkerEvent, planned: RestartCause | undefined): string | undefined {
    if (event.type === 'silent') return 'silent for longer than its heartbeat allows';
    if (event.type === 'unkillable') return 'SIGKILL does not end it';
    if (event.type !== 'gone') return undefined;
    const { lastExit: exit } = this;
    const cause = planned ?? (exit?.oom ? 'oom' : undefined);
    const how = exit?.signal ? `signal ${exit.signal}` : `exit code ${exit?.code}`;
    return cause === undefined || cause === 'exit' || cause === 'signal' ? how : `${cause}, ${how}`;
  }

  status() {
    const exit = this.lastExit;
    return {
      ...(exit && { exitCode: exit.code, signal: exit.signal, stderr: exit.stderr }),
      ...(exit?.rssKb !== undefined && { rssKb: exit.rssKb }),
      restarts: { ...this.#restarts },
      ...(this.#error !== undefined && { error: this.#error }),
    } satisfies Partial<WorkerStatus>;
  }
}

import assert from 'node:assert/strict';
import { LIMITS } from '../../src/core/limits.js';
import type { RestartCause } from '../../src/core/restart-causes.js';
import type { TaskRecord } from '../../src/core/task-record.js';
import type { WorkerKey } from '../../src/core/worker-key.js';
import type { JobStatus } from '../../src/supervisor/status.js';
import type { FakeProcess } from '../fixtures/fake-spawner.js';

/** One more than the burst for rounding, and one for each worker of the pool: what is planned with a pause is counted
 *  before it is there. */
const RESTARTS_AT_ONCE = LIMITS.restartBurst + 1 + 3;

/** What a command wants once the process that is there is gone. */
type Wish = 'stop' | 'start' | 'restart' | 'remove';

/** What a schedule remembers about one worker, to judge each start and each word by. */
export interface Trail {
  readonly name: string;
  generation: number;
  wish: Wish | undefined;
  /** A command asked for a start, which has to come in the same step. */
  asked: boolean;
  /** Told by `restarting` and not used yet. Monotonic, ms. */
  dueMs: number | undefined;
  /** Starts without a reason, which a `restarting` of the same moment must explain. Monotonic, ms. */
  unexplained: { readonly nowMs: number; readonly last: End }[];
  restartsInARow: number;
  /** Of a job: where its grid began, and what was counted before. */
  grid: { originMs: number; runs: number; missed: number; failed: number } | undefined;
  startedAtMs: number;
  /** Or since when it is ready. */
  lastPutMs: number;
  process: FakeProcess | undefined;
  /** What befell this generation that may be told as the cause of a restart. */
  blows: Set<RestartCause>;
  samplesOver: number;
  last: End;
}

/** How a generation ended. */
interface End {
  readonly process: FakeProcess | undefined;
  readonly blows: ReadonlySet<RestartCause>;
}

/** The time of a start, as the node's clock and the timer that led to it have it. */
export interface StartTime {
  readonly nowMs: number;
  readonly timerDueMs: number | undefined;
}

/** Judges starts and causes without looking into the supervisor. Ports are guarded, so what is wrong is kept. */
export class WorkerTrails {
  readonly #trails = new Map<string, Trail>();
  readonly #wrong: (what: string) => void;
  /** Restarts at once that the shared budget leaves. */
  #tokens = RESTARTS_AT_ONCE;
  #tokensAtMs = 0;
  isClosing = false;

  constructor(wrong: (what: string) => void) {
    this.#wrong = wrong;
  }

  of(taskId: string, instance: number): Trail {
    const name = `${taskId}~${instance}`;
    let trail = this.#trails.get(name);
    if (trail === undefined) {
      trail = {
        name,
        generation: 0,
        wish: undefined,
        asked: false,
        dueMs: undefined,
        unexplained: [],
        restartsInARow: 0,
        grid: undefined,
        startedAtMs: 0,
        lastPutMs: 0,
        process: undefined,
        blows: new Set(),
        samplesOver: 0,
        last: { process: undefined, blows: new Set() },
      };
      this.#trails.set(name, trail);
    }
    return trail;
  }

  /** A command came to a worker. */
  commanded(trail: Trail, type: Wish, state: string): void {
    const isAlive = trail.process?.lives === true;
    if (!isAlive) {
      const isJobWaiting = trail.grid !== undefined && state === 'ready';
      if (type === 'restart' || (type === 'start' && !isJobWaiting)) {
        trail.asked = true;
        if (type === 'restart' || state !== 'backoff') trail.restartsInARow = 0;
      }
      if (!isJobWaiting || type !== 'start') trail.dueMs = undefined;
      if (type === 'stop' || type === 'remove') trail.grid = undefined;
    } else if (type === 'start') {
      if (trail.wish === 'stop') trail.wish = 'start';
    } else if (trail.wish !== 'remove') trail.wish = type;
  }

  /** Its process is gone, or could not be started. */
  ended(trail: Trail, record: TaskRecord, nowMs: number): void {
    const { wish, process, blows } = trail;
    const ranMs = process?.spawnedAtMs === undefined ? 0 : nowMs - process.spawnedAtMs;
    const { execTimeoutMs, staleAfterMs } = record;
    if (execTimeoutMs > 0 && ranMs >= execTimeoutMs) blows.add('exec_timeout');
    if (staleAfterMs > 0 && Math.min(ranMs, nowMs - trail.lastPutMs) >= staleAfterMs) blows.add('stale');
    if (record.ready === 'connect' && nowMs - trail.startedAtMs >= record.readyTimeoutMs) blows.add('ready_timeout');
    trail.last = { process, blows };
    trail.wish = undefined;
    if (wish === 'start' || wish === 'restart') {
      trail.asked = true;
      trail.restartsInARow = 0;
    } else if (wish !== undefined) trail.grid = undefined;
  }

  /** The worker is no more: its task has fewer now. */
  dropped(taskId: string, instance: number): void {
    this.#trails.delete(`${taskId}~${instance}`);
  }

  forgotten(taskId: string): void {
    for (const [name, trail] of this.#trails) {
      if (!name.startsWith(`${taskId}~`)) continue;
      if (trail.asked || trail.wish !== undefined) this.#wrong(`${name} was forgotten with something to do`);
      this.#trails.delete(name);
    }
  }

  /** Each start has a reason: a command, a restart that was told and is due, the next place on the grid. A restart at
   *  once is told after it. */
  started(key: WorkerKey, record: TaskRecord, time: StartTime, job: JobStatus | undefined): void {
    const trail = this.of(key.taskId, key.instance);
    if (this.isClosing) this.#wrong(`${trail.name} was started during the shutdown`);
    if (key.generation !== trail.generation + 1) this.#wrong(`${trail.name} skipped from ${trail.generation}`);
    if (trail.process?.lives) this.#wrong(`${trail.name} got a second process`);
    Object.assign(trail, { generation: key.generation, process: undefined, blows: new Set(), samplesOver: 0 });
    trail.startedAtMs = time.nowMs;
    const isCommanded = trail.asked;
    trail.asked = false;
    if (record.execIntervalMs > 0 && job !== undefined) {
      this.#onGrid(trail, isCommanded, record, time, job);
      return;
    }
    trail.grid = undefined;
    if (isCommanded) return;
    if (record.backoff.initialMs === 0) this.#spend(trail, time.nowMs);
    if (trail.dueMs === undefined) trail.unexplained.push({ nowMs: time.nowMs, last: trail.last });
    else if (trail.dueMs > time.nowMs) this.#wrong(`${trail.name} came before its time ${trail.dueMs}`);
    trail.dueMs = undefined;
  }

  /** A cause is told of what led to a restart or to its end. */
  told(type: string, trail: Trail, data: Record<string, unknown>, record: TaskRecord, nowMs: number, delayMs: number) {
    if (type === 'spawn_error') trail.last = { process: undefined, blows: new Set(['spawn_error']) };
    if (type !== 'restarting' && type !== 'failed' && type !== 'run_failed' && type !== 'exited') return;
    const { restart, successCodes, execIntervalMs } = record;
    const maxRestarts = record.maxRestarts ?? Number.POSITIVE_INFINITY;
    const isSuccess = successCodes.some((code) => code === data.exit_code);
    if (type === 'exited') {
      if (restart === 'always' || !isSuccess || execIntervalMs > 0) this.#wrong(`${trail.name} is said to be done`);
      return;
    }
    const { cause } = data;
    if (cause === 'command') {
      // Its start came before; that it was asked for has been judged there.
      if (type !== 'restarting') this.#wrong(`${trail.name} ${type} by command`);
      return;
    }
    const explained = type === 'restarting' && delayMs === 0 ? trail.unexplained.pop() : undefined;
    this.#judgeCause(trail, explained?.last ?? trail.last, cause, data);
    const isFinal = (restart === 'never' && execIntervalMs === 0) || trail.restartsInARow >= maxRestarts;
    if (isFinal !== (type === 'failed')) this.#wrong(`${trail.name} ${type} after ${trail.restartsInARow} in a row`);
    if ((type === 'run_failed') !== execIntervalMs > 0 && type !== 'failed') this.#wrong(`${trail.name} ${type}`);
    if (type === 'restarting' && restart === 'on-failure' && cause === 'exit' && isSuccess) {
      this.#wrong(`${trail.name} was restarted after a success`);
    }
    if (type === 'failed') trail.grid = undefined;
    else trail.restartsInARow += 1;
    if (type !== 'restarting') return;
    if (explained === undefined) trail.dueMs = nowMs + delayMs;
    else if (explained.nowMs !== nowMs) this.#wrong(`${trail.name} was restarted at ${explained.nowMs}, told later`);
  }

  /** After a step: whatever was asked for has come, and whatever came has its reason. */
  check(): void {
    for (const { name, asked, unexplained } of this.#trails.values()) {
      assert(!asked, `${name} was asked to start and did not`);
      assert.equal(unexplained.length, 0, `a start of ${name} without a reason`);
    }
  }

  #onGrid(trail: Trail, isCommanded: boolean, record: TaskRecord, time: StartTime, job: JobStatus): void {
    const { runs, missedRuns: missed, runsFailed: failed } = job;
    if (isCommanded || trail.grid === undefined) {
      if (!isCommanded) this.#wrong(`${trail.name} ran without a grid`);
      trail.grid = { originMs: time.nowMs, runs: runs - 1, missed, failed };
      return;
    }
    const { grid } = trail;
    const { execIntervalMs } = record;
    const dueMs = time.timerDueMs ?? Number.NaN;
    if ((dueMs - grid.originMs) % execIntervalMs !== 0) this.#wrong(`${trail.name} ran beside its grid, at ${dueMs}`);
    if (dueMs > time.nowMs) this.#wrong(`${trail.name} ran early`);
    const places = Math.floor((time.nowMs - grid.originMs) / execIntervalMs) + 1;
    const counted = runs - grid.runs + missed - grid.missed;
    if (counted !== places) this.#wrong(`${trail.name} counts ${counted} runs and misses in ${places} places`);
    if (failed === grid.failed) trail.restartsInARow = 0;
    grid.failed = failed;
  }

  #judgeCause(trail: Trail, { process, blows }: End, cause: unknown, data: Record<string, unknown>): void {
    const exit = process?.exit;
    const end = exit?.oom ? 'oom' : exit?.code === null ? 'signal' : 'exit';
    const isEnd = cause === 'exit' || cause === 'signal' || cause === 'oom';
    if (isEnd ? cause !== end : ![...blows].some((blow) => blow === cause)) {
      this.#wrong(`${trail.name}: ${String(cause)} is told, nothing such happened`);
    }
    if (isEnd && data.exit_code !== exit?.code) this.#wrong(`${trail.name}: told another exit code`);
  }

  #spend(trail: Trail, nowMs: number): void {
    const filled = ((nowMs - this.#tokensAtMs) * LIMITS.restartsPerSecond) / 1_000;
    this.#tokens = Math.min(RESTARTS_AT_ONCE, this.#tokens + filled) - 1;
    this.#tokensAtMs = nowMs;
    if (this.#tokens < 0) this.#wrong(`${trail.name} was restarted beyond the budget`);
  }
}

import { asSuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { ProcessListener, ProcessUsage, WriteResult } from '../core/ports.js';
import type { RestartCause } from '../core/restart-causes.js';
import type { TaskRecord } from '../core/task-record.js';
import { type WorkerKey, workerIdOf } from '../core/worker-key.js';
import { WORKER_TOKEN_PREFIX } from '../core/worker-token.js';
import { Answers } from './answers.js';
import { Job } from './job.js';
import type { RestartBudget } from './restart-budget.js';
import { sameText } from './same-text.js';
import { type SupervisorPorts, shownState, type WorkerStatus } from './status.js';
import { Timers } from './timers.js';
import { step } from './worker-machine.js';
import { WorkerPast } from './worker-past.js';
import { specOf, WorkerRun } from './worker-run.js';
import {
  type AnsweredCommand,
  NEW_WORKER,
  type Next,
  type Notice,
  type TimerName,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from './worker-states.js';

const TOKEN_BYTES = 24;
/** Timers that end a worker because nothing was heard of it. */
const OF_SILENCE: ReadonlySet<TimerName> = new Set(['stale', 'channelGrace', 'readyTimeout']);

/** What a worker has of its task. */
export interface WorkerTask {
  /** What the next start and the next decision go by. */
  readonly record: TaskRecord;
  readonly restarts: RestartBudget;
  /** After each change of the worker's status. */
  changed(): void;
  /** Once: the worker is removed and its process gone. */
  forgotten(worker: ProcessWorker): void;
}

/** A worker that is a child process: feeds the table one event at a time and does what it says. */
export class ProcessWorker {
  readonly instance: number;
  readonly #task: WorkerTask;
  readonly #ports: SupervisorPorts;
  readonly #answers = new Answers();
  readonly #timers: Timers<TimerName>;
  readonly #inbox: WorkerEvent[] = [];
  readonly #past = new WorkerPast();
  #busy = false;
  #over = false;
  #worker: WorkerState = NEW_WORKER;
  #run: WorkerRun | undefined;
  #sinceMs: number;
  #nextStartAtMs: number | undefined;
  #job: Job | undefined;
  /** Monotonic, ms. */
  #lastPutMs = 0;

  constructor(instance: number, task: WorkerTask, ports: SupervisorPorts) {
    this.instance = instance;
    this.#task = task;
    this.#ports = ports;
    this.#timers = new Timers(ports.clock, OF_SILENCE);
    this.#sinceMs = ports.clock.wallNow();
  }

  /** Whether no process is there or planned. */
  get resting(): boolean {
    const { name } = this.#worker;
    return this.#run === undefined && name !== 'backoff' && name !== 'waiting';
  }

  /** What follows when the process that is being ended is gone. */
  get next(): Next['do'] | undefined {
    return 'next' in this.#worker ? this.#worker.next.do : undefined;
  }

  /** It has a process that is meant to work. */
  get works(): boolean {
    return this.#worker.name === 'ready' || this.#worker.name === 'starting';
  }

  /** The start that lives now. */
  get run(): WorkerRun | undefined {
    return this.#run;
  }

  start(): void {
    this.#dispatch({ type: 'start' });
  }

  command(type: AnsweredCommand): Promise<void> {
    const answer = this.#answers.wait(type);
    if (this.#over) this.#answers.settle(type, 'closing', this.#id);
    else this.#dispatch({ type });
    return answer;
  }

  /** @returns `gone`: there is no process; `unverified`: none that is verifiably ours. */
  signal(signal: string) {
    const identity = this.#run?.identity;
    return identity === undefined ? 'gone' : this.#ports.spawner.signal(identity, signal);
  }

  /** Writes to the stdin of the process, while it is meant to work. */
  write(line: Uint8Array): WriteResult {
    const identity = this.#run?.identity;
    if (identity === undefined || !this.works) return 'gone';
    return this.#ports.spawner.write(identity, line);
  }

  /** The generation whose token this is, while its process lives. */
  generationOf(tokenHash: string): number | undefined {
    const run = this.#run;
    if (run === undefined || this.#over || this.#worker.name === 'unkillable') return undefined;
    return sameText(run.tokenHash, tokenHash) ? run.generation : undefined;
  }

  channelUp(channelId: string, generation: number): void {
    const run = this.#run;
    if (run === undefined || generation !== run.generation || run.channels.has(channelId)) return;
    run.channels.add(channelId);
    if (run.channels.size === 1) this.#dispatch({ type: 'channelUp', generation });
    else this.#task.changed();
  }

  /** False: it is none of this worker's. */
  channelDown(channelId: string, how: 'closed' | 'disconnect' | 'silent'): boolean {
    const run = this.#run;
    if (run === undefined || !run.channels.delete(channelId)) return false;
    const { generation } = run;
    if (run.channels.size > 0) this.#task.changed();
    else if (how === 'silent') this.#dispatch({ type: 'silent', generation });
    else this.#dispatch({ type: 'channelsDown', generation, how });
    return true;
  }

  putSeen(nowMs: number): void {
    this.#lastPutMs = nowMs;
  }

  /** What its tree takes, as of a sample. */
  usageSeen(usage: ProcessUsage): void {
    const run = this.#run;
    if (run === undefined) return;
    run.usage = usage;
    const { memoryLimitKb } = this.#task.record;
    const isOver = memoryLimitKb > 0 && usage.rssKb > memoryLimitKb;
    run.samplesOverMemory = isOver ? run.samplesOverMemory + 1 : 0;
    if (run.samplesOverMemory !== LIMITS.memorySamples) return;
    this.#dispatch({ type: 'overMemory', generation: run.generation });
  }

  status(): WorkerStatus {
    const run = this.#run;
    const next = 'next' in this.#worker ? this.#worker.next : undefined;
    const cause = next?.do === 'restart' ? next.cause : this.#past.cause;
    return {
      instance: this.instance,
      state: shownState(this.#worker),
      generation: this.#worker.generation,
      ...(run?.identity && { pid: run.identity.pid }),
      ...(cause && { cause }),
      ...this.#past.status(),
      ...(this.#nextStartAtMs !== undefined && { nextStartAtMs: this.#nextStartAtMs }),
      channels: run?.channels.size ?? 0,
      sinceMs: this.#sinceMs,
      ...(run?.startedAtMs !== undefined && { startedAtMs: run.startedAtMs }),
      ...(this.#job && { job: this.#job.status() }),
    };
  }

  /** Nothing happens to the worker any more: no timer stays, and nobody waits in vain. */
  dispose(): void {
    this.#over = true;
    this.#timers.clearAll();
    for (const command of ['stop', 'restart', 'remove'] as const) this.#answers.settle(command, 'closing', this.#id);
  }

  get #id(): string {
    const { taskId, instances } = this.#task.record;
    return workerIdOf(taskId, this.instance, instances);
  }

  /** Effects can lead back here, such as a closed channel; what they tell waits for its turn. */
  #dispatch(event: WorkerEvent): void {
    this.#inbox.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) this.#take(next);
    } finally {
      this.#busy = false;
    }
  }

  #take(event: WorkerEvent): void {
    if (this.#over) return;
    const isLate = 'generation' in event && event.generation !== this.#run?.generation;
    this.#note(event);
    const { name, next } = { next: undefined, ...this.#worker };
    const before = shownState(this.#worker);
    const { record, restarts } = this.#task;
    const chance = this.#ports.random.fraction();
    const { worker, effects } = step(this.#worker, event, record, chance, this.#past.ranMs, restarts.waitMs());
    this.#worker = worker;
    if (shownState(this.#worker) !== before) this.#sinceMs = this.#ports.clock.wallNow();
    if (worker.name === 'stopped') this.#past.cause = undefined;
    // A command took the place of a restart by policy, which gives back what it took.
    if (name === 'backoff' && worker.name !== 'backoff' && event.type !== 'backoff') restarts.refund();
    for (const effect of effects) this.#guard(() => this.#perform(effect));
    if (worker.name !== 'backoff') this.#nextStartAtMs = undefined;
    if (worker.name !== 'waiting' && this.#job) this.#job.nextRunAtMs = undefined;
    const why = isLate ? undefined : this.#past.whyGone(event, next?.do === 'restart' ? next.cause : undefined);
    if (why !== undefined) this.#tellGone(event.type === 'gone' ? this.#past.endedRun : this.#run, why);
    // First the world, then the state that people see, then the answers: who has an answer finds the state of it.
    this.#task.changed();
    for (const effect of effects) this.#guard(() => this.#announce(effect));
  }

  /** Keeps what an event says beyond the table's need. */
  #note(event: WorkerEvent): void {
    const run = this.#run;
    if ('generation' in event && event.generation !== run?.generation) return;
    this.#past.note(event, run);
    if (event.type === 'gone' || event.type === 'spawnFailed') this.#run = undefined;
  }

  #perform(effect: WorkerEffect): void {
    switch (effect.do) {
      case 'spawn':
        this.#spawn(this.#worker.generation);
        break;
      case 'signal':
        this.#signal(effect.signal);
        break;
      case 'setTimer':
        this.#setTimer(effect.name, effect.ms);
        break;
      case 'clearTimer':
        this.#timers.clear(effect.name);
        break;
      case 'clearTimers':
        this.#timers.clearAll();
        break;
      case 'awaitNextRun':
        this.#awaitNextRun(effect.cause, effect.failed);
        break;
      case 'missRun':
        this.#setNextRun();
        break;
      case 'closeChannels':
        if (this.#run?.generation === effect.generation) this.#run.channels.clear();
        this.#ports.report.closeChannels(this.#key(effect.generation));
        break;
      case 'tell':
        this.#count(effect.notice);
        break;
    }
  }

  #announce(effect: WorkerEffect): void {
    if (effect.do === 'tell') this.#tell(effect.notice);
    else if (effect.do === 'missRun') this.#tellLate();
    else if (effect.do === 'answer') this.#answers.settle(effect.command, effect.outcome, this.#id);
    else if (effect.do === 'forget') {
      this.dispose();
      // A task of the same name may follow, and these lines are none of its own.
      this.#past.endedRun?.mute();
      this.#task.forgotten(this);
    }
  }

  #key(generation: number): WorkerKey {
    return { taskId: this.#task.record.taskId, instance: this.instance, generation };
  }

  #spawn(generation: number): void {
    const { random, journal, spawner, clock } = this.#ports;
    const { record } = this.#task;
    const token = `${WORKER_TOKEN_PREFIX}${random.secret(TOKEN_BYTES)}`;
    const run = new WorkerRun(record, this.#key(generation), random.hash(token), this.#ports);
    this.#run = run;
    this.#job = record.execIntervalMs > 0 ? (this.#job ?? new Job()) : undefined;
    const rerun = this.#worker.name === 'starting' && this.#worker.rerun;
    this.#job?.begin(clock.now(), record.execIntervalMs, rerun);
    this.#setNextRun();
    let isInJournal = false;
    try {
      const spec = specOf(record, this.#ports.environment(record, run.key, token));
      journal?.spawning(run.child());
      isInJournal = true;
      spawner.spawn(spec, this.#listener(run));
    } catch (thrown) {
      if (isInJournal) this.#guard(() => journal?.gone(run.child()));
      this.#dispatch({ type: 'spawnFailed', generation, message: asSuperNodeError(thrown).message });
    }
  }

  #listener(run: WorkerRun): ProcessListener {
    const { generation } = run;
    const { journal } = this.#ports;
    return {
      spawned: (identity) => {
        run.started(identity);
        this.#guard(() => journal?.spawned(run.child()));
        this.#dispatch({ type: 'spawned', generation });
      },
      failed: (error) => {
        this.#guard(() => journal?.gone(run.child()));
        this.#dispatch({ type: 'spawnFailed', generation, message: error.message });
      },
      exited: (exit) => this.#dispatch({ type: 'exited', generation, exit }),
      gone: (exit) => {
        this.#guard(() => journal?.gone(run.child()));
        this.#dispatch({ type: 'gone', generation, exit });
      },
      output: (stream, chunk) => this.#guard(() => run.output(stream, chunk)),
      outputEnded: () => this.#guard(() => run.flush()),
    };
  }

  #signal(signal: string): void {
    const identity = this.#run?.identity;
    if (identity === undefined) return;
    const result = this.#ports.spawner.signal(identity, signal);
    if (result === 'unverified') {
      const { pid } = identity;
      this.#ports.log.warn({ worker: this.#id, pid, signal }, 'not signalled: the process is not verifiably ours');
    }
  }

  #setTimer(name: TimerName, ms: number): void {
    const { clock } = this.#ports;
    const { generation } = this.#worker;
    if (name === 'backoff') this.#nextStartAtMs = clock.wallNow() + ms;
    if (name === 'stale') {
      // The idle time counts from ready when nothing was put since: `ms` is what is left of it.
      this.#lastPutMs = Math.max(this.#lastPutMs, clock.now() + ms - this.#task.record.staleAfterMs);
    }
    this.#timers.set(name, ms, () => {
      if (name === 'stale') this.#dispatch({ type: name, generation, idleMs: clock.now() - this.#lastPutMs });
      else this.#dispatch({ type: name, generation });
    });
  }

  #awaitNextRun(cause: RestartCause, failed: boolean): void {
    const job = this.#job;
    if (job === undefined) return;
    job.ended(this.#past, cause, failed);
    if (!failed) this.#past.cause = undefined;
    job.nextRunAtMs = this.#ports.clock.wallNow() + this.#setNextRun();
  }

  /** @returns How long until the next place on the grid. Milliseconds. */
  #setNextRun(): number {
    const ms = this.#job?.untilNext(this.#ports.clock.now(), this.#task.record.execIntervalMs) ?? 0;
    if (this.#job) this.#setTimer('nextRun', ms);
    return ms;
  }

  #count(notice: Notice): void {
    this.#past.count(notice);
    if (notice.type === 'restarting' && notice.cause !== 'command') this.#task.restarts.spend();
  }

  #tell(notice: Notice): void {
    const { taskId, instances } = this.#task.record;
    const told = this.#past.told(notice, this.#worker.generation, this.#run, this.#ports.clock.wallNow());
    const data = instances > 1 ? { worker_id: this.#id, ...told } : told;
    this.#ports.report.event(notice.type, taskId, data);
  }

  /** Once in a run: that it takes so long may be all that is known of a job that hangs. */
  #tellLate(): void {
    if (!this.#job || this.#job.isLate) return;
    this.#job.isLate = true;
    this.#tell({ type: 'run_late' });
  }

  #tellGone(run: WorkerRun | undefined, why: string): void {
    if (run) this.#guard(() => this.#ports.report.workerGone(run.key, why));
  }

  /** A port that throws must not stop the table half way. */
  #guard<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#ports.log.error({ worker: this.#id, err: error }, 'a port of the supervisor failed');
      return undefined;
    }
  }
}

import { asSuperNodeError, SuperNodeError } from '../core/errors.js';
import type { ChildRecord, ProcessListener } from '../core/ports.js';
import { argvOf, type TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import { WORKER_TOKEN_PREFIX } from '../core/worker-token.js';
import { Answers } from './answers.js';
import { type LastExit, noticeData } from './notices.js';
import { sameText } from './same-text.js';
import type { SupervisorPorts, TaskStatus } from './status.js';
import { Timers } from './timers.js';
import { step } from './worker-machine.js';
import { WorkerRun } from './worker-run.js';
import {
  type AnsweredCommand,
  NEW_WORKER,
  type Notice,
  type RestartCause,
  type TimerName,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from './worker-states.js';

const TOKEN_BYTES = 24;

/** A task whose worker is a child process: feeds the table one event at a time and does what it says. */
export class ProcessTask {
  readonly kind = 'process';
  readonly taskId: TaskId;
  /** What the next start and the next decision go by. */
  record: TaskRecord;
  /** A start that came while the task was being removed. */
  successor: TaskRecord | undefined;

  readonly #ports: SupervisorPorts;
  readonly #forgotten: (task: ProcessTask) => void;
  readonly #answers = new Answers();
  readonly #timers: Timers<TimerName>;
  readonly #inbox: WorkerEvent[] = [];
  readonly #restarts: Partial<Record<RestartCause, number>> = {};
  #busy = false;
  #over = false;
  #worker: WorkerState = NEW_WORKER;
  #run: WorkerRun | undefined;
  #lastExit: LastExit | undefined;
  #cause: RestartCause | undefined;
  /** How long the last process ran. */
  #ranMs = 0;
  #error: string | undefined;
  #sinceMs: number;
  #nextStartAtMs: number | undefined;
  /** Monotonic, ms. */
  #lastPutMs = 0;
  #published = '';

  /** @param forgotten Called once when the task is removed and its process gone. */
  constructor(record: TaskRecord, ports: SupervisorPorts, forgotten: (task: ProcessTask) => void) {
    this.taskId = record.taskId;
    this.record = record;
    this.#ports = ports;
    this.#forgotten = forgotten;
    this.#timers = new Timers(ports.clock);
    this.#sinceMs = ports.clock.wallNow();
  }

  /** Whether no process is there or planned, or only until a stop is through: the record may be exchanged. */
  get replaceable(): boolean {
    return this.resting || ('next' in this.#worker && this.#worker.next.do === 'stop');
  }

  get resting(): boolean {
    return this.#run === undefined && this.#worker.name !== 'backoff';
  }

  get removing(): boolean {
    return 'next' in this.#worker && this.#worker.next.do === 'remove';
  }

  start(): void {
    this.#dispatch({ type: 'start' });
  }

  command(type: AnsweredCommand): Promise<void> {
    const answer = this.#answers.wait(type);
    this.#dispatch({ type });
    return answer;
  }

  /** @throws SuperNodeError SN_ERR_NOT_RUNNING */
  signal(signal: string): void {
    const identity = this.#run?.identity;
    const result = identity && this.#ports.spawner.signal(identity, signal);
    if (result === 'sent') return;
    const why = result === 'unverified' ? 'one that is verifiably ours' : `state ${this.#worker.name}`;
    throw new SuperNodeError('SN_ERR_NOT_RUNNING', `task ${this.taskId}: expected a running process, got ${why}`);
  }

  /** The generation whose token this is, while its process lives. */
  generationOf(tokenHash: string): number | undefined {
    const run = this.#run;
    if (run === undefined || this.#worker.name === 'unkillable') return undefined;
    return sameText(run.tokenHash, tokenHash) ? run.generation : undefined;
  }

  channelUp(channelId: string, generation: number | undefined): void {
    const run = this.#run;
    if (run === undefined || generation !== run.generation || run.channels.has(channelId)) return;
    run.channels.add(channelId);
    if (run.channels.size === 1) this.#dispatch({ type: 'channelUp', generation });
    else this.#publish();
  }

  channelDown(channelId: string, how: 'closed' | 'disconnect' | 'silent'): void {
    const run = this.#run;
    if (run === undefined || !run.channels.delete(channelId)) return;
    const { generation } = run;
    if (run.channels.size > 0) this.#publish();
    else if (how === 'silent') this.#dispatch({ type: 'silent', generation });
    else this.#dispatch({ type: 'channelsDown', generation, how });
  }

  putSeen(): void {
    if (this.record.staleAfterMs > 0) this.#lastPutMs = this.#ports.clock.now();
  }

  status(): TaskStatus {
    const run = this.#run;
    const exit = this.#lastExit;
    const cause = 'next' in this.#worker && this.#worker.next.do === 'restart' ? this.#worker.next.cause : this.#cause;
    return {
      taskId: this.taskId,
      state: this.#worker.name,
      kind: this.kind,
      generation: this.#worker.generation,
      ...(run?.identity && { pid: run.identity.pid }),
      ...(cause && { cause }),
      ...(exit && { exitCode: exit.code, signal: exit.signal, stderr: exit.stderr }),
      ...(this.#nextStartAtMs !== undefined && { nextStartAtMs: this.#nextStartAtMs }),
      restarts: { ...this.#restarts },
      channels: run?.channels.size ?? 0,
      sinceMs: this.#sinceMs,
      ...(run?.startedAtMs !== undefined && { startedAtMs: run.startedAtMs }),
      ...(this.#error !== undefined && { error: this.#error }),
      accepting: this.#worker.name !== 'stopped',
    };
  }

  /** Nothing happens to the task any more: no timer stays, and nobody waits in vain. */
  dispose(): void {
    this.#over = true;
    this.#timers.clearAll();
    for (const command of ['stop', 'restart', 'remove'] as const) this.#answers.settle(command, 'closing', this.taskId);
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
    this.#note(event);
    const before = this.#worker.name;
    const { worker, effects } = step(this.#worker, event, this.record, this.#ports.random.fraction(), this.#ranMs);
    this.#worker = worker;
    if (worker.name !== before) this.#sinceMs = this.#ports.clock.wallNow();
    if (worker.name === 'stopped') this.#cause = undefined;
    if (worker.name !== 'backoff') this.#nextStartAtMs = undefined;
    for (const effect of effects) this.#guard(() => this.#perform(effect));
    // First the world, then the state that people see, then the answers: who has an answer finds the state of it.
    this.#publish();
    for (const effect of effects) this.#guard(() => this.#announce(effect));
  }

  /** Keeps what an event says beyond the table's need. */
  #note(event: WorkerEvent): void {
    if ('generation' in event && event.generation !== this.#run?.generation) return;
    if (event.type === 'spawnFailed') this.#error = event.message;
    if (event.type === 'spawned') this.#error = undefined;
    if (event.type === 'exited' || event.type === 'gone') {
      this.#lastExit = { ...event.exit, stderr: this.#run?.stderrTail() ?? [] };
    }
    if (event.type === 'gone' || event.type === 'spawnFailed') {
      this.#ranMs = this.#run?.ranMs() ?? 0;
      this.#run = undefined;
    }
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
      case 'closeChannels':
        if (this.#run?.generation === effect.generation) this.#run.channels.clear();
        this.#ports.report.closeChannels(this.taskId, effect.generation);
        break;
      case 'tell':
        this.#count(effect.notice);
        break;
      case 'answer':
      case 'forget':
        break;
    }
  }

  #announce(effect: WorkerEffect): void {
    if (effect.do === 'tell') this.#tell(effect.notice);
    else if (effect.do === 'answer') this.#answers.settle(effect.command, effect.outcome, this.taskId);
    else if (effect.do === 'forget') {
      this.dispose();
      this.#forgotten(this);
    }
  }

  #spawn(generation: number): void {
    const { random, journal, spawner } = this.#ports;
    const { taskId, record } = this;
    const token = `${WORKER_TOKEN_PREFIX}${random.secret(TOKEN_BYTES)}`;
    const run = new WorkerRun(record, generation, random.hash(token), this.#ports);
    this.#run = run;
    const argv = argvOf(record);
    try {
      if (argv === undefined) throw new Error(`task ${taskId}: expected a command, got none`);
      const env = this.#ports.environment(record, generation, token);
      journal?.spawning(this.#child(run));
      const { cwd, user, stdout, stderr } = record;
      spawner.spawn({ argv, env, cwd, user, stdout: pipeOr(stdout), stderr: pipeOr(stderr) }, this.#listener(run));
    } catch (thrown) {
      this.#dispatch({ type: 'spawnFailed', generation, message: asSuperNodeError(thrown).message });
    }
  }

  #listener(run: WorkerRun): ProcessListener {
    const { generation } = run;
    const { journal } = this.#ports;
    return {
      spawned: (identity) => {
        run.started(identity);
        this.#guard(() => journal?.spawned(this.#child(run)));
        this.#dispatch({ type: 'spawned', generation });
      },
      failed: (error) => {
        this.#guard(() => journal?.gone(this.#child(run)));
        this.#dispatch({ type: 'spawnFailed', generation, message: error.message });
      },
      exited: (exit) => this.#dispatch({ type: 'exited', generation, exit }),
      gone: (exit) => {
        this.#guard(() => run.flush());
        this.#guard(() => journal?.gone(this.#child(run)));
        this.#dispatch({ type: 'gone', generation, exit });
      },
      output: (stream, chunk) => this.#guard(() => run.output(stream, chunk)),
    };
  }

  #child({ generation, tokenHash, identity }: WorkerRun): ChildRecord {
    return { taskId: this.taskId, generation, tokenHash, identity };
  }

  #signal(signal: string): void {
    const identity = this.#run?.identity;
    if (identity === undefined) return;
    const result = this.#ports.spawner.signal(identity, signal);
    if (result === 'unverified') {
      const { pid } = identity;
      this.#ports.log.warn({ task_id: this.taskId, pid, signal }, 'not signalled: the process is not verifiably ours');
    }
  }

  #setTimer(name: TimerName, ms: number): void {
    const { clock } = this.#ports;
    const { generation } = this.#worker;
    if (name === 'backoff') this.#nextStartAtMs = clock.wallNow() + ms;
    if (name === 'stale') {
      // The idle time counts from ready when nothing was put since: `ms` is what is left of it.
      this.#lastPutMs = Math.max(this.#lastPutMs, clock.now() + ms - this.record.staleAfterMs);
    }
    this.#timers.set(name, ms, () => {
      if (name === 'stale') this.#dispatch({ type: name, generation, idleMs: clock.now() - this.#lastPutMs });
      else this.#dispatch({ type: name, generation });
    });
  }

  #count(notice: Notice): void {
    if (notice.type === 'failed') this.#cause = notice.cause;
    if (notice.type !== 'restarting') return;
    this.#cause = notice.cause;
    this.#restarts[notice.cause] = (this.#restarts[notice.cause] ?? 0) + 1;
  }

  #tell(notice: Notice): void {
    const { generation } = this.#worker;
    const facts = { generation, pid: this.#run?.identity?.pid, exit: this.#lastExit, error: this.#error };
    this.#ports.report.event(notice.type, this.taskId, noticeData(notice, facts, this.#ports.clock.wallNow()));
  }

  #publish(): void {
    const status = this.status();
    const text = JSON.stringify(status);
    if (text === this.#published) return;
    this.#published = text;
    this.#guard(() => this.#ports.report.stateChanged(status));
  }

  /** A port that throws must not stop the table half way. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#ports.log.error({ task_id: this.taskId, err: error }, 'a port of the supervisor failed');
    }
  }
}

function pipeOr(where: 'log' | 'ignore'): 'pipe' | 'ignore' {
  return where === 'ignore' ? 'ignore' : 'pipe';
}

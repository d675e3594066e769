import assert from 'node:assert/strict';
import { SuperNodeError } from '../../src/core/errors.js';
import { LIMITS } from '../../src/core/limits.js';
import type { ProcessUsage } from '../../src/core/ports.js';
import type { TaskRecord } from '../../src/core/task-record.js';
import type { TaskWire } from '../../src/core/task-schema.js';
import { type TaskId, taskIdOf } from '../../src/core/topics.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import { type FakeBehaviour, type FakeProcess, FakeSpawner } from '../fixtures/fake-spawner.js';
import { SeededRandom } from '../fixtures/seeded-random.js';
import { MemoryJournal, portsFor, quietLog, recordOf } from '../fixtures/supervisor-world.js';
import { UnreliableClock } from '../fixtures/unreliable-clock.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';
import { JudgedOutput } from './judged-output.js';
import { JudgedReport } from './judged-report.js';
import { WatchedChannels } from './watched-channels.js';
import { type Trail, WorkerTrails } from './worker-trails.js';

/** A pool of stubborn crashers, a program whose lines are data, a worker with every limit, a job. */
const TASKS = [taskIdOf('pool'), taskIdOf('lines'), taskIdOf('limits'), taskIdOf('job')] as const;
const [POOL, LINES, LIMITED, JOB] = TASKS;
const MEMORY_LIMIT_KB = 1_000;
const HOUR_MS = 3_600_000;
/** As long as one worker serves, so does the pool. */
const BEST_FIRST = [
  ...(['ready', 'starting', 'stopping', 'backoff', 'unkillable', 'failed', 'exited', 'stopped', 'pending'] as const),
];
/** `ready`: stable, stale, exec_timeout, and one for the connection. */
const TIMERS_MAX: Readonly<Record<string, number>> = { starting: 2, ready: 4, stopping: 1, backoff: 1 };
const WITH_PROCESS = new Set(['starting', 'stopping', 'unkillable']);

const ACTIONS = [
  ...(['start', 'start', 'start', 'stop', 'restart', 'remove'] as const),
  ...(['up', 'up', 'up', 'up', 'down', 'down', 'hang'] as const),
  ...(['crash', 'crash', 'unstick', 'write', 'write', 'write', 'drain', 'put', 'sample', 'sample'] as const),
  ...(['wait', 'wait', 'wait', 'wait', 'wait', 'stall', 'jump', 'rare'] as const),
] as const;

/** One seed's worth of commands, crashes, silences, floods and bad clocks, judged after each step. */
export class Schedule {
  readonly steps: string[] = [];
  readonly #clock = new VirtualClock();
  readonly #random: SeededRandom;
  readonly #nodeClock: UnreliableClock;
  readonly #spawner = new FakeSpawner(this.#clock);
  readonly #journal = new MemoryJournal();
  readonly #errors: unknown[] = [];
  readonly #trails = new WorkerTrails((what) => this.#errors.push(what));
  readonly #output: JudgedOutput;
  readonly #report: JudgedReport;
  readonly #watch: WatchedChannels | undefined;
  readonly #supervisor: Supervisor;
  readonly #records = new Map<string, TaskRecord>();
  /** By the hash of the token, as the journal has it. */
  readonly #owners = new Map<string, Trail>();
  readonly #channels = new Map<string, FakeProcess>();
  readonly #successors = new Map<string, TaskRecord>();
  readonly #unkillable = new Set<string>();
  readonly #policy: Partial<TaskWire>;
  /** Commands given and answered. */
  #given = 0;
  #answered = 0;
  #channelCount = 0;
  #isDown = false;

  constructor(seed: number) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#policy = {
      restart: random.pick(['always', 'always', 'on-failure', 'never'] as const),
      ...(random.chance(0.3) && { max_restarts: random.between(0, 3) }),
      success_codes: [0, 7],
    };
    const isWatched = random.chance(0.2);
    this.#nodeClock = new UnreliableClock(this.#clock, random, {
      late: random.pick([0, 0, 0.2]),
      lateMs: random.pick([1, 400]),
      ghosts: random.pick([0, 0.3]),
    });
    this.#output = new JudgedOutput(random, this.#errors);
    this.#report = new JudgedReport(
      this.#output,
      {
        told: (type, taskId, instance, data) => this.#told(type, taskId, instance, data),
        removed: (taskId) => this.#removed(taskId),
        closed: ({ taskId, instance, generation }) => this.#closed(taskId, instance, generation),
      },
      (what) => this.#errors.push(what),
    );
    if (isWatched) {
      this.#watch = new WatchedChannels(this.#clock, this.#errors, ({ id }) => this.#channelDown(id, 'silent'));
      this.#watch.start();
    }
    this.#spawner.behaviour = () => this.#behaviour();
    this.#spawner.spawned = (process) => {
      this.#trailOf(process).process = process;
      if (this.#random.chance(0.5)) this.#clock.after(this.#random.between(0, 3_200), () => this.#connect(process));
    };
    this.#journal.spawning = (record) => {
      if (this.#random.chance(0.02)) throw new Error('ENOSPC: no space left on device');
      this.#journal.living.set(record.tokenHash, record);
    };
    this.#journal.gone = ({ tokenHash }) => {
      if (this.#journal.living.delete(tokenHash)) this.#ended(tokenHash);
    };
    this.#supervisor = this.#createSupervisor();
  }

  async run(steps: number): Promise<void> {
    for (const taskId of TASKS) if (this.#random.chance(0.7)) this.#start(taskId);
    for (let at = 0; at < steps; at += 1) {
      this.#act();
      await this.#settled();
      this.#check();
    }
    await this.#removeAll();
  }

  #createSupervisor(): Supervisor {
    const random = this.#random;
    const ports = portsFor(this.#nodeClock, random, this.#spawner, this.#report, {
      journal: this.#journal,
      log: quietLog(this.#errors),
      environment: (record, key, token) => {
        const { taskId, instance, generation } = key;
        const status = this.#supervisor.status(taskId);
        const job = status.workers.find((worker) => worker.instance === instance)?.job;
        const time = { nowMs: this.#clock.now(), timerDueMs: this.#nodeClock.dueMs };
        this.#trails.started(key, record, time, job);
        if (random.chance(0.02)) throw new Error('env: expected text, got a hole');
        this.#owners.set(random.hash(token), this.#trails.of(taskId, instance));
        const own = { SN_TASK_ID: taskId, SN_INSTANCE: String(instance), SN_TOKEN: token };
        return { ...own, SN_GENERATION: String(generation) };
      },
    });
    return new Supervisor(ports);
  }

  #record(taskId: TaskId): TaskRecord {
    const instances = taskId === POOL ? this.#random.between(1, 3) : 1;
    const name = `${taskId}${instances}`;
    let record = this.#records.get(name);
    if (record === undefined) {
      record = recordOf({ task_id: taskId, instances, ...this.#policy, ...this.#fieldsOf(taskId) });
      this.#records.set(name, record);
    }
    return record;
  }

  #fieldsOf(taskId: TaskId): Partial<TaskWire> {
    const backoff = { initial_ms: taskId === POOL ? 0 : 500, max_ms: 4_000, reset_ms: 1e9 };
    const common = { backoff, ready_timeout_ms: 3_000, second_sig_duration: 2_000, heartbeat_interval: 2_000 };
    if (taskId === POOL) return { ...common, second_sig_duration: 0 };
    if (taskId === LINES) return { ...common, ready: 'spawn', stdout: 'data' };
    if (taskId === JOB) return { ...common, exec_interval: 5_000, exec_timeout_ms: 7_000 };
    return { ...common, exec_timeout_ms: 20_000, stale_after_ms: 4_000, memory_limit_kb: MEMORY_LIMIT_KB };
  }

  #behaviour(): FakeBehaviour {
    const random = this.#random;
    if (random.chance(0.02)) throw new Error('spawn E2BIG');
    const exit = random.pick([
      { code: random.between(0, 7), signal: null },
      { code: random.between(0, 7), signal: null },
      { code: null, signal: 'SIGSEGV' },
      { code: null, signal: 'SIGKILL', oom: true },
    ]);
    return {
      spawnMs: random.pick([0, 0, 0, 50, 2_500]),
      ...(random.chance(0.15) && { fails: 'spawn ENOENT' }),
      ...(random.chance(0.4) && { runsMs: random.between(0, 6_000), exit }),
      endsOn: random.pick(['signal', 'signal', 'SIGKILL', 'nothing']),
      diesMs: random.pick([0, 10, 1_000]),
      restMs: random.pick([0, 0, 30, 5_000]),
      ...(random.chance(0.1) && { pipesHeldMs: 400 }),
      ...(random.chance(0.1) && { echoMs: random.pick([0, 50, 3_000]) }),
    };
  }

  #act(): void {
    const random = this.#random;
    const taskId = random.pick(TASKS);
    const action = random.pick(ACTIONS);
    this.steps.push(`${this.#clock.now()} ${action} ${taskId}`);
    if (action === 'start') this.#start(taskId);
    else if (action === 'stop' || action === 'restart' || action === 'remove') this.#command(action, taskId);
    else if (action === 'up') this.#channelUp(taskId);
    else if (action === 'down') this.#close();
    else if (action === 'hang') this.#hang(taskId);
    else if (action === 'crash') this.#crash(taskId);
    else if (action === 'unstick') {
      for (const one of this.#spawner.living(taskId)) one.behaviour = { ...one.behaviour, endsOn: 'signal' };
    } else if (action === 'write') this.#write();
    else if (action === 'drain') this.#output.drain();
    else if (action === 'put') this.#put(taskId);
    else if (action === 'sample') for (let left = random.between(1, 4); left > 0; left -= 1) this.#sample();
    else if (action === 'wait') this.#clock.advance(random.pick([0, 1, 50, 700, 2_000, 6_000, 12_000]));
    else if (action === 'stall') this.#stall(random.pick([100, 2_900, 30_000]));
    else if (action === 'jump') this.#clock.jumpWall(random.between(-5, 5) * HOUR_MS);
    else this.#rare();
  }

  #start(taskId: TaskId): void {
    const record = this.#record(taskId);
    const before = this.#supervisor.has(taskId) ? this.#supervisor.record(taskId) : undefined;
    const states = this.#states(taskId);
    const removing = this.#spawner.living(taskId).some((one) => this.#trailOf(one).wish === 'remove');
    const has = before !== undefined;
    const workers = has && before.instances === record.instances ? states.length : record.instances;
    try {
      if (removing && !this.#trails.isClosing) this.#successors.set(taskId, record);
      else if (!this.#trails.isClosing && this.#mayStart(taskId, before, record)) {
        for (let instance = 1; instance <= workers; instance += 1) {
          this.#trails.commanded(this.#trails.of(taskId, instance), 'start', states[instance - 1] ?? 'pending');
        }
        for (let instance = record.instances + 1; instance <= 3; instance += 1) this.#trails.dropped(taskId, instance);
      }
      this.#supervisor.start(record);
      assert(!this.#trails.isClosing, 'a start was taken during the shutdown');
    } catch (error) {
      if (!(error instanceof SuperNodeError)) throw error;
      if (error.code === 'SN_ERR_CLOSING') assert(this.#trails.isClosing);
      else assert(error.code === 'SN_ERR_TASK_EXISTS' && !this.#mayStart(taskId, before, record), error.message);
    }
  }

  /** Another number of workers needs a task at rest. */
  #mayStart(taskId: TaskId, before: TaskRecord | undefined, record: TaskRecord): boolean {
    if (before === undefined || before === record) return true;
    const resting = new Set(['pending', 'stopped', 'exited', 'failed']);
    return this.#spawner.living(taskId).length === 0 && this.#states(taskId).every((state) => resting.has(state));
  }

  #states(taskId: TaskId): string[] {
    return this.#supervisor.has(taskId) ? this.#supervisor.status(taskId).workers.map(({ state }) => state) : [];
  }

  #command(type: 'stop' | 'restart' | 'remove', taskId: TaskId): void {
    const living = this.#spawner.living(taskId);
    const workers: { trail: Trail; generation: number }[] = [];
    const known = this.#supervisor.has(taskId);
    const closing = this.#trails.isClosing;
    const refused = closing && type === 'restart';
    if (known && !refused) {
      this.#successors.delete(taskId);
      for (const { instance, state } of this.#supervisor.status(taskId).workers) {
        const trail = this.#trails.of(taskId, instance);
        workers.push({ trail, generation: trail.generation });
        this.#trails.commanded(trail, type, state);
      }
    }
    this.#given += 1;
    const isDown = this.#isDown;
    this.#supervisor[type](taskId)
      .then(
        () => {
          this.#answered += 1;
          assert(!living.some((one) => one.lives), `${type} was answered while its process lives`);
          const isEach = workers.every(({ trail, generation }) => trail.generation > generation);
          assert(type !== 'restart' || isEach, 'restart was answered before the start');
          assert(!isDown, `${type} was done after the shutdown`);
        },
        (error: unknown) => {
          this.#answered += 1;
          const code = error instanceof SuperNodeError ? error.code : undefined;
          if (!known) assert(code === 'SN_ERR_TASK_UNKNOWN' || refused, `${type} of nothing: ${error}`);
          else if (code === 'SN_ERR_UNKILLABLE') assert(this.#unkillable.has(taskId), `${type}: ${error}`);
          else if (code === 'SN_ERR_CLOSING') assert(this.#trails.isClosing, `${type}: ${error}`);
          else assert(code === 'SN_ERR_SUPERSEDED' && type === 'restart', `${type} was refused: ${error}`);
        },
      )
      .catch((error: unknown) => this.#errors.push(error));
  }

  #channelUp(taskId: TaskId): void {
    // Any process of the task, to see that dead generations stay out.
    const all = this.#spawner.all;
    const process = this.#random.pick([all.findLast((one) => one.taskId === taskId), all.at(-1), ...all.slice(-8)]);
    if (process !== undefined) this.#connect(process);
  }

  #connect(process: FakeProcess): void {
    const login = this.#supervisor.authenticate(process.taskId, process.token);
    assert(process.lives || !login.ok, 'the token of a dead process was let in');
    if (!login.ok) return;
    assert.equal(login.generation, process.generation);
    assert.equal(login.instance, process.instance);
    const id = `channel${this.#channelCount++}`;
    this.#channels.set(id, process);
    this.#watch?.open(id, process);
    this.#supervisor.channelUp(taskIdOf(process.taskId), id, login);
  }

  #close(): void {
    const id = this.#random.pick(['', ...this.#channels.keys()]);
    // One that is closed for the second time, or was never there, counts nothing.
    if (this.#random.chance(0.1)) this.#supervisor.channelDown(LIMITED, id, 'closed');
    else this.#channelDown(id, this.#random.pick(['closed', 'disconnect'] as const));
  }

  #hang(taskId: TaskId): void {
    const process = this.#spawner.living(taskId)[0];
    if (this.#watch !== undefined && process !== undefined) this.#watch.hang(process);
    if (this.#watch !== undefined) return;
    for (const [id, one] of [...this.#channels]) if (one === process) this.#channelDown(id, 'silent');
  }

  #channelDown(id: string, how: 'closed' | 'disconnect' | 'silent'): void {
    const process = this.#channels.get(id);
    if (process === undefined) return;
    this.#channels.delete(id);
    this.#watch?.close(id);
    const trail = this.#trailOf(process);
    if (how !== 'disconnect' && trail.process === process) trail.blows.add('heartbeat');
    this.#supervisor.channelDown(taskIdOf(process.taskId), id, how);
  }

  /** The transport closed what a generation, or one before it, still had; now and then it forgets one. */
  #closed(taskId: string, instance: number, generation: number): void {
    for (const [id, one] of this.#channels) {
      if (one.taskId !== taskId || one.instance !== instance || one.generation > generation) continue;
      this.#watch?.close(id);
      if (this.#watch !== undefined || this.#random.chance(0.8)) this.#channels.delete(id);
    }
  }

  #crash(taskId: TaskId): void {
    const oom = this.#random.chance(0.2);
    const signal = oom ? 'SIGKILL' : 'SIGSEGV';
    this.#spawner.living(taskId)[0]?.end({ code: null, signal, ...(oom && { oom }) });
  }

  #write(): void {
    const process = this.#random.pick([undefined, ...this.#spawner.living(), ...this.#spawner.all.slice(-3)]);
    if (process) this.#output.write(process, process.taskId === LINES);
  }

  #put(taskId: TaskId): void {
    this.#supervisor.putSeen(taskId);
    for (const [at, state] of this.#states(taskId).entries()) {
      // Too late for one that is being ended for its silence.
      if (state === 'ready') this.#trails.of(taskId, at + 1).lastPutMs = this.#clock.now();
    }
  }

  /** What the trees take; some, and sometimes all, are over their limit. */
  #sample(): void {
    const random = this.#random;
    const usage = new Map<number, ProcessUsage>();
    for (const { pid } of this.#supervisor.leaders()) {
      if (random.chance(0.1)) continue;
      const rssKb = random.pick([MEMORY_LIMIT_KB, MEMORY_LIMIT_KB + 1, 2 * MEMORY_LIMIT_KB]);
      usage.set(pid, { cpuPercent: 1, rssKb, processes: 1 });
    }
    const overdue: FakeProcess[] = [];
    for (const process of this.#spawner.living(LIMITED)) {
      const rssKb = usage.get(process.identity.pid)?.rssKb;
      if (rssKb === undefined) continue;
      const trail = this.#trailOf(process);
      trail.samplesOver = rssKb > MEMORY_LIMIT_KB ? trail.samplesOver + 1 : 0;
      if (trail.samplesOver < LIMITS.memorySamples) continue;
      trail.blows.add('memory');
      overdue.push(process);
    }
    this.#supervisor.usageSeen(usage);
    for (const { taskId } of this.#isDown ? [] : overdue) {
      const [state] = this.#states(taskIdOf(taskId));
      assert(state !== 'ready' && state !== 'starting', 'a worker over its memory limit goes on');
    }
  }

  #stall(ms: number): void {
    this.#watch?.stalling(ms);
    this.#clock.stall(ms);
  }

  #rare(): void {
    const random = this.#random;
    const what = random.pick(['nothing', 'nothing', 'nothing', 'nothing', 'storm', 'flood', 'overlong', 'shutdown']);
    this.steps.push(`  ${what}`);
    if (what === 'storm' && random.chance(0.4)) this.#storm();
    else if (what === 'flood') {
      const process = this.#spawner.living(POOL)[0];
      if (process) this.#output.flood(process, this.#clock.now());
    } else if (what === 'overlong' && random.chance(0.1)) {
      const process = this.#spawner.living(LINES)[0];
      if (process) this.#output.overlong(process);
    } else if (what === 'shutdown' && random.chance(0.3)) this.#shutdown();
  }

  /** Whatever is started is killed at once, for more often than the budget has room for. */
  #storm(): void {
    const { behaviour } = this.#spawner;
    this.#spawner.behaviour = () => ({});
    for (let round = 0; round < 120 && this.#spawner.living(POOL).length > 0; round += 1) {
      for (const one of this.#spawner.living(POOL)) {
        one.behaviour = {};
        one.end({ code: null, signal: 'SIGSEGV' });
      }
      this.#clock.advance(this.#random.pick([0, 0, 0, 0, 0, 0, 1, 100]));
    }
    this.#spawner.behaviour = behaviour;
  }

  #shutdown(): void {
    if (!this.#trails.isClosing) {
      for (const taskId of TASKS) {
        for (const { instance, state } of this.#supervisor.has(taskId) ? this.#supervisor.status(taskId).workers : []) {
          this.#trails.commanded(this.#trails.of(taskId, instance), 'stop', state);
        }
      }
    }
    this.#trails.isClosing = true;
    this.#successors.clear();
    this.#supervisor.shutdown().then(
      () => {
        this.#isDown = true;
        this.#report.isDown = true;
        if (this.#nodeClock.pending > 0) this.#errors.push('a timer is left after the shutdown');
      },
      (error: unknown) => this.#errors.push(error),
    );
  }

  #trailOf({ taskId, instance }: FakeProcess): Trail {
    return this.#trails.of(taskId, instance);
  }

  #ended(tokenHash: string): void {
    const trail = this.#owners.get(tokenHash);
    if (trail === undefined) return;
    const [taskId = ''] = trail.name.split('~');
    const record = this.#supervisor.record(taskIdOf(taskId));
    const { process } = trail;
    if (process?.spawnedAtMs !== undefined) this.#report.gone(trail.name, process.exit);
    if (record === undefined) this.#errors.push(`${taskId} ended and is not known`);
    else this.#trails.ended(trail, record, this.#clock.now());
  }

  #told(type: string, taskId: TaskId, instance: number, data: Record<string, unknown>): void {
    if (type === 'unkillable') this.#unkillable.add(taskId);
    const record = this.#supervisor.record(taskId);
    if (record === undefined) return;
    const delayMs = Number(data.next_start_ts) - this.#clock.wallNow();
    this.#trails.told(type, this.#trails.of(taskId, instance), data, record, this.#clock.now(), delayMs);
  }

  #removed(taskId: TaskId): void {
    this.#trails.forgotten(taskId);
    const successor = this.#successors.get(taskId);
    this.#successors.delete(taskId);
    for (let instance = 1; instance <= (successor?.instances ?? 0); instance += 1) {
      this.#trails.commanded(this.#trails.of(taskId, instance), 'start', 'pending');
    }
  }

  #check(): void {
    if (this.#errors.length > 0) assert.deepEqual(this.#errors, []);
    this.#trails.check();
    this.#watch?.check();
    this.#output.check();
    if (this.#isDown) return;
    // One of which nothing was told stands as it stood; in case it does not, each has its turn.
    const turn = TASKS[this.steps.length % TASKS.length];
    if (turn === TASKS[0]) this.#checkTimers();
    for (const taskId of TASKS) if (taskId === turn || this.#report.wasTold(taskId)) this.#checkTask(taskId);
    assert.equal(this.#journal.living.size, this.#spawner.living().length, 'children in the journal');
    this.#report.checkGone();
  }

  /** No state leaves a timer behind that it has no use for. */
  #checkTimers(): void {
    let allowed = this.#trails.isClosing ? 1 : 0;
    for (const { workers } of this.#supervisor.list()) {
      for (const { state, job } of workers) {
        allowed += job?.nextRunAtMs !== undefined ? 1 : (TIMERS_MAX[state] ?? 0);
      }
    }
    assert(this.#nodeClock.pending <= allowed, `${this.#nodeClock.pending} timers, ${allowed} may be`);
  }

  #checkTask(taskId: TaskId): void {
    const living = this.#spawner.living(taskId);
    if (!this.#supervisor.has(taskId)) {
      assert.equal(living.length, 0, `${living.length} processes of ${taskId}, which is not there`);
      return;
    }
    const status = this.#supervisor.status(taskId);
    for (const { instance, state, job, pid } of status.workers) {
      const count = living.filter((one) => one.instance === instance).length;
      const isWaiting = job?.nextRunAtMs !== undefined;
      const expected = WITH_PROCESS.has(state) || (state === 'ready' && !isWaiting) ? 1 : 0;
      assert.equal(count, expected, `${count} processes of ${taskId}~${instance} in state ${state}`);
      assert(count > 0 || pid === undefined, `${taskId}~${instance} shows a pid without a process`);
      assert(!isWaiting || state === 'ready', `${taskId} has a next run in state ${state}`);
    }
    const best = BEST_FIRST.find((state) => status.workers.some((worker) => worker.state === state));
    assert.equal(status.state, best, `the state of ${taskId} beside its workers'`);
    this.#report.checkTold(status);
  }

  /** Everything comes to rest: nobody waits, no process is left, no timer runs. */
  async #removeAll(): Promise<void> {
    this.#spawner.behaviour = () => ({});
    for (const one of this.#spawner.living()) one.behaviour = {};
    this.#output.drain();
    this.#watch?.stop();
    for (const taskId of TASKS) this.#command('remove', taskId);
    this.#clock.advance(60_000);
    await this.#settled();
    if (!this.#trails.isClosing) {
      for (const { taskId, state } of this.#supervisor.list()) assert.equal(state, 'unkillable', `${taskId} hangs`);
    }
    // What went unkillable was given up on; its removal was refused, but happens when it goes.
    for (const one of this.#spawner.living()) one.end({ code: null, signal: 'SIGKILL' });
    this.#clock.advance(60_000);
    await this.#settled();
    this.#check();
    this.#output.finish();
    assert.equal(this.#answered, this.#given, 'commands answered');
    if (!this.#trails.isClosing) assert.deepEqual(this.#supervisor.list(), []);
    assert.deepEqual(this.#spawner.living(), []);
    assert.equal(this.#journal.living.size, 0, 'children left in the journal');
    assert.equal(this.#nodeClock.pending, 0, 'timers left');
  }

  /** Lets promises that are settled tell it, where anybody waits for one. */
  async #settled(): Promise<void> {
    const turns = this.#answered < this.#given || this.#trails.isClosing || this.#output.isPausing ? 12 : 0;
    for (let turn = 0; turn < turns; turn += 1) await undefined;
  }
}

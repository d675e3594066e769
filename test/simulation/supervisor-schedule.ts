import assert from 'node:assert/strict';
import { LIMITS } from '../../src/core/limits.js';
import type { ProcessUsage } from '../../src/core/ports.js';
import type { TaskRecord } from '../../src/core/task-record.js';
import type { TaskWire } from '../../src/core/task-schema.js';
import { type TaskId, taskIdOf } from '../../src/core/topics.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import { type FakeProcess, FakeSpawner } from '../fixtures/fake-spawner.js';
import { SeededRandom } from '../fixtures/seeded-random.js';
import { MemoryJournal, portsFor, quietLog, recordOf } from '../fixtures/supervisor-world.js';
import { UnreliableClock } from '../fixtures/unreliable-clock.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';
import { JudgedCommands } from './judged-commands.js';
import { JudgedOutput } from './judged-output.js';
import { JudgedReport } from './judged-report.js';
import { checkStatus, timersMax } from './judged-status.js';
import {
  behaviourOf,
  FIELDS,
  LIMITED,
  LINES,
  MEMORY_LIMIT_KB,
  POOL,
  STALE_AFTER_MS,
  TASKS,
} from './simulated-tasks.js';
import { WatchedChannels } from './watched-channels.js';
import { type Trail, WorkerTrails } from './worker-trails.js';

const HOUR_MS = 3_600_000;
/** The most by which a timer is late, beside stalls. */
const LATE_MS = 400;
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
  readonly #stalls: { untilMs: number; ms: number }[] = [];
  readonly #output: JudgedOutput;
  readonly #report: JudgedReport;
  readonly #watch: WatchedChannels | undefined;
  readonly #supervisor: Supervisor;
  readonly #records = new Map<string, TaskRecord>();
  /** By the hash of the token, as the journal has it. */
  readonly #owners = new Map<string, Trail>();
  readonly #channels = new Map<string, FakeProcess>();
  readonly #commands: JudgedCommands;
  readonly #policy: Partial<TaskWire>;
  #channelCount = 0;

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
      lateMs: random.pick([1, LATE_MS]),
      ghosts: random.pick([0, 0.3]),
    });
    this.#output = new JudgedOutput(random, this.#errors);
    this.#report = new JudgedReport(
      this.#output,
      {
        told: (type, taskId, instance, data) => this.#told(type, taskId, instance, data),
        removed: (taskId) => this.#commands.removed(taskId),
        closed: ({ taskId, instance, generation }) => this.#closed(taskId, instance, generation),
      },
      (what) => this.#errors.push(what),
    );
    if (isWatched) {
      this.#watch = new WatchedChannels(this.#clock, this.#errors, ({ id }) => this.#channelDown(id, 'silent'));
      this.#watch.start();
    }
    this.#spawner.behaviour = () => behaviourOf(random);
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
    this.#commands = new JudgedCommands(this.#supervisor, this.#spawner, this.#trails, this.#errors, () => {
      this.#report.isDown = true;
      if (this.#nodeClock.pending > 0) this.#errors.push('a timer is left after the shutdown');
    });
  }

  async run(steps: number): Promise<void> {
    for (const taskId of TASKS) if (this.#random.chance(0.7)) this.#commands.start(this.#record(taskId));
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
      record = recordOf({ task_id: taskId, instances, ...this.#policy, ...FIELDS[taskId] });
      this.#records.set(name, record);
    }
    return record;
  }

  #act(): void {
    const random = this.#random;
    const taskId = random.pick(TASKS);
    const action = random.pick(ACTIONS);
    this.steps.push(`${this.#clock.now()} ${action} ${taskId}`);
    if (action === 'start') this.#commands.start(this.#record(taskId));
    else if (action === 'stop' || action === 'restart' || action === 'remove') this.#commands.give(action, taskId);
    else if (action === 'up') this.#channelUp(taskId);
    else if (action === 'down') this.#close();
    else if (action === 'hang') this.#hang(taskId);
    else if (action === 'crash') this.#crash(taskId);
    else if (action === 'unstick') {
      for (const one of this.#spawner.living(taskId)) one.behaviour = { ...one.behaviour, endsOn: 'signal' };
    } else if (action === 'write') this.#write();
    else if (action === 'drain') this.#output.drain();
    else if (action === 'put') this.#put();
    else if (action === 'sample') for (let left = random.between(1, 4); left > 0; left -= 1) this.#sample();
    else if (action === 'wait') this.#clock.advance(random.pick([0, 1, 50, 700, 2_000, 6_000, 12_000]));
    else if (action === 'stall') this.#stall(random.pick([100, 2_900, 30_000]));
    else if (action === 'jump') this.#clock.jumpWall(random.between(-5, 5) * HOUR_MS);
    else this.#rare();
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
    this.#channelDown(id, this.#random.pick(['closed', 'disconnect'] as const));
    // One that is closed for the second time, or was never there, counts nothing.
    if (this.#random.chance(0.1)) this.#supervisor.channelDown(LIMITED, id, 'closed');
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

  #put(): void {
    this.#supervisor.putSeen(LIMITED);
    const [state] = this.#commands.states(LIMITED);
    // Too late for one that is being ended for its silence.
    if (state === 'ready') this.#trails.of(LIMITED, 1).lastPutMs = this.#clock.now();
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
    for (const { taskId } of this.#commands.isDown ? [] : overdue) {
      const [state] = this.#commands.states(taskIdOf(taskId));
      assert(state !== 'ready' && state !== 'starting', 'a worker over its memory limit goes on');
    }
  }

  #stall(ms: number): void {
    this.#watch?.stalling(ms);
    this.#clock.stall(ms);
    this.#stalls.push({ untilMs: this.#clock.now(), ms });
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
    } else if (what === 'shutdown' && random.chance(0.3)) this.#commands.shutdown();
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
    if (type === 'ready') this.#trails.of(taskId, instance).lastPutMs = this.#clock.now();
    if (type === 'unkillable') this.#commands.unkillable.add(taskId);
    const record = this.#supervisor.record(taskId);
    if (record === undefined) return;
    const delayMs = Number(data.next_start_ts) - this.#clock.wallNow();
    this.#trails.told(type, this.#trails.of(taskId, instance), data, record, this.#clock.now(), delayMs);
  }

  #check(): void {
    if (this.#errors.length > 0) assert.deepEqual(this.#errors, []);
    this.#trails.check();
    this.#watch?.check();
    this.#output.check();
    if (this.#commands.isDown) return;
    // One of which nothing was told stands as it stood; in case it does not, each has its turn.
    const turn = TASKS[this.steps.length % TASKS.length];
    if (turn === TASKS[0]) {
      const most = timersMax(this.#supervisor.list()) + (this.#trails.isClosing ? 1 : 0);
      assert(this.#nodeClock.pending <= most, `${this.#nodeClock.pending} timers, ${most} may be`);
    }
    for (const taskId of TASKS) if (taskId === turn || this.#report.wasTold(taskId)) this.#checkTask(taskId);
    assert.equal(this.#journal.living.size, this.#spawner.living().length, 'children in the journal');
    this.#report.checkGone();
  }

  #checkTask(taskId: TaskId): void {
    const living = this.#spawner.living(taskId);
    const status = this.#supervisor.has(taskId) ? this.#supervisor.status(taskId) : undefined;
    checkStatus(taskId, status, living);
    if (status !== undefined) this.#report.checkTold(status);
    if (taskId === LIMITED && status?.state === 'ready') this.#checkStale();
  }

  /** One that puts nothing is found in time: in which the node stood still counts for nobody, and is waited for again. */
  #checkStale(): void {
    const { lastPutMs, name } = this.#trails.of(LIMITED, 1);
    const idleMs = this.#clock.now() - lastPutMs;
    const stalledMs = this.#stalls.reduce((sum, { untilMs, ms }) => sum + (untilMs > lastPutMs ? ms : 0), 0);
    // A timer that is late is patient, and may be late again.
    const allowedMs = STALE_AFTER_MS + 8 * LATE_MS + 2 * stalledMs;
    assert(idleMs <= allowedMs, `${name} has put nothing for ${idleMs} ms, ${stalledMs} ms of it stalled`);
  }

  /** Everything comes to rest: nobody waits, no process is left, no timer runs. */
  async #removeAll(): Promise<void> {
    this.#spawner.behaviour = () => ({});
    for (const one of this.#spawner.living()) one.behaviour = {};
    this.#output.drain();
    this.#watch?.stop();
    for (const taskId of TASKS) this.#commands.give('remove', taskId);
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
    assert.equal(this.#commands.answered, this.#commands.given, 'commands answered');
    if (!this.#trails.isClosing) assert.deepEqual(this.#supervisor.list(), []);
    assert.deepEqual(this.#spawner.living(), []);
    assert.equal(this.#journal.living.size, 0, 'children left in the journal');
    assert.equal(this.#nodeClock.pending, 0, 'timers left');
  }

  /** Lets promises that are settled tell it, where anybody waits for one. */
  async #settled(): Promise<void> {
    const turns =
      this.#commands.answered < this.#commands.given || this.#trails.isClosing || this.#output.isPausing ? 12 : 0;
    for (let turn = 0; turn < turns; turn += 1) await undefined;
  }
}

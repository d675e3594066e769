import assert from 'node:assert/strict';
import { test } from 'vitest';
import { SuperNodeError } from '../../src/core/errors.js';
import { type TaskId, taskIdOf } from '../../src/core/topics.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import { type FakeBehaviour, type FakeProcess, FakeSpawner } from '../fixtures/fake-spawner.js';
import { SeededRandom } from '../fixtures/seeded-random.js';
import { MemoryJournal, portsFor, quietLog, RecordedReport, recordOf } from '../fixtures/supervisor-world.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';

/** Random schedules of commands, crashes, silences and slow processes, and what must hold after each step.
 *  SN_SIM_RUNS: how many, default 2000. SN_SIM_SEED: the one to replay. */
const RUNS = Number(process.env.SN_SIM_RUNS ?? 2_000);
const REPLAY = process.env.SN_SIM_SEED;

const TASKS = [taskIdOf('a'), taskIdOf('b'), taskIdOf('c')] as const;
const AT_REST = new Set(['stopped', 'exited', 'failed']);
const WITH_PROCESS = new Set(['starting', 'ready', 'stopping', 'unkillable']);

/** What the schedule remembers about one task, to judge each start by. */
interface Trail {
  /** A command asked for a start that did not come yet. */
  asked: boolean;
  /** Told by `restarting` and not used yet. Wall clock, ms. */
  dueMs: number | undefined;
  /** Starts without a command, which a `restarting` of the same moment must explain. Wall clock, ms. */
  unexplained: number[];
  restartsInARow: number;
}

class Schedule {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly spawner = new FakeSpawner(this.clock);
  readonly report = new RecordedReport();
  readonly journal = new MemoryJournal();
  readonly errors: unknown[] = [];
  readonly supervisor: Supervisor;
  readonly trails = new Map<TaskId, Trail>();
  readonly unkillable = new Set<TaskId>();
  readonly channels = new Map<string, { taskId: TaskId; process: FakeProcess }>();
  readonly policy: 'always' | 'on-failure' | 'never';
  readonly maxRestarts: number | undefined;
  readonly steps: string[] = [];
  /** Commands given and answered. */
  given = 0;
  answered = 0;
  #channelCount = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.spawner.behaviour = (spec) => {
      this.#started(taskIdOf(spec.env.SN_TASK_ID));
      return this.#behaviour();
    };
    this.report.event = (type, taskId, data) => this.#told(type, taskId, data);
    this.policy = this.random.pick(['always', 'on-failure', 'never'] as const);
    this.maxRestarts = this.random.chance(0.3) ? this.random.between(0, 3) : undefined;
    const { clock, random, spawner, report, journal, errors } = this;
    this.supervisor = new Supervisor(portsFor(clock, random, spawner, report, { journal, log: quietLog(errors) }));
  }

  async run(steps: number): Promise<void> {
    for (let at = 0; at < steps; at += 1) {
      this.#act();
      await settled();
      this.#check();
    }
    await this.#removeAll();
  }

  #record(taskId: TaskId) {
    return recordOf({
      task_id: taskId,
      restart: this.policy,
      ...(this.maxRestarts !== undefined && { max_restarts: this.maxRestarts }),
      ready: taskId === 'b' ? 'spawn' : 'connect',
      ready_timeout_ms: 3_000,
      exec_timeout_ms: taskId === 'c' ? 20_000 : 0,
      stale_after_ms: taskId === 'c' ? 4_000 : 0,
      second_sig_duration: taskId === 'a' ? 0 : 2_000,
      success_codes: [0, 7],
      backoff: { initial_ms: taskId === 'a' ? 0 : 500, max_ms: 4_000, reset_ms: 1e9 },
    });
  }

  #behaviour(): FakeBehaviour {
    const { random } = this;
    return {
      spawnMs: random.pick([0, 0, 0, 50, 2_500]),
      ...(random.chance(0.15) && { fails: 'spawn ENOENT' }),
      ...(random.chance(0.4) && {
        runsMs: random.between(0, 6_000),
        exit: { code: random.between(0, 7), signal: null },
      }),
      endsOn: random.pick(['signal', 'signal', 'SIGKILL', 'nothing']),
      diesMs: random.pick([0, 10, 1_000]),
      restMs: random.pick([0, 0, 30, 5_000]),
    };
  }

  #act(): void {
    const { random, supervisor } = this;
    const taskId = random.pick(TASKS);
    const action = random.pick([
      'start',
      'stop',
      'restart',
      'remove',
      'up',
      'up',
      'up',
      'closed',
      'disconnect',
      'silent',
      'crash',
      'unstick',
      'put',
      'wait',
      'wait',
      'wait',
      'wait',
    ] as const);
    this.steps.push(`${this.clock.now()} ${action} ${taskId}`);
    if (action === 'start') this.#start(taskId);
    else if (action === 'stop' || action === 'restart' || action === 'remove') this.#command(action, taskId);
    else if (action === 'up') this.#channelUp(taskId);
    else if (action === 'crash') this.spawner.living(taskId)[0]?.end({ code: null, signal: 'SIGSEGV' });
    else if (action === 'unstick') {
      for (const one of this.spawner.living(taskId)) one.behaviour = { ...one.behaviour, endsOn: 'signal' };
    } else if (action === 'put') supervisor.putSeen(taskId);
    else if (action === 'wait') this.clock.advance(random.pick([0, 1, 50, 700, 2_000, 12_000]));
    else this.#channelDown(action);
  }

  #start(taskId: TaskId): void {
    const state = this.supervisor.has(taskId) ? this.supervisor.status(taskId).state : undefined;
    const trail = this.#trail(taskId);
    if (state !== 'starting' && state !== 'ready') trail.asked = true;
    if (state === 'backoff') trail.dueMs = undefined;
    trail.restartsInARow = 0;
    this.supervisor.start(this.#record(taskId));
  }

  #command(type: 'stop' | 'restart' | 'remove', taskId: TaskId): void {
    const trail = this.#trail(taskId);
    const living = this.spawner.living(taskId);
    const spawnedBefore = this.spawner.all.length;
    const known = this.supervisor.has(taskId);
    if (type === 'restart' && known) trail.asked = true;
    else trail.dueMs = undefined;
    trail.restartsInARow = 0;
    this.given += 1;
    this.supervisor[type](taskId)
      .then(
        () => {
          this.answered += 1;
          assert(!living.some((one) => one.lives), `${type} was answered while its process lives`);
          assert(
            type !== 'restart' || this.spawner.all.length > spawnedBefore,
            'restart was answered before the start',
          );
        },
        (error: unknown) => {
          this.answered += 1;
          const code = error instanceof SuperNodeError ? error.code : undefined;
          const unkillable = code === 'SN_ERR_UNKILLABLE' && this.unkillable.has(taskId);
          const overtaken = code === 'SN_ERR_SUPERSEDED' && type === 'restart';
          assert(known ? unkillable || overtaken : code === 'SN_ERR_TASK_UNKNOWN', `${type} was refused: ${error}`);
        },
      )
      .catch((error: unknown) => this.errors.push(error));
  }

  #channelUp(taskId: TaskId): void {
    // Any process of the task, to see that dead generations stay out.
    const process = this.random.pick([this.spawner.all.findLast((one) => one.taskId === taskId), ...this.spawner.all]);
    if (process === undefined) return;
    const login = this.supervisor.authenticate(process.taskId, process.token);
    assert(process.lives || !login.ok, 'the token of a dead process was let in');
    if (!login.ok) return;
    assert.equal(login.generation, process.generation);
    const id = `channel${this.#channelCount++}`;
    this.channels.set(id, { taskId: taskIdOf(process.taskId), process });
    this.supervisor.channelUp(taskIdOf(process.taskId), id, login.generation);
  }

  #channelDown(how: 'closed' | 'disconnect' | 'silent'): void {
    const [id, channel] = this.random.pick([undefined, ...this.channels]) ?? [];
    if (id === undefined || channel === undefined) return;
    this.channels.delete(id);
    this.supervisor.channelDown(channel.taskId, id, how);
  }

  #trail(taskId: TaskId): Trail {
    let trail = this.trails.get(taskId);
    if (trail === undefined) {
      trail = { asked: false, dueMs: undefined, unexplained: [], restartsInARow: 0 };
      this.trails.set(taskId, trail);
    }
    return trail;
  }

  #check(): void {
    assert.deepEqual(this.errors, []);
    for (const taskId of TASKS) {
      const living = this.spawner.living(taskId).length;
      const status = this.supervisor.has(taskId) ? this.supervisor.status(taskId) : undefined;
      const expected = status !== undefined && WITH_PROCESS.has(status.state) ? 1 : 0;
      assert.equal(living, expected, `${living} processes of ${taskId} in state ${status?.state}`);
      assert.equal(this.#trail(taskId).unexplained.length, 0, `a start of ${taskId} without a reason`);
      if (status === undefined) continue;
      const told = this.report.states.findLast((one) => one.taskId === taskId);
      assert.equal(JSON.stringify(told), JSON.stringify(status), 'the state that was told last');
    }
    assert.equal(this.journal.living.size, this.spawner.living().length, 'children in the journal');
  }

  /** Each start has a reason: a command, or a restart that was told and due. A restart at once is told after it. */
  #started(taskId: TaskId): void {
    const trail = this.#trail(taskId);
    const nowMs = this.clock.wallNow();
    if (trail.dueMs !== undefined && trail.dueMs <= nowMs) trail.dueMs = undefined;
    else if (trail.asked) trail.asked = false;
    else trail.unexplained.push(nowMs);
  }

  #told(type: string, taskId: TaskId, data: Record<string, unknown>): void {
    const trail = this.#trail(taskId);
    if (AT_REST.has(type)) Object.assign(trail, { asked: false, dueMs: undefined });
    if (type === 'unkillable') this.unkillable.add(taskId);
    if (type !== 'restarting') return;
    const dueMs = Number(data.next_start_ts);
    if (trail.unexplained.at(-1) === dueMs) trail.unexplained.pop();
    else if (data.cause !== 'command') trail.dueMs = dueMs;
    if (data.cause === 'command') return;
    trail.restartsInARow += 1;
    const success = data.cause === 'exit' && (data.exit_code === 0 || data.exit_code === 7);
    // Ports are guarded, so what is wrong here is kept for the next check.
    if (this.policy === 'never') this.errors.push('restarted with restart: never');
    if (this.policy === 'on-failure' && success) this.errors.push('restarted after a success');
    if (trail.restartsInARow > (this.maxRestarts ?? Number.POSITIVE_INFINITY)) this.errors.push('restarted too often');
  }

  /** Everything comes to rest: nobody waits, no process is left, no timer runs. */
  async #removeAll(): Promise<void> {
    this.spawner.behaviour = () => ({});
    for (const one of this.spawner.living()) one.behaviour = {};
    for (const taskId of TASKS) this.#command('remove', taskId);
    this.clock.advance(60_000);
    await settled();
    for (const { taskId, state } of this.supervisor.list()) assert.equal(state, 'unkillable', `${taskId} hangs`);
    // What went unkillable was given up on; its removal was refused, but happens when it goes.
    for (const one of this.spawner.living()) one.end({ code: null, signal: 'SIGKILL' });
    this.clock.advance(60_000);
    await settled();
    this.#check();
    assert.equal(this.answered, this.given, 'commands answered');
    assert.deepEqual(this.supervisor.list(), []);
    assert.deepEqual(this.spawner.living(), []);
    assert.equal(this.clock.pending, 0, 'timers left');
  }
}

/** Lets promises that are settled tell it. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await undefined;
}

test('whatever is commanded and whatever dies, no task has two processes and each start has a reason', async () => {
  const first = REPLAY === undefined ? Math.floor(Math.random() * 1e9) : Number(REPLAY);
  const last = REPLAY === undefined ? first + RUNS - 1 : first;
  for (let seed = first; seed <= last; seed += 1) {
    const schedule = new Schedule(seed);
    try {
      await schedule.run(40);
    } catch (error) {
      const trace = REPLAY === undefined ? '' : `\n${schedule.steps.join('\n')}`;
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${why}\nreplay with SN_SIM_SEED=${seed}${trace}`, { cause: error });
    }
  }
}, 300_000);

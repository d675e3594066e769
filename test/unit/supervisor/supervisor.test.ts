import { beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { taskIdOf } from '../../../src/core/topics.js';
import type { SupervisorPorts } from '../../../src/supervisor/status.js';
import { Supervisor } from '../../../src/supervisor/supervisor.js';
import { FakeSpawner } from '../../fixtures/fake-spawner.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import {
  MemoryJournal,
  netRecordOf,
  portsFor,
  quietLog,
  RecordedReport,
  recordOf,
  T1,
} from '../../fixtures/supervisor-world.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

let clock: VirtualClock;
let spawner: FakeSpawner;
let report: RecordedReport;
let journal: MemoryJournal;
let errors: unknown[];
let supervisor: Supervisor;

function create(over: Partial<SupervisorPorts> = {}): Supervisor {
  const ports = portsFor(clock, new SeededRandom(1), spawner, report, { journal, log: quietLog(errors), ...over });
  return new Supervisor(ports);
}

beforeEach(() => {
  clock = new VirtualClock();
  spawner = new FakeSpawner(clock);
  report = new RecordedReport();
  journal = new MemoryJournal();
  errors = [];
  supervisor = create();
});

/** Starts `t1` and lets its worker connect. */
function ready(wire: Parameters<typeof recordOf>[0] = {}): void {
  supervisor.start(recordOf(wire));
  clock.advance(0);
  connect('c1');
}

/** Ready, and for long enough that its end is no short run. */
function settled(wire: Parameters<typeof recordOf>[0] = {}): void {
  ready(wire);
  clock.advance(LIMITS.shortRunMs);
}

function connect(channelId: string): void {
  const login = supervisor.authenticate(T1, spawner.last(T1).token);
  if (!login.ok) throw new Error('the token was refused');
  supervisor.channelUp(T1, channelId, login.generation);
}

const eventTypes = () => report.events.map(({ type }) => type);
const status = () => supervisor.status(T1);

describe('a process task', () => {
  test('starts its command and is ready when its channel is up', () => {
    ready();
    expect(report.path()).toEqual(['starting', 'ready']);
    expect(eventTypes()).toEqual(['started', 'ready']);
    expect(status()).toMatchObject({ state: 'ready', generation: 1, pid: 1_000, channels: 1, accepting: true });
  });

  test('stands in the journal before it is spawned, and no longer when it is gone', async () => {
    supervisor.start(recordOf());
    expect(journal.log).toEqual(['spawning']);
    expect(spawner.all).toHaveLength(1);
    clock.advance(0);
    expect([...journal.living.values()]).toMatchObject([{ taskId: T1, generation: 1, identity: { pid: 1_000 } }]);
    expect(JSON.stringify([...journal.living.values()])).not.toContain(spawner.last(T1).token);
    const stopped = supervisor.stop(T1);
    clock.advance(0);
    await stopped;
    expect(journal.living.size).toBe(0);
  });

  test('is not spawned when the journal cannot take it', () => {
    journal.spawning = () => {
      throw new Error('ENOSPC: no space left on device');
    };
    supervisor.start(recordOf());
    expect(spawner.all).toEqual([]);
    expect(status()).toMatchObject({
      state: 'backoff',
      cause: 'spawn_error',
      error: expect.stringContaining('ENOSPC'),
    });
  });

  test('that dies is started again after the backoff, and says why', () => {
    ready({ backoff: { jitter: 0 } });
    spawner.last(T1).write('stderr', 'Traceback\nValueError: no camera');
    spawner.last(T1).end({ code: 1, signal: null });
    expect(status()).toMatchObject({
      state: 'backoff',
      cause: 'exit',
      exitCode: 1,
      signal: null,
      stderr: ['Traceback', 'ValueError: no camera'],
      nextStartAtMs: clock.wallNow() + 1_000,
      restarts: { exit: 1 },
      channels: 0,
    });
    expect(report.events.at(-1)).toEqual({
      type: 'restarting',
      taskId: T1,
      data: {
        cause: 'exit',
        exit_code: 1,
        signal: null,
        stderr: ['Traceback', 'ValueError: no camera'],
        next_start_ts: clock.wallNow() + 1_000,
      },
    });
    clock.advance(1_000);
    expect(status()).toMatchObject({ state: 'starting', generation: 2 });
    expect(status().nextStartAtMs).toBeUndefined();
  });

  test('that falls silent on all its channels is ended and restarted once', () => {
    settled({ backoff: { initial_ms: 0 } });
    connect('c2');
    supervisor.channelDown(T1, 'c1', 'silent');
    expect(status()).toMatchObject({ state: 'ready', channels: 1 });
    supervisor.channelDown(T1, 'c2', 'silent');
    expect(status()).toMatchObject({ state: 'stopping', cause: 'heartbeat' });
    clock.advance(0);
    expect(spawner.all.map((one) => one.signals)).toEqual([['SIGTERM'], []]);
    expect(status()).toMatchObject({ state: 'starting', generation: 2, restarts: { heartbeat: 1 } });
  });

  test('that ignores the first signal gets SIGKILL after second_sig_duration', async () => {
    spawner.behaviour = () => ({ endsOn: 'SIGKILL' });
    ready({ second_sig_duration: 3_000 });
    const stopped = supervisor.stop(T1);
    clock.advance(2_999);
    expect(spawner.last(T1).signals).toEqual(['SIGTERM']);
    clock.advance(1);
    await stopped;
    expect(spawner.last(T1).signals).toEqual(['SIGTERM', 'SIGKILL']);
    expect(status().state).toBe('stopped');
  });

  test('that outlives SIGKILL is unkillable: who waits is told, and no second copy is started', async () => {
    spawner.behaviour = () => ({ endsOn: 'nothing' });
    ready({ second_sig_duration: 3_000 });
    const stopped = expect(supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_UNKILLABLE' });
    clock.advance(13_000);
    await stopped;
    expect(status().state).toBe('unkillable');
    expect(supervisor.authenticate(T1, spawner.last(T1).token)).toEqual({ ok: false });
    supervisor.start(recordOf({ second_sig_duration: 3_000 }));
    clock.advance(60_000);
    expect(spawner.all).toHaveLength(1);
    spawner.last(T1).end({ code: null, signal: 'SIGKILL' });
    expect(spawner.all).toHaveLength(2);
  });

  test('whose leader ends alone has the rest of its group killed before the next start', () => {
    spawner.behaviour = () => ({ restMs: 60_000 });
    settled({ backoff: { initial_ms: 0 } });
    spawner.last(T1).end({ code: 0, signal: null });
    expect(status()).toMatchObject({ state: 'stopping', cause: 'exit' });
    expect(spawner.last(T1).signals).toEqual(['SIGKILL']);
    expect(spawner.all).toHaveLength(1);
    clock.advance(0);
    expect(spawner.all).toHaveLength(2);
  });

  test('whose last channel closed is restarted when it does not come back in time, and not when it does', () => {
    ready({ heartbeat_interval: 2_000 });
    supervisor.channelDown(T1, 'c1', 'closed');
    expect(report.states.at(-1)).toMatchObject({ state: 'ready', channels: 0 });
    clock.advance(2_999);
    connect('c2');
    clock.advance(10_000);
    expect(status().state).toBe('ready');
    supervisor.channelDown(T1, 'c2', 'closed');
    clock.advance(3_000);
    expect(status()).toMatchObject({ cause: 'heartbeat', restarts: { heartbeat: 1 } });
  });

  test('that puts nothing for stale_after_ms is restarted, whatever its channel says', () => {
    ready({ stale_after_ms: 1_000 });
    for (let at = 0; at < 5; at += 1) {
      clock.advance(900);
      supervisor.putSeen(T1);
    }
    expect(status().state).toBe('ready');
    clock.advance(1_000);
    expect(status().cause).toBe('stale');
  });

  test('has its connections closed when its generation is over, which is no failure', () => {
    settled({ backoff: { initial_ms: 0 } });
    // The transport closes them while it is told to.
    report.closeChannels = (taskId) => supervisor.channelDown(taskId, 'c1', 'closed');
    spawner.last(T1).end({ code: 1, signal: null });
    clock.advance(0);
    expect(status()).toMatchObject({ state: 'starting', restarts: { exit: 1 } });
  });

  test('that ends at once again and again does not become a busy loop, whatever its policy says', () => {
    ready({ backoff: { initial_ms: 0 } });
    spawner.last(T1).end({ code: 1, signal: null });
    clock.advance(LIMITS.shortRunPauseMs - 1);
    expect(spawner.all).toHaveLength(1);
    clock.advance(1);
    expect(spawner.all).toHaveLength(2);
  });

  test('is not stopped half way by a report that throws', () => {
    report.stateChanged = () => {
      throw new Error('broken pipe');
    };
    ready();
    expect(status().state).toBe('ready');
    expect(errors.length).toBeGreaterThan(0);
  });

  test('writes its lines to the log, bounded by the second, and tells what was dropped', () => {
    ready();
    spawner.last(T1).write('stdout', 'one\n'.repeat(250));
    expect(report.lines).toHaveLength(200);
    clock.advance(1_000);
    spawner.last(T1).write('stdout', 'two\n');
    expect(report.events.at(-1)).toEqual({ type: 'output_dropped', taskId: T1, data: { lines: 50, cut: 0 } });
  });
});

describe('a token', () => {
  test('opens the door for its task and its generation alone', () => {
    settled({ backoff: { initial_ms: 0 }, heartbeat_interval: 2_000 });
    const first = spawner.last(T1).token;
    expect(first).toMatch(/^snw_/);
    expect(supervisor.authenticate(T1, first)).toEqual({ ok: true, generation: 1, heartbeatMs: 2_000 });
    expect(supervisor.authenticate('t2', first)).toEqual({ ok: false });
    expect(supervisor.authenticate(T1, `${first}x`)).toEqual({ ok: false });
    spawner.last(T1).end({ code: 1, signal: null });
    expect(supervisor.authenticate(T1, first)).toEqual({ ok: false });
    expect(supervisor.authenticate(T1, spawner.last(T1).token)).toMatchObject({ ok: true, generation: 2 });
  });

  test('of an older generation gives its channels no weight', () => {
    settled({ backoff: { initial_ms: 0 } });
    spawner.last(T1).end({ code: 1, signal: null });
    clock.advance(0);
    supervisor.channelUp(T1, 'late', 1);
    supervisor.channelUp(T1, 'stranger');
    expect(status()).toMatchObject({ state: 'starting', channels: 0 });
  });
});

describe('commands', () => {
  test('a running task takes the same record, and no other', () => {
    ready();
    supervisor.start(recordOf());
    expect(spawner.all).toHaveLength(1);
    expect(() => supervisor.start(recordOf({ start_params: 'other' }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_TASK_EXISTS' }),
    );
  });

  test('a stopped task starts with another record', async () => {
    ready();
    const stopped = supervisor.stop(T1);
    clock.advance(0);
    await stopped;
    supervisor.start(recordOf({ start_params: 'other' }));
    expect(supervisor.record(T1)?.startParams).toBe('other');
    expect(status()).toMatchObject({ state: 'starting', generation: 2 });
  });

  test('a start during a stop: the stop is answered when the process is gone, then it starts', async () => {
    spawner.behaviour = () => ({ diesMs: 500 });
    ready();
    const stopped = supervisor.stop(T1);
    supervisor.start(recordOf({ start_params: 'other' }));
    clock.advance(499);
    expect(spawner.all).toHaveLength(1);
    clock.advance(1);
    await stopped;
    expect(spawner.all).toHaveLength(2);
  });

  test('a stop during a backoff is answered at once and nothing starts', async () => {
    ready();
    spawner.last(T1).end({ code: 1, signal: null });
    await supervisor.stop(T1);
    clock.advance(600_000);
    expect(spawner.all).toHaveLength(1);
    expect(status()).toMatchObject({ state: 'stopped', accepting: false });
  });

  test('a restart is answered when the next process was spawned', async () => {
    ready();
    const restarted = supervisor.restart(T1);
    expect(status()).toMatchObject({ state: 'stopping', cause: 'command' });
    clock.advance(0);
    await restarted;
    expect(status()).toMatchObject({ state: 'starting', generation: 2, restarts: { command: 1 } });
  });

  test('a restart that a stop overtakes is told so', async () => {
    ready();
    const restarted = expect(supervisor.restart(T1)).rejects.toMatchObject({ code: 'SN_ERR_SUPERSEDED' });
    const stopped = supervisor.stop(T1);
    clock.advance(0);
    await Promise.all([restarted, stopped]);
    expect(spawner.all).toHaveLength(1);
  });

  test('who has an answer finds the state that belongs to it', async () => {
    ready();
    const seen = supervisor.stop(T1).then(() => report.states.at(-1)?.state);
    clock.advance(0);
    expect(await seen).toBe('stopped');
  });

  test('a start during a removal creates the task anew', async () => {
    ready();
    const removed = supervisor.remove(T1);
    supervisor.start(recordOf({ start_params: 'other' }));
    clock.advance(0);
    await removed;
    expect(report.removedTasks).toEqual([T1]);
    expect(status()).toMatchObject({ generation: 1 });
    expect(spawner.all).toHaveLength(2);
  });

  test('unknown tasks, too many tasks and signals to nobody are refused by name', async () => {
    supervisor = create({ tasksMax: 1 });
    await expect(supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
    supervisor.start(recordOf());
    expect(() => supervisor.signal(T1, 'SIGUSR1')).toThrow(expect.objectContaining({ code: 'SN_ERR_NOT_RUNNING' }));
    expect(() => supervisor.start(recordOf({ task_id: 't2' }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_LIMIT' }),
    );
    expect(() => supervisor.declare(netRecordOf('t3'))).toThrow(expect.objectContaining({ code: 'SN_ERR_LIMIT' }));
  });

  test('shutdown stops all workers at once, and waits for the slowest no longer than its time and the grace', async () => {
    spawner.behaviour = () => ({ endsOn: 'nothing' });
    supervisor.start(recordOf({ second_sig_duration: 1_000 }));
    clock.advance(0);
    let done = false;
    const down = supervisor.shutdown().then(() => {
      done = true;
    });
    const waiting = expect(supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_CLOSING' });
    clock.advance(5_999);
    await Promise.resolve();
    expect(done).toBe(false);
    clock.advance(1);
    await Promise.all([down, waiting]);
    expect(spawner.last(T1).signals).toEqual(['SIGTERM', 'SIGKILL']);
    expect(clock.pending).toBe(0);
    expect(() => supervisor.start(recordOf())).toThrow(expect.objectContaining({ code: 'SN_ERR_CLOSING' }));
  });
});

describe('a net task', () => {
  const net = taskIdOf('net');

  test('is told as pending, ready, sleeping and lost as its clients come and go', () => {
    supervisor.declare(netRecordOf('net'));
    supervisor.declare(netRecordOf('net'));
    supervisor.channelUp(net, 'c1');
    supervisor.channelUp(net, 'c2');
    supervisor.channelDown(net, 'c1', 'closed');
    supervisor.report(net, 'c1', 'lost');
    expect(supervisor.status(net)).toMatchObject({ state: 'ready', channels: 1, kind: 'net', generation: 0 });
    supervisor.channelDown(net, 'c2', 'disconnect');
    supervisor.channelUp(net, 'c3');
    supervisor.channelDown(net, 'c3', 'silent');
    expect(report.path()).toEqual(['pending', 'ready', 'sleeping', 'ready', 'lost']);
  });

  test('takes no puts while stopped, and takes them again after start', async () => {
    supervisor.start(netRecordOf('net'));
    supervisor.putSeen(net);
    expect(supervisor.status(net)).toMatchObject({ state: 'ready', accepting: true });
    await supervisor.stop(net);
    supervisor.channelUp(net, 'c1');
    supervisor.putSeen(net);
    expect(supervisor.status(net)).toMatchObject({ state: 'stopped', accepting: false, channels: 1 });
    supervisor.start(netRecordOf('net'));
    expect(supervisor.status(net)).toMatchObject({ state: 'ready', accepting: true });
  });

  test('is forgotten by remove, and may become a process task once it is stopped', async () => {
    supervisor.start(netRecordOf('net'));
    expect(() => supervisor.start(recordOf({ task_id: net }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_TASK_EXISTS' }),
    );
    await supervisor.stop(net);
    supervisor.start(recordOf({ task_id: net }));
    expect(supervisor.status(net).kind).toBe('process');
    const removed = supervisor.remove(net);
    clock.advance(0);
    await removed;
    expect(supervisor.has(net)).toBe(false);
  });
});

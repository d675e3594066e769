import { beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { Supervised } from '../../fixtures/supervised.js';
import { recordOf, T1 } from '../../fixtures/supervisor-world.js';

let world: Supervised;

beforeEach(() => {
  world = new Supervised();
});

describe('a process task', () => {
  test('starts its command and is ready when its channel is up', () => {
    world.ready();
    expect(world.report.path()).toEqual(['starting', 'ready']);
    expect(world.eventTypes).toEqual(['started', 'ready']);
    expect(world.status).toMatchObject({ state: 'ready', generation: 1, pid: 1_000, channels: 1, accepting: true });
  });

  test('stands in the journal before it is spawned, and no longer when it is gone', async () => {
    world.supervisor.start(recordOf());
    expect(world.journal.log).toEqual(['spawning']);
    expect(world.spawner.all).toHaveLength(1);
    world.clock.advance(0);
    expect([...world.journal.living.values()]).toMatchObject([{ taskId: T1, generation: 1, identity: { pid: 1_000 } }]);
    expect(JSON.stringify([...world.journal.living.values()])).not.toContain(world.spawner.last(T1).token);
    const stopped = world.supervisor.stop(T1);
    world.clock.advance(0);
    await stopped;
    expect(world.journal.living.size).toBe(0);
  });

  test('is not spawned when the journal cannot take it', () => {
    world.journal.spawning = () => {
      throw new Error('ENOSPC: no space left on device');
    };
    world.supervisor.start(recordOf());
    expect(world.spawner.all).toEqual([]);
    expect(world.status).toMatchObject({
      state: 'backoff',
      cause: 'spawn_error',
      error: expect.stringContaining('ENOSPC'),
    });
  });

  test('leaves nothing in the journal when the spawner throws at once', () => {
    world.spawner.behaviour = () => {
      throw new Error('spawn E2BIG');
    };
    world.supervisor.start(recordOf());
    expect(world.journal.log).toEqual(['spawning', 'gone']);
    expect(world.status).toMatchObject({ state: 'backoff', cause: 'spawn_error', error: 'spawn E2BIG' });
    expect(world.errors).toEqual([]);
  });

  test('that dies is started again after the backoff, and says why', () => {
    world.ready({ backoff: { jitter: 0 } });
    world.spawner.last(T1).write('stderr', 'Traceback\nValueError: no camera');
    world.spawner.last(T1).end({ code: 1, signal: null });
    expect(world.status).toMatchObject({
      state: 'backoff',
      cause: 'exit',
      exitCode: 1,
      signal: null,
      stderr: ['Traceback', 'ValueError: no camera'],
      nextStartAtMs: world.clock.wallNow() + 1_000,
      restarts: { exit: 1 },
      channels: 0,
    });
    expect(world.report.events.at(-1)).toEqual({
      type: 'restarting',
      taskId: T1,
      data: {
        cause: 'exit',
        exit_code: 1,
        signal: null,
        stderr: ['Traceback', 'ValueError: no camera'],
        next_start_ts: world.clock.wallNow() + 1_000,
      },
    });
    world.clock.advance(1_000);
    expect(world.status).toMatchObject({ state: 'starting', generation: 2 });
    expect(world.status.nextStartAtMs).toBeUndefined();
  });

  test('that falls silent on all its channels is ended and restarted once', () => {
    world.settled({ backoff: { initial_ms: 0 } });
    world.connect('c2');
    world.supervisor.channelDown(T1, 'c1', 'silent');
    expect(world.status).toMatchObject({ state: 'ready', channels: 1 });
    world.supervisor.channelDown(T1, 'c2', 'silent');
    expect(world.status).toMatchObject({ state: 'stopping', cause: 'heartbeat' });
    world.clock.advance(0);
    expect(world.spawner.all.map((one) => one.signals)).toEqual([['SIGTERM'], []]);
    expect(world.status).toMatchObject({ state: 'starting', generation: 2, restarts: { heartbeat: 1 } });
  });

  test('that ignores the first signal gets SIGKILL after second_sig_duration', async () => {
    world.spawner.behaviour = () => ({ endsOn: 'SIGKILL' });
    world.ready({ second_sig_duration: 3_000 });
    const stopped = world.supervisor.stop(T1);
    world.clock.advance(2_999);
    expect(world.spawner.last(T1).signals).toEqual(['SIGTERM']);
    world.clock.advance(1);
    await stopped;
    expect(world.spawner.last(T1).signals).toEqual(['SIGTERM', 'SIGKILL']);
    expect(world.status.state).toBe('stopped');
  });

  test('that outlives SIGKILL is unkillable: who waits is told, and no second copy is started', async () => {
    world.spawner.behaviour = () => ({ endsOn: 'nothing' });
    world.ready({ second_sig_duration: 3_000 });
    const stopped = expect(world.supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_UNKILLABLE' });
    world.clock.advance(13_000);
    await stopped;
    expect(world.status.state).toBe('unkillable');
    expect(world.supervisor.authenticate(T1, world.spawner.last(T1).token)).toEqual({ ok: false });
    world.supervisor.start(recordOf({ second_sig_duration: 3_000 }));
    world.clock.advance(60_000);
    expect(world.spawner.all).toHaveLength(1);
    world.spawner.last(T1).end({ code: null, signal: 'SIGKILL' });
    expect(world.spawner.all).toHaveLength(2);
  });

  test('whose leader ends alone has the rest of its group killed before the next start', () => {
    world.spawner.behaviour = () => ({ restMs: 60_000 });
    world.settled({ backoff: { initial_ms: 0 } });
    world.spawner.last(T1).end({ code: 0, signal: null });
    expect(world.status).toMatchObject({ state: 'stopping', cause: 'exit' });
    expect(world.spawner.last(T1).signals).toEqual(['SIGKILL']);
    expect(world.spawner.all).toHaveLength(1);
    world.clock.advance(0);
    expect(world.spawner.all).toHaveLength(2);
  });

  test('whose last channel closed is restarted when it does not come back in time, and not when it does', () => {
    world.ready({ heartbeat_interval: 2_000 });
    world.supervisor.channelDown(T1, 'c1', 'closed');
    expect(world.report.states.at(-1)).toMatchObject({ state: 'ready', channels: 0 });
    world.clock.advance(2_999);
    world.connect('c2');
    world.clock.advance(10_000);
    expect(world.status.state).toBe('ready');
    world.supervisor.channelDown(T1, 'c2', 'closed');
    world.clock.advance(3_000);
    expect(world.status).toMatchObject({ cause: 'heartbeat', restarts: { heartbeat: 1 } });
  });

  test('that puts nothing for stale_after_ms is restarted, whatever its channel says', () => {
    world.ready({ stale_after_ms: 1_000 });
    for (let at = 0; at < 5; at += 1) {
      world.clock.advance(900);
      world.supervisor.putSeen(T1);
    }
    expect(world.status.state).toBe('ready');
    world.clock.advance(1_000);
    expect(world.status.cause).toBe('stale');
  });

  test('has its connections closed when its generation is over, which is no failure', () => {
    world.settled({ backoff: { initial_ms: 0 } });
    // The transport closes them while it is told to.
    world.report.closeChannels = ({ taskId }) => world.supervisor.channelDown(taskId, 'c1', 'closed');
    world.spawner.last(T1).end({ code: 1, signal: null });
    world.clock.advance(0);
    expect(world.status).toMatchObject({ state: 'starting', restarts: { exit: 1 } });
  });

  test('that ends at once again and again does not become a busy loop, whatever its policy says', () => {
    world.ready({ backoff: { initial_ms: 0 } });
    world.spawner.last(T1).end({ code: 1, signal: null });
    world.clock.advance(LIMITS.shortRunPauseMs - 1);
    expect(world.spawner.all).toHaveLength(1);
    world.clock.advance(1);
    expect(world.spawner.all).toHaveLength(2);
  });

  test('is not stopped half way by a report that throws', () => {
    world.report.stateChanged = () => {
      throw new Error('broken pipe');
    };
    world.ready();
    expect(world.status.state).toBe('ready');
    expect(world.errors.length).toBeGreaterThan(0);
  });

  test("writes its lines to the log a turn's worth at a time, bounded, and tells what was dropped", async () => {
    world.ready();
    const taken = world.spawner.last(T1).write('stdout', 'one\n'.repeat(LIMITS.outputLinesBurst + 50));
    expect(world.report.lines).toHaveLength(LIMITS.outputLinesPerTurn);
    for (let turn = 0; turn < 8; turn += 1) {
      await undefined;
      world.clock.advance(0);
      for (let settling = 0; settling < 8; settling += 1) await undefined;
    }
    await taken;
    expect(world.report.lines).toHaveLength(LIMITS.outputLinesBurst);
    world.clock.advance(1_000);
    world.spawner.last(T1).write('stdout', 'two\n');
    expect(world.report.events.at(-1)).toEqual({ type: 'output_dropped', taskId: T1, data: { lines: 50, cut: 0 } });
  });
});

describe('a token', () => {
  test('opens the door for its task and its generation alone', () => {
    world.settled({ backoff: { initial_ms: 0 }, heartbeat_interval: 2_000 });
    const first = world.spawner.last(T1).token;
    expect(first).toMatch(/^snw_/);
    expect(world.supervisor.authenticate(T1, first)).toEqual({
      ok: true,
      instance: 1,
      generation: 1,
      heartbeatMs: 2_000,
    });
    expect(world.supervisor.authenticate('t2', first)).toEqual({ ok: false });
    expect(world.supervisor.authenticate(T1, `${first}x`)).toEqual({ ok: false });
    world.spawner.last(T1).end({ code: 1, signal: null });
    expect(world.supervisor.authenticate(T1, first)).toEqual({ ok: false });
    expect(world.supervisor.authenticate(T1, world.spawner.last(T1).token)).toMatchObject({ ok: true, generation: 2 });
  });

  test('of an older generation gives its channels no weight', () => {
    world.settled({ backoff: { initial_ms: 0 } });
    world.spawner.last(T1).end({ code: 1, signal: null });
    world.clock.advance(0);
    world.supervisor.channelUp(T1, 'late', { instance: 1, generation: 1 });
    world.supervisor.channelUp(T1, 'stranger');
    expect(world.status).toMatchObject({ state: 'starting', channels: 0 });
  });
});

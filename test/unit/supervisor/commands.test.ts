import { beforeEach, describe, expect, test } from 'vitest';
import { Supervised } from '../../fixtures/supervised.js';
import { netRecordOf, recordOf, T1 } from '../../fixtures/supervisor-world.js';

let world: Supervised;

beforeEach(() => {
  world = new Supervised();
});

describe('commands', () => {
  test('a running task takes the same record, and no other', () => {
    world.ready();
    world.supervisor.start(recordOf());
    expect(world.spawner.all).toHaveLength(1);
    expect(() => world.supervisor.start(recordOf({ start_params: 'other' }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_TASK_EXISTS' }),
    );
  });

  test('a stopped task starts with another record', async () => {
    world.ready();
    const stopped = world.supervisor.stop(T1);
    world.clock.advance(0);
    await stopped;
    world.supervisor.start(recordOf({ start_params: 'other' }));
    expect(world.supervisor.record(T1)?.startParams).toBe('other');
    expect(world.status).toMatchObject({ state: 'starting', generation: 2 });
  });

  test('a start during a stop: the stop is answered when the process is gone, then it starts', async () => {
    world.spawner.behaviour = () => ({ diesMs: 500 });
    world.ready();
    const stopped = world.supervisor.stop(T1);
    world.supervisor.start(recordOf({ start_params: 'other' }));
    world.clock.advance(499);
    expect(world.spawner.all).toHaveLength(1);
    world.clock.advance(1);
    await stopped;
    expect(world.spawner.all).toHaveLength(2);
  });

  test('a stop during a backoff is answered at once and nothing starts', async () => {
    world.ready();
    world.spawner.last(T1).end({ code: 1, signal: null });
    await world.supervisor.stop(T1);
    world.clock.advance(600_000);
    expect(world.spawner.all).toHaveLength(1);
    expect(world.status).toMatchObject({ state: 'stopped', accepting: false });
  });

  test('a restart is answered when the next process was spawned', async () => {
    world.ready();
    const restarted = world.supervisor.restart(T1);
    expect(world.status).toMatchObject({ state: 'stopping', cause: 'command' });
    world.clock.advance(0);
    await restarted;
    expect(world.status).toMatchObject({ state: 'starting', generation: 2, restarts: { command: 1 } });
  });

  test('a restart that a stop overtakes is told so', async () => {
    world.ready();
    const restarted = expect(world.supervisor.restart(T1)).rejects.toMatchObject({ code: 'SN_ERR_SUPERSEDED' });
    const stopped = world.supervisor.stop(T1);
    world.clock.advance(0);
    await Promise.all([restarted, stopped]);
    expect(world.spawner.all).toHaveLength(1);
  });

  test('who has an answer finds the state that belongs to it', async () => {
    world.ready();
    const seen = world.supervisor.stop(T1).then(() => world.report.states.at(-1)?.state);
    world.clock.advance(0);
    expect(await seen).toBe('stopped');
  });

  test('a start during a removal creates the task anew', async () => {
    world.ready();
    const removed = world.supervisor.remove(T1);
    world.supervisor.start(recordOf({ start_params: 'other' }));
    world.clock.advance(0);
    await removed;
    expect(world.report.removedTasks).toEqual([T1]);
    expect(world.status).toMatchObject({ generation: 1 });
    expect(world.spawner.all).toHaveLength(2);
  });

  test('unknown tasks, too many tasks and signals to nobody are refused by name', async () => {
    world = new Supervised({ tasksMax: 1 });
    await expect(world.supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
    world.supervisor.start(recordOf());
    expect(() => world.supervisor.signal(T1, 'SIGUSR1')).toThrow(
      expect.objectContaining({ code: 'SN_ERR_NOT_RUNNING' }),
    );
    expect(() => world.supervisor.start(recordOf({ task_id: 't2' }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_LIMIT' }),
    );
    expect(() => world.supervisor.declare(netRecordOf('t3'))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_LIMIT' }),
    );
  });

  test('after the shutdown every command is refused, and no token opens a door', async () => {
    world.spawner.behaviour = () => ({ endsOn: 'nothing' });
    world.ready({ second_sig_duration: 1_000 });
    const { token } = world.spawner.last(T1);
    const down = world.supervisor.shutdown();
    world.clock.advance(6_000);
    await down;
    world.spawner.last(T1).end({ code: null, signal: 'SIGKILL' });
    for (const command of ['stop', 'restart', 'remove'] as const) {
      await expect(world.supervisor[command](T1)).rejects.toMatchObject({ code: 'SN_ERR_CLOSING' });
    }
    expect(world.supervisor.authenticate(T1, token)).toEqual({ ok: false });
    expect(world.journal.living.size).toBe(0);
  });

  test('shutdown stops all workers at once, and waits for the slowest no longer than its time and the grace', async () => {
    world.spawner.behaviour = () => ({ endsOn: 'nothing' });
    world.supervisor.start(recordOf({ second_sig_duration: 1_000 }));
    world.clock.advance(0);
    let done = false;
    const down = world.supervisor.shutdown().then(() => {
      done = true;
    });
    const waiting = expect(world.supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_CLOSING' });
    world.clock.advance(5_999);
    await Promise.resolve();
    expect(done).toBe(false);
    world.clock.advance(1);
    await Promise.all([down, waiting]);
    expect(world.spawner.last(T1).signals).toEqual(['SIGTERM', 'SIGKILL']);
    expect(world.clock.pending).toBe(0);
    expect(() => world.supervisor.start(recordOf())).toThrow(expect.objectContaining({ code: 'SN_ERR_CLOSING' }));
  });
});

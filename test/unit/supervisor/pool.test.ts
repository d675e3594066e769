import { beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import type { FakeProcess } from '../../fixtures/fake-spawner.js';
import { Supervised } from '../../fixtures/supervised.js';
import { recordOf, T1 } from '../../fixtures/supervisor-world.js';

let world: Supervised;

beforeEach(() => {
  world = new Supervised();
});

const wire = { instances: 3, ready: 'spawn', backoff: { jitter: 0 } } as const;
const states = () => world.status.workers.map(({ state }) => state);

function worker(instance: number): FakeProcess {
  const found = world.spawner.living(T1).find((one) => one.instance === instance);
  if (found === undefined) throw new Error(`worker ${instance} does not run`);
  return found;
}

describe('a pool', () => {
  test('has a process, a token and a generation for each of its workers', () => {
    world.start(wire);
    expect(world.spawner.living(T1).map(({ instance, generation }) => [instance, generation])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
    expect(new Set(world.spawner.all.map(({ token }) => token)).size).toBe(3);
    expect(world.supervisor.authenticate(T1, worker(2).token)).toMatchObject({ ok: true, instance: 2, generation: 1 });
  });

  test('is ready as long as one of its workers is, and sums up the others', () => {
    world.start(wire);
    world.connect('c1', worker(1));
    world.clock.advance(LIMITS.shortRunMs);
    worker(2).end({ code: 3, signal: null });
    expect(states()).toEqual(['ready', 'backoff', 'ready']);
    expect(world.status).toMatchObject({ state: 'ready', restarts: { exit: 1 }, exitCode: 3, channels: 1 });
    worker(1).end({ code: null, signal: 'SIGSEGV' });
    worker(3).end({ code: 3, signal: null });
    expect(world.status).toMatchObject({ state: 'backoff', restarts: { exit: 2, signal: 1 }, accepting: true });
    expect(world.status.nextStartAtMs).toBe(world.clock.wallNow() + 1_000);
    expect(world.status.pid).toBeUndefined();
  });

  test('names the worker in its events', () => {
    world.start(wire);
    worker(2).end({ code: 3, signal: null });
    expect(world.report.events.at(-1)).toMatchObject({ type: 'restarting', data: { worker_id: 't1~2', exit_code: 3 } });
  });

  test('answers a stop when the last of its processes is gone', async () => {
    world.spawner.behaviour = ({ env }) => ({ diesMs: Number(env.SN_INSTANCE) * 100 });
    world.start(wire);
    let done = false;
    const stopped = world.supervisor.stop(T1).then(() => {
      done = true;
    });
    world.clock.advance(299);
    await Promise.resolve();
    expect(done).toBe(false);
    expect(world.status.state).toBe('stopping');
    world.clock.advance(1);
    await stopped;
    expect(world.status).toMatchObject({ state: 'stopped', accepting: false });
  });

  test('answers a restart when every worker was started again', async () => {
    world.spawner.behaviour = ({ env }) => ({ diesMs: Number(env.SN_INSTANCE) * 100 });
    world.start(wire);
    let done = false;
    const restarted = world.supervisor.restart(T1).then(() => {
      done = true;
    });
    world.clock.advance(299);
    await Promise.resolve();
    expect(done).toBe(false);
    world.clock.advance(1);
    await restarted;
    expect(world.spawner.living(T1).map(({ generation }) => generation)).toEqual([2, 2, 2]);
  });

  test('is forgotten when the last of its workers is gone, once', async () => {
    world.spawner.behaviour = ({ env }) => ({ diesMs: Number(env.SN_INSTANCE) * 100 });
    world.start(wire);
    const removed = world.supervisor.remove(T1);
    world.clock.advance(200);
    expect(states()).toEqual(['stopping']);
    world.supervisor.start(recordOf({ ...wire, instances: 2 }));
    expect(world.spawner.living(T1)).toHaveLength(1);
    world.clock.advance(100);
    await removed;
    expect(world.report.removedTasks).toEqual([T1]);
    expect(world.spawner.living(T1).map(({ instance, generation }) => [instance, generation])).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });

  test('changes its size only at rest', async () => {
    world.start(wire);
    const smaller = recordOf({ ...wire, instances: 2 });
    const refusal = expect.objectContaining({ code: 'SN_ERR_TASK_EXISTS' });
    expect(() => world.supervisor.start(smaller)).toThrow(refusal);
    const stopped = world.supervisor.stop(T1);
    expect(() => world.supervisor.start(smaller)).toThrow(refusal);
    world.clock.advance(0);
    await stopped;
    world.supervisor.start(smaller);
    expect(states()).toEqual(['starting', 'starting']);
    expect(world.spawner.living(T1)).toHaveLength(2);
  });

  test('starts those again that rest, and leaves the others alone', () => {
    world.start({ ...wire, restart: 'never' });
    worker(2).end({ code: 1, signal: null });
    expect(states()).toEqual(['ready', 'failed', 'ready']);
    world.supervisor.start(recordOf({ ...wire, restart: 'never' }));
    expect(world.spawner.living(T1).map(({ instance }) => instance)).toEqual([1, 3, 2]);
  });

  test('counts each worker for the most tasks there may be', () => {
    world = new Supervised({ tasksMax: 4 });
    world.start(wire);
    expect(() => world.supervisor.start(recordOf({ task_id: 't2', instances: 2 }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_LIMIT' }),
    );
    world.supervisor.start(recordOf({ task_id: 't3' }));
  });
});

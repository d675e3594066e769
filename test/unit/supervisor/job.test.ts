import { beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { Job } from '../../../src/supervisor/job.js';
import { Supervised } from '../../fixtures/supervised.js';
import { recordOf, T1 } from '../../fixtures/supervisor-world.js';

const EVERY_MS = 1_000;

describe('the grid of a job', () => {
  /** Runs from `beganMs` to `endedMs` in turn; how long each waits for the next, and what was missed. */
  function waits(...runs: readonly (readonly [beganMs: number, endedMs: number])[]) {
    const job = new Job();
    const ms = runs.map(([beganMs, endedMs], at) => {
      job.begin(beganMs, EVERY_MS, at > 0);
      return job.untilNext(endedMs, EVERY_MS);
    });
    return { ms, missed: job.status().missedRuns, runs: job.status().runs };
  }

  test('begins with the first start, wherever the clock stands', () => {
    expect(waits([123, 423], [1_123, 1_124])).toEqual({ ms: [700, 999], missed: 0, runs: 2 });
  });

  test('is kept although each start is a little late', () => {
    expect(waits([0, 100], [1_003, 1_100], [2_250, 2_300]).ms).toEqual([900, 900, 700]);
  });

  test('has a place missed that the run before is still in, and one that it ends at', () => {
    expect(waits([0, 1_500])).toEqual({ ms: [500], missed: 1, runs: 1 });
    expect(waits([0, 1_000])).toEqual({ ms: [1_000], missed: 1, runs: 1 });
    expect(waits([0, 999])).toEqual({ ms: [1], missed: 0, runs: 1 });
  });

  test('has every place counted that a long run or a late timer passed over', () => {
    expect(waits([0, 5_500], [6_000, 6_100])).toEqual({ ms: [500, 900], missed: 5, runs: 2 });
    expect(waits([0, 100], [3_200, 3_300])).toEqual({ ms: [900, 700], missed: 2, runs: 2 });
  });

  test('counts a start that came early for its own place, and never starts two in one', () => {
    expect(waits([0, 100], [999.6, 999.8])).toMatchObject({ missed: 0, runs: 2 });
    expect(waits([0, 100], [999.6, 999.8]).ms[1]).toBeCloseTo(1_000.2);
  });
});

describe('a task with exec_interval', () => {
  let world: Supervised;
  const wire = { exec_interval: EVERY_MS } as const;
  const job = () => world.status.workers[0]?.job;

  beforeEach(() => {
    world = new Supervised();
  });

  /** A process that ends after so long. */
  function runsFor(runsMs: number, code = 0): void {
    world.spawner.behaviour = () => ({ runsMs, exit: { code, signal: null } });
  }

  test('runs at its start and then at each place, and stays ready between', () => {
    runsFor(300);
    world.start(wire);
    world.clock.advance(3_500);
    expect(world.spawner.all.map((one) => one.spawnedAtMs)).toEqual([0, 1_000, 2_000, 3_000]);
    expect(world.report.path()).toEqual(['starting', 'ready']);
    expect(world.eventTypes).toEqual(['started', 'ready']);
    expect(job()).toMatchObject({ runs: 4, runsFailed: 0, missedRuns: 0, nextRunAtMs: world.clock.wallNow() + 500 });
  });

  test('never runs twice at once, and counts what it missed', () => {
    runsFor(1_500);
    world.start(wire);
    world.clock.advance(4_100);
    expect(world.spawner.all.map((one) => one.spawnedAtMs)).toEqual([0, 2_000, 4_000]);
    expect(job()).toMatchObject({ runs: 3, missedRuns: 2 });
    expect(job()?.nextRunAtMs).toBeUndefined();
  });

  test('tells of a run that failed, and runs on', () => {
    runsFor(100, 3);
    world.start({ ...wire, restart: 'never' });
    world.spawner.last(T1).write('stderr', 'no camera\n');
    world.clock.advance(200);
    expect(world.report.events.at(-1)).toMatchObject({
      type: 'run_failed',
      data: { cause: 'exit', exit_code: 3, stderr: ['no camera'] },
    });
    expect(world.status).toMatchObject({ state: 'ready', restarts: {} });
    expect(job()).toMatchObject({ runsFailed: 1, lastRun: { exitCode: 3, cause: 'exit', durationMs: 100 } });
    world.clock.advance(1_000);
    expect(world.spawner.all).toHaveLength(2);
  });

  test('is given up after max_restarts failures in a row, with no next run in sight', () => {
    runsFor(100, 3);
    world.start({ ...wire, max_restarts: 1 });
    world.clock.advance(5_000);
    expect(world.status.state).toBe('failed');
    expect(job()).toMatchObject({ runs: 2, runsFailed: 2 });
    expect(job()?.nextRunAtMs).toBeUndefined();
    expect(world.clock.pending).toBe(0);
  });

  test('ends a run that takes too long', () => {
    world.start({ ...wire, exec_timeout_ms: 400 });
    world.clock.advance(400);
    expect(world.spawner.last(T1).signals).toEqual(['SIGTERM']);
    world.clock.advance(0);
    expect(job()).toMatchObject({ lastRun: { cause: 'exec_timeout', signal: 'SIGTERM', durationMs: 400 } });
  });

  test('shows the last lines of its last run, also those that come after its end', () => {
    world.spawner.behaviour = () => ({ runsMs: 100, pipesHeldMs: 50 });
    world.start(wire);
    const process = world.spawner.last(T1);
    process.write('stdout', Array.from({ length: 30 }, (_, at) => `line ${at}\n`).join(''));
    world.clock.advance(120);
    process.write('stdout', 'after\nand the rest');
    world.clock.advance(50);
    const stdout = job()?.lastRun?.stdout ?? [];
    expect(stdout).toHaveLength(LIMITS.runOutputLines);
    expect(stdout.slice(-3)).toEqual(['line 29', 'after', 'and the rest']);
  });

  test('begins a new grid with a restart, and none while it is stopped', async () => {
    runsFor(100);
    world.start(wire);
    world.clock.advance(1_250);
    const restarted = world.supervisor.restart(T1);
    world.clock.advance(0);
    await restarted;
    world.clock.advance(1_000);
    expect(world.spawner.all.map((one) => one.spawnedAtMs)).toEqual([0, 1_000, 1_250, 2_250]);
    world.clock.advance(500);
    await world.supervisor.stop(T1);
    expect(job()?.nextRunAtMs).toBeUndefined();
    world.clock.advance(60_000);
    expect(world.spawner.all).toHaveLength(4);
    expect(world.clock.pending).toBe(0);
  });

  test('is left alone by a start between two runs', () => {
    runsFor(100);
    world.start(wire);
    world.clock.advance(500);
    world.supervisor.start(recordOf(wire));
    world.clock.advance(0);
    expect(world.spawner.all).toHaveLength(1);
  });

  test('shows no runs any more once it starts with a record that is no job', async () => {
    runsFor(100);
    world.start(wire);
    world.clock.advance(200);
    await world.supervisor.stop(T1);
    world.start({ ready: 'spawn' });
    expect(job()).toBeUndefined();
  });
});

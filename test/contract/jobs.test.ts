import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NODE_KINDS } from '../fixtures/nodes.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';

/** Programs that are run now and then: `exec_interval`. */

describe.concurrent.each(NODE_KINDS)('a job of a node as %s', (kind) => {
  let world: ShellWorld;
  let dir: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sn-jobs-'));
    world = await ShellWorld.open(kind, { nothing: { command: ['/no/such/program'] } });
  });
  afterAll(async () => {
    await world.close();
    rmSync(dir, { recursive: true });
  });

  const runs = (task: string, count: number) => world.app.untilStat(task, (stat) => stat.runs >= count);
  const between = (task: string, count: number) =>
    world.app.untilStat(task, (stat) => stat.runs >= count && stat.next_run_ts !== undefined);

  test('runs at the start and then at each place of its grid, never more often', async () => {
    const beganMs = performance.now();
    const task = await world.run('echo "run $SN_GENERATION"', { exec_interval: 200, stdout: 'data' });
    const entries = await world.take(task, 6);
    const stat = await world.stat(task);
    const windowMs = performance.now() - beganMs;
    expect(entries.map(({ payload }) => payload)).toEqual([1, 2, 3, 4, 5, 6].map((n) => `run ${n}`));
    expect(stat.runs + stat.missed_runs).toBeLessThanOrEqual(Math.floor(windowMs / 200) + 2);
    expect(stat).toMatchObject({ state: 'ready', runs_failed: 0, restarts_total: 0 });
    const { last_run, next_run_ts } = await between(task, 6);
    expect(last_run).toMatchObject({ exit_code: 0, signal: null, stderr: [] });
    expect(last_run.stdout).toEqual([expect.stringMatching(/^run \d+$/)]);
    expect(next_run_ts).toBeGreaterThan(last_run.started_ts);
    expect(last_run.cause).toBeUndefined();
    await world.cmd('remove', task);
  });

  test('does not run again before its interval is over', async () => {
    const task = await world.run('echo once', { exec_interval: 3_600_000, stdout: 'data' });
    const { next_run_ts, last_run } = await between(task, 1);
    expect(Math.abs(next_run_ts - last_run.started_ts - 3_600_000)).toBeLessThan(5_000);
    expect(await world.stat(task)).toMatchObject({ state: 'ready', runs: 1, queue: { seq: 1 } });
    await world.cmd('remove', task);
  });

  test('never overlaps itself: a run that takes longer misses places', async () => {
    const lock = join(dir, 'lock');
    const script = `mkdir ${lock} || exit 9; sleep 0.35; rmdir ${lock}`;
    const task = await world.run(script, { exec_interval: 100 });
    const { missed_runs, runs_failed } = await runs(task, 4);
    // Three places at least pass under each of the three runs that are over.
    expect(missed_runs).toBeGreaterThanOrEqual(9);
    expect(runs_failed).toBe(0);
    await world.cmd('remove', task);
  });

  test('has its own timeout, and the next run comes in its time', async () => {
    const script = 'echo begun; [ $SN_GENERATION -gt 1 ] || exec sleep 1000';
    const task = await world.run(script, { exec_interval: 500, exec_timeout_ms: 200 });
    const { data } = await world.witness.untilEvent(task, 'run_failed');
    expect(data).toMatchObject({ cause: 'exec_timeout', exit_code: null, signal: 'SIGTERM' });
    expect(data.next_start_ts).toBeUndefined();
    const stat = await world.app.untilStat(task, ({ last_run }) => last_run?.exit_code === 0);
    expect(stat).toMatchObject({ state: 'ready', last_run: { stdout: ['begun'] } });
    expect(stat.last_run.cause).toBeUndefined();
    expect(stat.runs_failed).toBeGreaterThanOrEqual(1);
    expect(world.witness.states(task).map(({ state }) => state)).not.toContain('backoff');
    await world.cmd('remove', task);
  });

  test('keeps what the last run said and why it failed', async () => {
    const script = 'for i in $(seq 1 30); do echo "out $i"; done; echo broken >&2; exit 3';
    const task = await world.run(script, { exec_interval: 3_600_000 });
    const { last_run, ...stat } = await between(task, 1);
    expect(stat).toMatchObject({ state: 'ready', runs: 1, runs_failed: 1, missed_runs: 0, cause: 'exit' });
    expect(last_run).toEqual({
      started_ts: expect.any(Number),
      duration_ms: expect.any(Number),
      exit_code: 3,
      signal: null,
      cause: 'exit',
      stdout: Array.from({ length: 20 }, (_, at) => `out ${at + 11}`),
      stderr: ['broken'],
    });
    const { data } = await world.witness.untilEvent(task, 'run_failed');
    expect(data).toMatchObject({ cause: 'exit', exit_code: 3, signal: null, stderr: ['broken'] });
    await world.cmd('remove', task);
  });

  test('that cannot be started is a failed run, also for restart: never', async () => {
    const task = await world.start('nothing', { exec_interval: 100, restart: 'never' });
    const stat = await between(task, 3);
    expect(stat).toMatchObject({ state: 'ready', cause: 'spawn_error', restarts_total: 0 });
    expect(stat.runs_failed).toBeGreaterThanOrEqual(2);
    const { data } = await world.witness.untilEvent(task, 'run_failed');
    expect(data).toEqual({ cause: 'spawn_error', error: expect.stringContaining('ENOENT') });
    await world.cmd('remove', task);
  });

  test('is given up after max_restarts failures in a row, which a good run ends', async () => {
    const script = '[ $SN_GENERATION = 2 ] && exit 0; exit 1';
    const task = await world.run(script, { exec_interval: 100, max_restarts: 2 });
    const stat = await world.app.untilState(task, 'failed');
    expect(stat).toMatchObject({ runs: 5, runs_failed: 4, generation: 5, cause: 'exit' });
    expect(stat.next_run_ts).toBeUndefined();
    expect((await world.witness.untilEvent(task, 'failed')).data).toMatchObject({ cause: 'exit', exit_code: 1 });
    await world.cmd('remove', task);
  });

  test('stops between two runs and in the midst of one, and begins a new grid when it starts', async () => {
    const script = '[ $SN_GENERATION = 1 ] || exec sleep 1000';
    const record = { worker: 'sh', start_params: script, exec_interval: 3_600_000 };
    const task = await world.run(script, { exec_interval: 3_600_000 });
    await between(task, 1);
    expect((await world.cmd('stop', task)).status).toBe('ok');
    const stopped = await world.stat(task);
    expect(stopped.state).toBe('stopped');
    expect(stopped.next_run_ts).toBeUndefined();
    expect((await world.cmd('start', task, record)).status).toBe('ok');
    await world.app.untilStat(task, ({ pid, generation }) => pid !== undefined && generation === 2);
    expect((await world.cmd('stop', task)).status).toBe('ok');
    expect(world.pidsOf(task)).toEqual([]);
    expect(await world.stat(task)).toMatchObject({ state: 'stopped', runs: 2 });
    await world.cmd('remove', task);
  });
});

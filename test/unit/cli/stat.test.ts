import { describe, expect, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

const cam1 = {
  task_id: 'cam1',
  state: 'ready',
  kind: 'child',
  pid: 4711,
  generation: 3,
  restarts: { exit: 1, heartbeat: 1 },
  restarts_total: 2,
  uptime_ms: 61_000,
  channels: [{ client_id: 'cam1-3-ab', address: '127.0.0.1:5000', keepalive_s: 10, last_seen_ms: 12 }],
  queue: { length: 7, bytes: 2_048, seq: 99, dropped: 4, epoch: 'Zk3v' },
};

describe('stat', () => {
  test('shows the node and a table of its tasks', async () => {
    const tasks = [cam1, { task_id: 'meter', state: 'lost', kind: 'net', channels: [] }];
    const { url } = await nodeThat(() => ok({ name: 'edge-1', version: '0.1.0', uptime_ms: 5_000, tasks }));
    const run = cli(['stat', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe(
      [
        'edge-1 0.1.0, up 5.0s, 2 tasks',
        'TASK   STATE   PID  GEN  RESTARTS  UPTIME  QUEUE  DROPPED  CHANNELS',
        'cam1   ready  4711    3         2   1m 1s      7        4         1',
        'meter  lost      -    -         0       -      0        0         0',
        '',
      ].join('\n'),
    );
  });

  test('fits into 80 columns and cannot be made to send escape sequences', async () => {
    const hostile = { ...cam1, task_id: `t${'x'.repeat(63)}`, state: '\u001b[2Jgone' };
    const { url } = await nodeThat(() => ok({ name: '\u001b]0;x\u0007', tasks: [hostile] }));
    const run = cli(['stat', '--url', url], { terminal: { columns: 80, rows: 24 }, env: { NO_COLOR: '1' } });
    expect(await run.ended).toBe(0);
    expect(run.stdout()).not.toContain('\u001b');
    for (const line of run.stdout().split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('shows one task with its record', async () => {
    const { url, requests } = await nodeThat(() =>
      ok({ ...cam1, next_start_ts: 1_767_225_600_000, record: { worker: 'camera', env: ['PIN'] } }),
    );
    const run = cli(['stat', 'cam1', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(requests[0]?.topic).toBe('m/stat/cam1');
    for (const part of [
      /^cam1 {2}ready$/m,
      /restarts +exit 1, heartbeat 1$/m,
      /uptime_ms +1m 1s$/m,
      /next_start_ts +2026-01-01T00:00:00\.000Z$/m,
      /queue +7 entries, 2\.0 KiB, 4 dropped, last seq 99, epoch Zk3v$/m,
      /channels +cam1-3-ab from 127\.0\.0\.1:5000, keepalive 10s, seen 0\.0s ago$/m,
      /worker +camera$/m,
    ]) {
      expect(run.stdout()).toMatch(part);
    }
  });

  test('shows the workers of a pool as a table', async () => {
    const worker = { state: 'ready', generation: 1, channels: 1, calls: 2, cpu_percent: 12.34, rss_kb: 2_048 };
    const workers = [
      { worker_id: 'llm~1', pid: 10, restarts: 0, ...worker },
      {
        worker_id: 'llm~2',
        state: 'backoff',
        generation: 3,
        restarts: 2,
        cause: 'oom',
        exit_code: null,
        signal: 'SIGKILL',
        next_start_ts: 1_767_225_600_000,
      },
      { worker_id: 'llm~3', state: 'failed', restarts: { exit: 5 }, cause: 'exit', exit_code: 3, signal: null },
    ];
    const { url } = await nodeThat(() => ok({ task_id: 'llm', state: 'ready', instances: 3, workers }));
    const run = cli(['stat', 'llm', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe(
      [
        'llm  ready',
        '  instances  3',
        '',
        'workers',
        '  WORKER  STATE    PID  GEN  RESTARTS  CPU%      MEM  CHANNELS  CALLS  LAST END',
        '  llm~1   ready     10    1         0  12.3  2.0 MiB         1      2  -',
        '  llm~2   backoff    -    3         2     -        -         -      -  oom, SIGKILL, next start 2026-01-01T00:00:00.000Z',
        '  llm~3   failed     -    -         5     -        -         -      -  exit, exit code 3',
        '',
      ].join('\n'),
    );
  });

  test('shows the runs of a job, the output of the last one a line each', async () => {
    const last_run = {
      started_ts: 1_767_225_600_000,
      duration_ms: 1_250,
      exit_code: 1,
      signal: null,
      stdout: ['a', 'b\u001b'],
      stderr: [],
    };
    const job = { runs: 3, runs_failed: 1, missed_runs: 0, next_run_ts: 1_767_225_660_000, last_run };
    const figures = { cpu_percent: 1, rss_kb: 1_024, children: 2, last_seen_ms: 300, stderr: ['no', 'way'] };
    const { url } = await nodeThat(() => ok({ task_id: 'job', state: 'ready', ...job, ...figures }));
    const run = cli(['stat', 'job', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe(
      [
        'job  ready',
        '  runs          3',
        '  runs_failed   1',
        '  missed_runs   0',
        '  next_run_ts   2026-01-01T00:01:00.000Z',
        '  cpu_percent   1.0 %',
        '  rss_kb        1.0 MiB',
        '  children      2',
        '  last_seen_ms  0.3s ago',
        '  stderr        no',
        '                way',
        '',
        'last run',
        '  started_ts   2026-01-01T00:00:00.000Z',
        '  duration_ms  1.2s',
        '  exit_code    1',
        '  stdout       a',
        '               b',
        '',
      ].join('\n'),
    );
  });

  test('--watch draws in place and leaves the terminal as it was', async () => {
    const { url, requests } = await nodeThat(() => ok({ tasks: [cam1] }));
    const run = cli(['stat', '--watch', '0.2', '--url', url], { terminal: { columns: 80, rows: 24 } });
    await vi.waitFor(() => expect(requests.length).toBeGreaterThan(2));
    run.interrupt();
    expect(await run.ended).toBe(130);
    expect(run.stdout().startsWith('\u001b[?1049h\u001b[?25l\u001b[H')).toBe(true);
    expect(run.stdout().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
    expect(run.stdout().split('\u001b[H').length).toBeGreaterThan(2);
  });

  test('--watch leaves the terminal as it was when the node goes', async () => {
    const { url, drop, requests } = await nodeThat(() => ok({ tasks: [] }));
    const run = cli(['stat', '--watch', '60', '--url', url], { terminal: { columns: 80, rows: 3 } });
    await vi.waitFor(() => expect(requests).toHaveLength(1));
    drop();
    expect(await run.ended).toBe(3);
    expect(run.stdout().endsWith('\u001b[?1049l')).toBe(true);
  });
});

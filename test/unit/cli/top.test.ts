import { describe, expect, test, vi } from 'vitest';
import { inOrder, SORT_KEYS } from '../../../src/cli/task-order.js';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

const cam1 = {
  task_id: 'cam1',
  state: 'ready',
  kind: 'process',
  pid: 4711,
  restarts_total: 2,
  cpu_percent: 3.21,
  rss_kb: 20_480,
  children: 2,
  last_seen_ms: 312,
  queue: { length: 7, dropped: 4 },
};
const llm = {
  task_id: 'llm',
  state: 'ready',
  kind: 'process',
  instances: 2,
  restarts_total: 1,
  cpu_percent: 151,
  rss_kb: 1_048_576,
  children: 2,
  last_seen_ms: 61_000,
  queue: { length: 0, dropped: 0 },
  workers: [
    { worker_id: 'llm~1', state: 'ready', pid: 4712, restarts: 0, cpu_percent: 151, rss_kb: 1_048_576 },
    { worker_id: 'llm~2', state: 'backoff', restarts: { exit: 1 } },
  ],
};
const old = { task_id: 'old', state: 'lost', kind: 'net' };
const node = {
  name: 'edge-1',
  version: '0.2.0',
  uptime_ms: 3_600_000,
  connections: 3,
  queue_bytes: 2_048,
  events: { ready: 3, restarting: 1 },
  tasks: [llm, old, cam1],
};
const terminal = { columns: 80, rows: 24 };
const env = { NO_COLOR: '1' };
const LEAVE = '\u001b[?25h\u001b[?1049l';

/** What stood on the screen last. */
function screenOf(stdout: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return (stdout.split('\u001b[H').at(-1) ?? '').replaceAll(/\u001b\[[?\d;]*[A-Za-z]/g, '').split('\r\n');
}

function tasksOn(stdout: string): string[] {
  return screenOf(stdout).flatMap((line) => /^(cam1|llm|old) /.exec(line)?.[1] ?? []);
}

async function topOn(answer: () => unknown, argv: string[] = ['--interval', '60']) {
  const fake = await nodeThat(() => ok(answer()));
  const run = cli(['top', ...argv, '--url', fake.url], { terminal, env });
  await vi.waitFor(() => expect(run.stdout()).toContain('q quit'));
  return { ...fake, run };
}

describe('top', () => {
  test('--once prints the node and its tasks, workers below their pool, and what is not told as -', async () => {
    const { url } = await nodeThat(() => ok(node));
    const run = cli(['top', '--once', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe(
      [
        'edge-1 0.2.0, up 1h 0m, 3 connections',
        'tasks    3: ready 2, lost 1',
        'workers  4 children, cpu 154.2 %, memory 1.0 GiB, queues 2.0 KiB',
        'events   4: ready 3, restarting 1',
        '',
        'TASK     STATE      PID  RESTARTS   CPU%     MEM  QUEUE  DROPPED   SEEN',
        'cam1     ready     4711         2    3.2   20.0M      7        4   0.3s',
        'llm      ready        -         1  151.0    1.0G      0        0  1m 1s',
        '  llm~1  ready     4712         0  151.0    1.0G                       ',
        '  llm~2  backoff      -         1      -       -                       ',
        'old      lost         -         -      -       -      -        -      -',
        '',
      ].join('\n'),
    );
  });

  test('a node that tells nothing of all this is shown all the same', async () => {
    const { url } = await nodeThat(() => ok({ tasks: [old] }));
    const run = cli(['top', '--once', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout().split('\n').slice(0, 4)).toEqual([
      'super-node, up -, - connections',
      'tasks    1: lost 1',
      'workers  - children, cpu -, memory -, queues -',
      'events   -',
    ]);
  });

  test('cannot be made to send escape sequences, and fits into 80 columns', async () => {
    const hostile = { task_id: `t${'x'.repeat(80)}\u001b[2J`, state: '\u009bready', pid: '\u001b]0;x\u0007' };
    const events = { ['\u001b[31m'.repeat(40)]: 1 };
    const { url } = await nodeThat(() => ok({ name: '\u001b[2J', events, tasks: [hostile, llm] }));
    const run = cli(['top', '--once', '--url', url], { terminal, env });
    expect(await run.ended).toBe(0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(run.stdout()).not.toMatch(/[\u001b\u009b\u0007]/);
    for (const line of run.stdout().split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('--json prints one line for each look', async () => {
    const { url } = await nodeThat(() => ok(node));
    const run = cli(['top', '--json', '--interval', '0.2', '--url', url]);
    await vi.waitFor(() => expect(run.stdout().split('\n').length).toBeGreaterThan(2));
    run.interrupt();
    expect(await run.ended).toBe(130);
    for (const line of run.stdout().trim().split('\n')) expect(JSON.parse(line).data).toEqual(node);
  });

  test('--json --once prints one', async () => {
    const { url } = await nodeThat(() => ok(node));
    const run = cli(['top', '--json', '--once', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout().trim().split('\n')).toHaveLength(1);
  });

  test.each([[['top', '--sort', 'size']], [['top', '--interval', '0.1']], [['top', '--interval', 'often']]])(
    '%j is wrong usage',
    async (argv) => {
      expect(await cli(argv).ended).toBe(2);
    },
  );
});

describe('the screen of top', () => {
  test('has the keys at its bottom, also when there are more tasks than lines', async () => {
    const tasks = Array.from({ length: 40 }, (_, index) => ({ task_id: `t${index}`, state: 'ready' }));
    const { run } = await topOn(() => ({ ...node, tasks }));
    const lines = screenOf(run.stdout());
    expect(lines).toHaveLength(terminal.rows);
    expect(lines.at(-2)).toBe('… 24 more lines');
    expect(lines.at(-1)).toBe('q quit   sort by: [n name]  c cpu   m memory   r restarts   u queue');
    expect(run.stdout()).toContain(`\u001b[${terminal.rows};1H`);
    run.press('q');
    await run.ended;
  });

  test('keys change the order without another request', async () => {
    const { run, requests } = await topOn(() => node);
    expect(tasksOn(run.stdout())).toEqual(['cam1', 'llm', 'old']);
    for (const [key, order] of [
      ['c', ['llm', 'cam1', 'old']],
      ['u', ['cam1', 'llm', 'old']],
      ['M', ['llm', 'cam1', 'old']],
      ['r', ['cam1', 'llm', 'old']],
    ] as const) {
      run.press(key);
      await vi.waitFor(() => expect(screenOf(run.stdout()).at(-1)).toContain(`[${key.toLowerCase()} `));
      expect(tasksOn(run.stdout())).toEqual(order);
    }
    expect(requests).toHaveLength(1);
    run.press('q');
    await run.ended;
  });

  test('a key that means nothing changes nothing', async () => {
    const { run } = await topOn(() => node);
    const before = run.stdout();
    run.press('x7');
    run.press('q');
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe(before + LEAVE);
  });

  test('another size is drawn at once, and fits', async () => {
    const { run, requests } = await topOn(() => node);
    run.resize(40, 10);
    await vi.waitFor(() => expect(run.stdout()).toContain('\u001b[10;1H'));
    const lines = screenOf(run.stdout());
    expect(lines).toHaveLength(10);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
    expect(requests).toHaveLength(1);
    run.press('q');
    await run.ended;
  });

  test('without a keyboard there are no keys, and no line about them', async () => {
    const { url } = await nodeThat(() => ok(node));
    const run = cli(['top', '--url', url], { terminal, env, keys: false });
    await vi.waitFor(() => expect(run.stdout()).toContain('cam1'));
    expect(run.stdout()).not.toContain('q quit');
    run.interrupt();
    expect(await run.ended).toBe(130);
  });

  test('without a terminal one table follows the other', async () => {
    const { url } = await nodeThat(() => ok(node));
    const run = cli(['top', '--interval', '0.2', '--url', url]);
    await vi.waitFor(() => expect(run.stdout().split('edge-1').length).toBeGreaterThan(2));
    run.interrupt();
    expect(await run.ended).toBe(130);
    expect(run.stdout()).not.toContain('\u001b');
  });
});

describe('top leaves the terminal as it was', () => {
  test.each([
    ['q', 0],
    ['\u0003', 130],
  ])('after the key %j, with exit code %i', async (key, exitCode) => {
    const { run } = await topOn(() => node);
    expect(run.isRaw()).toBe(true);
    run.press(key);
    expect(await run.ended).toBe(exitCode);
    expect(run.isRaw()).toBe(false);
    expect(run.stdout().endsWith(LEAVE)).toBe(true);
    expect(run.stderr()).toBe('');
  });

  test('after SIGTERM', async () => {
    const { run } = await topOn(() => node);
    run.interrupt(143);
    expect(await run.ended).toBe(143);
    expect(run.isRaw()).toBe(false);
    expect(run.stdout().endsWith(LEAVE)).toBe(true);
  });

  test('when the node goes', async () => {
    const { run, drop } = await topOn(() => node);
    drop();
    expect(await run.ended).toBe(3);
    expect(run.isRaw()).toBe(false);
    expect(run.stdout().endsWith(LEAVE)).toBe(true);
    expect(run.stderr()).toContain('was lost');
  });

  test('when nothing can be written', async () => {
    const { url } = await nodeThat(() => ok(node));
    const run = cli(['top', '--url', url], { terminal, env, writeError: () => new Error('EIO') });
    expect(await run.ended).toBe(1);
    expect(run.isRaw()).toBe(false);
  });

  test('after a key while the node does not answer', async () => {
    const { url, requests } = await nodeThat(() => undefined);
    const run = cli(['top', '--url', url], { terminal, env });
    await vi.waitFor(() => expect(requests).toHaveLength(1));
    run.press('q');
    expect(await run.ended).toBe(0);
    expect(run.isRaw()).toBe(false);
  });
});

test('each order has the highest first, what has no figure last, and equal ones by name', () => {
  const tasks = [
    { task_id: 'cam10', cpu_percent: 1, rss_kb: 5, restarts_total: 0, queue: { length: 2 } },
    { task_id: 'net' },
    { task_id: 'cam2', cpu_percent: 1, rss_kb: 9, restarts_total: 3, queue: { length: 0 } },
  ];
  const orders = SORT_KEYS.map((by) => inOrder(tasks, by).map(({ task_id }) => task_id));
  expect(orders).toEqual([
    ['cam2', 'cam10', 'net'],
    ['cam2', 'cam10', 'net'],
    ['cam2', 'cam10', 'net'],
    ['cam2', 'cam10', 'net'],
    ['cam10', 'cam2', 'net'],
  ]);
});

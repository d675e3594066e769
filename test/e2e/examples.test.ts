import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import type { NodeConfig } from '../../src/app/super-node.js';
import { CLI, type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { requireOrSkip, SYSTEM_PYTHON } from '../fixtures/system.js';
import { waitFor } from '../fixtures/wait-for.js';

/** The config files below examples/, through the built command line, as the README shows them. */

const run = promisify(execFile);
const example = (path: string) => fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));

/** The config of an example on free ports. It moves, so what starts at its folder is said in full. */
function configOf(name: string): NodeConfig {
  const file = example(name);
  const { listeners: _, data_dir: __, ...config } = parse(readFileSync(file, 'utf8'));
  for (const worker of Object.values<{ cwd?: string }>(config.workers)) {
    if (worker.cwd !== undefined) worker.cwd = join(dirname(file), worker.cwd);
  }
  return config;
}

test.each(['generator.yaml', 'jobs.yaml', 'quickstart.yaml'])('%s is a valid config', async (name) => {
  const { stdout } = await run(process.execPath, [CLI, 'check', example(name)]);
  expect(stdout).not.toBe('');
});

describe('generator.yaml', () => {
  let node: DaemonProcess;
  let app: App;

  beforeAll(async () => {
    node = await startDaemonProcess(configOf('generator.yaml'));
    app = await connectApp(node.port);
    await app.untilStat('llm', ({ workers }) => workers.every(({ state }: { state: string }) => state === 'ready'));
    await app.untilState('calc', 'ready');
  });
  afterAll(async () => {
    expect(await node.end()).toBe(0);
  });

  const cli = async (...args: string[]): Promise<string> => {
    const { stdout } = await run(process.execPath, [CLI, ...args, '--url', `mqtt://127.0.0.1:${node.port}`]);
    return stdout;
  };
  const prompt = (fields: Record<string, unknown>) =>
    JSON.stringify({ prompt: 'The keeper', max_tokens: 40, delay_ms: 1, ...fields });
  const inFlight = (count: number) => app.untilStat('llm', ({ calls }) => (calls?.in_flight ?? 0) === count);

  test('the same seed gives the same text, another seed another one', async () => {
    const [once, again, other] = await Promise.all([2, 2, 3].map((seed) => cli('call', 'llm', prompt({ seed }))));
    expect(once?.trim().split(' ')).toHaveLength(40);
    expect(again).toBe(once);
    expect(other).not.toBe(once);
  });

  test('an answer is a stream of parts', async () => {
    const parts = (await cli('call', 'llm', prompt({ max_tokens: 5 }), '--json')).trim().split('\n');
    const data = parts.map((line) => JSON.parse(line).data);
    expect(data.map(({ part }) => part)).toEqual(data.map((_, at) => at + 1));
    expect(data.length).toBeGreaterThanOrEqual(5);
    expect(data.filter(({ last }) => last)).toEqual([data.at(-1)]);
    expect(
      data
        .map(({ payload }) => payload)
        .join('')
        .trim()
        .split(' '),
    ).toHaveLength(5);
  });

  test('what is no prompt is answered with an error', async () => {
    await expect(cli('call', 'llm', prompt({ seed: -1 }))).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('seed: expected an integer'),
    });
  });

  test('two calls at a time are served by two workers, and a caller that leaves cancels its own', async () => {
    const long = prompt({ max_tokens: 2_000, delay_ms: 100 });
    const url = ['--url', `mqtt://127.0.0.1:${node.port}`];
    const callers = [1, 2].map(() => spawn(process.execPath, [CLI, 'call', 'llm', long, ...url], { stdio: 'ignore' }));
    onTestFinished(() => {
      for (const caller of callers) caller.kill('SIGKILL');
    });
    const { workers } = await inFlight(2);
    expect(workers.map(({ calls }: { calls: number }) => calls)).toEqual([1, 1]);
    callers[0]?.kill('SIGINT');
    await inFlight(1);
    callers[1]?.kill('SIGKILL');
    await inFlight(0);
    expect(await app.untilState('llm', 'ready')).toMatchObject({ restarts_total: 0 });
  });

  test('a worker that dies under a call fails it at once, and the other one goes on', async () => {
    const failed = cli('call', 'llm', prompt({ max_tokens: 2_000, delay_ms: 100 }));
    failed.catch(() => undefined);
    const { workers } = await inFlight(1);
    const busy = workers.find(({ calls }: { calls: number }) => calls === 1);
    process.kill(busy.pid, 'SIGKILL');
    await expect(failed).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('SIGKILL') });
    expect(await cli('call', 'llm', prompt({ max_tokens: 3 }))).not.toBe('');
    await app.untilStat('llm', (stat) => stat.restarts.signal === 1 && stat.state === 'ready');
  });

  test('calc answers, in parts where it is asked for them, and leaves a line of its work as an entry', async () => {
    expect(await cli('call', 'calc', '2 * (3 + 4)')).toBe('14');
    expect(await cli('call', 'calc', '1 + 1; 2 * 3')).toBe('26');
    await expect(cli('call', 'calc', '1 / 0')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('division by zero'),
    });
    const entry = await waitFor(async () => (await app.ask('m/fetch/calc', { wait_ms: 1_000 })).data.entries[0]);
    expect(JSON.parse(entry.payload)).toEqual({ terms: ['2 * (3 + 4)'], results: ['14'] });
  });

  test.skipIf(requireOrSkip('paho'))('call.py is a caller in Python', async () => {
    const script = example('business/call.py');
    const call = (...args: string[]) => run(SYSTEM_PYTHON, [script, '--port', String(node.port), ...args]);
    const { stdout } = await call('--task', 'llm', prompt({ seed: 2 }));
    expect(stdout.trim()).toBe((await cli('call', 'llm', prompt({ seed: 2 }))).trim());
    expect((await call('--task', 'calc', '6 * 7')).stdout).toBe('42\n');
    await expect(call('--task', 'nobody', 'hello')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('SN_ERR_TASK_UNKNOWN'),
    });
  });
});

test('jobs.yaml: each run leaves its line in the queue', async () => {
  const node = await startDaemonProcess(configOf('jobs.yaml'));
  onTestFinished(async () => {
    await node.end();
  });
  const app = await connectApp(node.port);
  for (const [task, path] of [
    ['disk-root', '/'],
    ['disk-tmp', '/tmp'],
  ] as const) {
    const [entry] = (await app.ask(`m/fetch/${task}`, { wait_ms: 8_000 })).data.entries;
    expect(entry.payload).toMatch(/^\S+ +\d+ +\d+ +\d+ +\d+% +\/\S*$/);
    const mountPoint = entry.payload.split(/\s+/).at(-1);
    expect(`${path}/`.startsWith(mountPoint)).toBe(true);
    const stat = await app.untilStat(task, ({ next_run_ts }) => next_run_ts !== undefined);
    expect(stat).toMatchObject({ state: 'ready', runs: 1, runs_failed: 0, last_run: { stdout: [entry.payload] } });
    expect(stat.next_run_ts - stat.last_run.started_ts).toBeGreaterThan(50_000);
  }
});

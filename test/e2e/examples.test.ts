import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import type { NodeConfig } from '../../src/app/super-node.js';
import type { ListenerWire } from '../../src/core/config-schema.js';
import { CLI, type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { requireOrSkip, SYSTEM_PYTHON } from '../fixtures/system.js';
import { waitFor } from '../fixtures/wait-for.js';

/** The config files below examples/, through the built command line, as the README shows them. */

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const example = (path: string) => join(ROOT, 'examples', path);

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

/** Ends with the test. What it wrote so far is in `text`. */
function start(program: string, args: string[], options: { cwd?: string } = {}) {
  const child: ChildProcessWithoutNullStreams = spawn(program, args, options);
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (text.stdout += chunk));
  child.stderr.on('data', (chunk) => (text.stderr += chunk));
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, text, exited: once(child, 'exit').then(([code]) => code) };
}

/** A node with these listeners, ended with the test. */
async function nodeOf(config: NodeConfig & { listeners?: ListenerWire[] }): Promise<DaemonProcess> {
  const node = await startDaemonProcess(config);
  onTestFinished(async () => {
    await node.end();
  });
  return node;
}

async function put(node: DaemonProcess, taskId: string, entry: string): Promise<void> {
  const answer = await fetch(`${node.httpUrl}/w/ch/${taskId}`, { method: 'POST', body: entry });
  expect(await answer.json()).toEqual({ status: 'ok', data: { entries: 1 } });
}

describe.skipIf(requireOrSkip('chromium'))('page.html, in a browser', { timeout: 60_000 }, () => {
  /** The page as the comment at its head says: served from the folder of the package.
   *  @param allowed Whether the node's `origins` lists where it is from */
  async function openPage(allowed: boolean) {
    const files = start(SYSTEM_PYTHON, ['-u', '-m', 'http.server', '0', '--bind', '127.0.0.1'], { cwd: ROOT });
    const port = await waitFor(() => / port (\d+) /.exec(files.text.stdout)?.[1]);
    const origin = `http://127.0.0.1:${port}`;
    const http: ListenerWire = { type: 'http', port: 0, ...(allowed ? { origins: [origin] } : {}) };
    const node = await nodeOf({ listeners: [{ type: 'mqtt', port: 0 }, http], tasks: [{ task_id: 'meter' }] });
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    const faults: string[] = [];
    page.on('pageerror', ({ message }) => faults.push(message));
    await page.goto(`${origin}/examples/business/page.html?node=${node.wsUrl}`);
    return { node, page, faults };
  }

  test('it shows the state of each task and what was put last, as text whatever that is', async () => {
    const { node, page, faults } = await openPage(true);
    const row = page.locator('tr', { hasText: 'meter' });
    await row.getByText('pending').waitFor();
    await put(node, 'meter', '<img src="x" onerror="document.title = 1">');
    await row.getByText('<img src="x" onerror="document.title = 1">').waitFor();
    await row.getByText('ready').waitFor();
    expect(await page.locator('img').count()).toBe(0);
    expect(faults).toEqual([]);
  });

  test('from an origin that the config does not list it gets no connection, and says so', async () => {
    const { page } = await openPage(false);
    await page.getByText('no connection').waitFor();
    expect(await page.locator('#tasks tr').count()).toBe(0);
  });
});

describe.skipIf(requireOrSkip('curl'))('curl.sh', () => {
  const script = example('sensors/curl.sh');

  test('each run is one entry', async () => {
    const node = await nodeOf({});
    for (const _ of [1, 2]) expect((await run('sh', [script, node.httpUrl])).stdout).toContain('"entries":1');
    const answer = await fetch(`${node.httpUrl}/m/fetch/curl-sensor?max=10`);
    const { data } = JSON.parse(await answer.text());
    expect(data.entries).toHaveLength(2);
    for (const { payload } of data.entries) expect(JSON.parse(payload).root_free_kb).toBeGreaterThan(0);
  });

  test('a reading that the node has no room for is put again', async () => {
    const heard: string[] = [];
    const server = createServer(async (request, response) => {
      heard.push(`${request.method} ${request.url} ${Buffer.concat(await request.toArray())}`);
      response.writeHead(heard.length === 1 ? 429 : 200, { 'retry-after': '1' }).end('{}');
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await run('sh', [script, `http://127.0.0.1:${port}`]);
    const put = expect.stringMatching(/^POST \/w\/ch\/curl-sensor \{"root_free_kb":\d+\}$/);
    expect(heard).toEqual([put, put]);
  });

  test('without a node that takes it, it fails and says why', async () => {
    const node = await nodeOf({ net: { auto: false } });
    await expect(run('sh', [script, node.httpUrl])).rejects.toMatchObject({
      code: 22,
      stderr: expect.stringContaining('404'),
    });
  });
});

describe('fetch_http.py', { timeout: 60_000 }, () => {
  const script = example('business/fetch_http.py');

  test('it takes entries with a lease, and what it acknowledged is gone from the queue', async () => {
    const node = await nodeOf({});
    const app = start(SYSTEM_PYTHON, [script, '--url', node.httpUrl, '--task', 'meter', '--count', '2']);
    await waitFor(() => app.text.stderr.includes('SN_ERR_TASK_UNKNOWN'));
    for (const entry of ['one', 'two', 'three']) await put(node, 'meter', entry);
    expect([await app.exited, app.text.stdout]).toEqual([0, 'meter #1 attempt 1: one\nmeter #2 attempt 1: two\n']);
    const answer = await fetch(`${node.httpUrl}/m/stat/meter`);
    expect(await answer.json()).toMatchObject({ data: { queue: { length: 1, ready: 1 } } });
  });

  test('a node that is killed and comes back is asked until it answers, and nothing is lost', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'sn-example-'));
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    const nodeAt = (port: number) =>
      nodeOf({
        listeners: [
          { type: 'mqtt', port: 0 },
          { type: 'http', port },
        ],
        data_dir: dataDir,
      });
    const first = await nodeAt(0);
    await put(first, 'meter', 'one');
    const app = start(SYSTEM_PYTHON, [script, '--url', first.httpUrl]);
    const taken = (entry: string) => waitFor(() => app.text.stdout.includes(`: ${entry}\n`));
    await taken('one');
    await put(first, 'meter', 'two');
    await first.end('SIGKILL');
    await waitFor(() => app.text.stderr.includes('no node at'));
    const second = await nodeAt(Number(new URL(first.httpUrl).port));
    await put(second, 'meter', 'three');
    for (const entry of ['two', 'three']) await taken(entry);
    app.child.kill('SIGTERM');
    expect(await app.exited, app.text.stderr).toBe(0);
  });

  test('what the node refuses for good ends it with the code', async () => {
    const node = await nodeOf({});
    await expect(run(SYSTEM_PYTHON, [script, '--url', node.httpUrl, '--task', '.bad'])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('SN_ERR_TASK_ID'),
    });
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fencesOf } from '../fixtures/markdown.js';
import { requireOrSkip, skipOrFail } from '../fixtures/system.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const PORTS = [1883, 8080];
const BLOCK_MS = 40_000;
/** mosquitto_sub ends so when its `-W` runs out. */
const MOSQUITTO_TIMEOUT = 27;

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What each sh block of the README must show, in its order. `part` is text that only this block has. */
const EXPECTED: { part: string; check(outcome: Outcome): void }[] = [
  {
    part: "mosquitto_sub -t 'm/data/#' -v -C 3",
    check({ stdout }) {
      const lines = linesOf(stdout);
      expect(lines).toHaveLength(3);
      for (const line of lines) {
        const [topic, ...rest] = line.split(' ');
        expect(topic).toMatch(/^m\/data\/(host|pyhost)$/);
        expect(JSON.parse(rest.join(' '))).toHaveProperty('load');
      }
    },
  },
  {
    part: '-t m/fetch/host',
    check({ stdout }) {
      const { status, data } = JSON.parse(stdout);
      expect(status).toBe('ok');
      expect(data.entries.length).toBeGreaterThan(0);
      expect(data.entries.length).toBeLessThanOrEqual(10);
      expect(data.entries[0]).toMatchObject({ task_id: 'host', attempts: 1 });
      expect(JSON.parse(data.entries[0].payload).cpu_percent.total).toBeGreaterThanOrEqual(0);
    },
  },
  {
    part: 'npx super-node fetch host -n 10',
    check: ({ stdout }) => expect(stdout).toContain('memory_kb'),
  },
  {
    part: 'npx super-node stat',
    check({ stdout }) {
      expect(stdout).toMatch(/\bhost\b.*\bready\b/);
      expect(stdout).toMatch(/\bpyhost\b.*\bready\b/);
    },
  },
  {
    part: 'm/take/host',
    check({ stdout }) {
      const entries = linesOf(stdout).map((line) => JSON.parse(line));
      expect(entries).toHaveLength(2);
      for (const entry of entries) expect(entry.cpu_percent.total).toBeGreaterThanOrEqual(0);
    },
  },
  {
    part: '/w/ch/meter',
    check({ stdout }) {
      const [put, fetched] = linesOf(stdout).map((line) => JSON.parse(line));
      expect(put).toEqual({ status: 'ok', data: { entries: 1 } });
      expect(fetched.data.entries.at(-1)).toMatchObject({ task_id: 'meter', attempts: 1, payload: '{"kwh":41.7}' });
    },
  },
  {
    part: 'npx super-node queue ls',
    check: ({ stdout }) => expect(stdout).toMatch(/\bhost\b.*\d/),
  },
  {
    part: 'kill -9 "$pid"',
    check({ stdout }) {
      const states = linesOf(stdout).map((line) => JSON.parse(line));
      expect(states.map(({ state }) => state)).toContain('starting');
      const last = states.at(-1);
      expect(last).toMatchObject({ task_id: 'host', state: 'ready' });
      expect(last.generation).toBeGreaterThan(1);
      expect(states.some(({ cause, signal }) => cause === 'signal' && signal === 'SIGKILL')).toBe(true);
    },
  },
  {
    part: '"cmd":"call"',
    check({ stdout }) {
      const { status, data } = JSON.parse(stdout);
      expect(status).toBe('ok');
      expect(data).toMatchObject({ part: 1, last: true, worker_id: 'host' });
      expect(data.payload).toMatch(/\d/);
    },
  },
  {
    part: 'npx super-node top --once',
    check({ stdout }) {
      expect(stdout).toMatch(/\bhost\b.*\bready\b/);
      expect(stdout).toMatch(/workers.*cpu/);
    },
  },
  {
    part: 'shell-sensor.sh 3',
    check({ stdout }) {
      for (const n of [1, 2, 3]) expect(stdout).toContain(`"n":${n}`);
      expect(stdout).toContain('root_free_kb');
    },
  },
  {
    part: '"task_id":"fast"',
    check({ stdout }) {
      const [started, first, second, sent, removed] = linesOf(stdout).map((line) => JSON.parse(line));
      expect(started).toMatchObject({ status: 'ok', data: { task_id: 'fast' } });
      expect(first).toHaveProperty('uptime_s');
      expect(second).toHaveProperty('uptime_s');
      expect(sent).toMatchObject({ status: 'ok', data: { channels: 1 } });
      expect(removed).toMatchObject({ status: 'ok', data: { task_id: 'fast' } });
    },
  },
  {
    part: 'drain.py',
    check({ stdout }) {
      expect(linesOf(stdout)).toHaveLength(5);
      expect(stdout).toMatch(/^host #\d+ attempt 1: \{/);
    },
  },
];

const fences = fencesOf(README);
const shellBlocks = fences.filter(({ language }) => language === 'sh');
const scriptBlocks = fences.filter(({ language }) => language === 'js');

test('each sh block of the README has an expectation, and each expectation a block', () => {
  const unmatched = shellBlocks.map(({ text }, index) => text.includes(EXPECTED[index]?.part ?? '\0'));
  expect(unmatched).toEqual(EXPECTED.map(() => true));
});

test('the set-up of the README is two lines, and `npm start` is what the tests below start', () => {
  const setups = [...README.matchAll(/^npm ci.*$/gm)].map(([line]) => line);
  expect(setups).toEqual(['npm ci && npm start', 'npm ci && npm test']);
  expect(startCommand()).toEqual(['node', 'dist/cli/main.js', 'run', '-c', 'examples/quickstart.yaml']);
});

const cannotRun =
  requireOrSkip('mosquitto_rr', 'mosquitto_sub', 'mosquitto_pub', 'paho', 'curl') ||
  ((await portsAreTaken()) && skipOrFail(`something listens on ${PORTS.join(' or ')}, which the README needs`));

describe.skipIf(cannotRun)('the quick start, as printed', () => {
  let node: ChildProcess;
  let log = '';
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'super-node-readme-'));
    const [program = '', ...args] = startCommand();
    node = spawn(program, args, { cwd: ROOT, env: freshEnv(), stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [node.stdout, node.stderr]) stream?.on('data', (chunk) => (log += chunk));
    await statesAreReady(['host', 'pyhost']);
  }, 60_000);

  afterAll(async () => {
    const exited = once(node, 'exit');
    node.kill('SIGTERM');
    if (node.exitCode === null && node.signalCode === null) await exited;
    await rm(folder, { recursive: true });
    expect(node.exitCode, log).toBe(0);
  }, 30_000);

  test.each(shellBlocks.map((block, index) => ({ ...block, index })))(
    'line $line',
    async ({ text, index }) => {
      const file = join(folder, `block-${index}.sh`);
      await writeFile(file, `${text}\n`);
      const outcome = await run('bash', [file]);
      expect([0, MOSQUITTO_TIMEOUT], shown(outcome)).toContain(outcome.code);
      try {
        EXPECTED[index]?.check(outcome);
      } catch (error) {
        throw new Error(`${shown(outcome)}\nthe node said:\n${log.slice(-4_000)}`, { cause: error });
      }
    },
    BLOCK_MS + 5_000,
  );

  test('the plugin on an own Aedes runs as printed', async () => {
    const [plugin = { text: '' }] = scriptBlocks;
    const outcome = await run('node', ['--input-type=module'], plugin.text);
    expect(outcome.code, shown(outcome)).toBe(0);
    expect(outcome.stdout).toContain("name: 'host'");
  }, 30_000);
});

/** The second half of `npm start`; the first half builds, which `npm test` has done. */
function startCommand(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return scripts.start.split('&&').at(-1).trim().split(' ');
}

/** As in a terminal of a user: without what `npm test` adds, which would lead `npx` astray. */
function freshEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|SN_|VITEST|NODE_ENV$|NODE_OPTIONS$)/.test(name)),
  );
}

async function run(program: string, args: string[], input = ''): Promise<Outcome> {
  const child = spawn(program, args, { cwd: ROOT, env: freshEnv(), timeout: BLOCK_MS });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

async function statesAreReady(tasks: readonly string[]): Promise<void> {
  const client = await connectWhenOpen();
  const waiting = new Set(tasks.map((task) => `m/state/${task}`));
  const allReady = new Promise<void>((resolve) => {
    client.on('message', (topic, payload) => {
      if (payload.length > 0 && JSON.parse(payload.toString()).state === 'ready') waiting.delete(topic);
      if (waiting.size === 0) resolve();
    });
  });
  await client.subscribeAsync([...waiting]);
  await allReady;
  await client.endAsync();
}

async function connectWhenOpen() {
  for (const until = Date.now() + 30_000; ; ) {
    try {
      return await connectAsync('mqtt://127.0.0.1:1883', { protocolVersion: 4 }, false);
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function portsAreTaken(): Promise<boolean> {
  const free = await Promise.all(PORTS.map(isFree));
  return free.includes(false);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function linesOf(text: string): string[] {
  return text.split('\n').filter(Boolean);
}

function shown({ code, stdout, stderr }: Outcome): string {
  return `ended with ${code}\nstdout:\n${stdout}\nstderr:\n${stderr}`;
}

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Aedes } from 'aedes';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attach } from '../../src/app/attach.js';
import type { Logger } from '../../src/core/ports.js';
import { NODE_KINDS } from '../fixtures/nodes.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';

/** The causes of a restart, on real processes, as an app sees them: in m/event, m/state, m/stat and the counters, and
 *  in the log. `oom` needs a cgroup of its own: test/unit/adapters/oom.test.ts. */

const WORKER = fileURLToPath(new URL('../fixtures/programs/worker.mjs', import.meta.url));
const HOG = `exec python3 -c 'import time; hog = b"x" * 70_000_000; print("full", flush=True); time.sleep(1000)'`;

describe.concurrent.each(NODE_KINDS)('a restart by a node as %s', (kind) => {
  let world: ShellWorld;
  let dir: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sn-causes-'));
    writeFileSync(join(dir, 'no-right'), '#!/bin/sh\n', { mode: 0o644 });
    writeFileSync(join(dir, 'no-interpreter'), '#!/no/such/interpreter\n', { mode: 0o755 });
    writeFileSync(join(dir, 'env-interpreter'), '#!/usr/bin/env no-such-interpreter\n', { mode: 0o755 });
    world = await ShellWorld.open(kind, {
      enoent: { command: ['/no/such/program'] },
      eacces: { command: [join(dir, 'no-right')] },
      cwd: { command: ['true'], cwd: join(dir, 'no-directory') },
      interpreter: { command: [join(dir, 'no-interpreter')] },
      env: { command: [join(dir, 'env-interpreter')] },
      // Above what execve(2) takes in all, whatever the limits of the stack are.
      e2big: { command: ['true', ...Array<string>(100).fill('{start_params}')] },
      later: { command: [join(dir, `later-${kind}`)] },
      mqtt: { command: [process.execPath, WORKER], ready: 'connect' },
    });
  });
  afterAll(async () => {
    await world.close();
    rmSync(dir, { recursive: true });
  });

  /** Waits for the first restart of a task and checks that all places tell the same of it. */
  async function firstRestart(task: string, cause: string, how: Record<string, unknown>) {
    const { witness, app } = world;
    const { data: told } = await witness.untilEvent(task, 'restarting');
    expect(told).toMatchObject({ cause, ...how });
    const shown = await witness.untilState(task, ({ state }) => state === 'backoff');
    expect(shown).toMatchObject({ cause, ...how, generation: 1, kind: 'process' });
    expect(shown.pid).toBeUndefined();
    expect(shown.next_start_ts).toBeGreaterThanOrEqual(shown.ts + 100);
    expect(Math.abs(shown.next_start_ts - told.next_start_ts)).toBeLessThan(1_000);
    const stat = await app.untilStat(task, ({ restarts }) => restarts[cause] >= 1);
    expect(stat.restarts_total).toBe(Object.values<number>(stat.restarts).reduce((sum, count) => sum + count, 0));
    const again = await witness.untilEvent(task, 'started', ({ data }) => data.generation === 2);
    // The wall clock counts whole milliseconds.
    expect(again.ts).toBeGreaterThanOrEqual(shown.next_start_ts - 2);
    return told;
  }

  const gone = async (task: string) => expect(await world.cmd('remove', task)).toMatchObject({ status: 'ok' });

  test('exit: the code, and the last 20 lines of stderr', async () => {
    const script = 'i=1; while [ $i -le 25 ]; do echo "line $i" >&2; i=$((i + 1)); done; printf "no end" >&2; exit 3';
    const task = await world.run(script);
    const stderr = [...Array.from({ length: 19 }, (_, at) => `line ${at + 7}`), 'no end'];
    await firstRestart(task, 'exit', { exit_code: 3, signal: null, stderr });
    expect((await world.stat(task)).stderr).toEqual(stderr);
    await gone(task);
  });

  test('exit: also one that went well, with restart: always', async () => {
    const task = await world.run('exit 0');
    await firstRestart(task, 'exit', { exit_code: 0, signal: null, stderr: [] });
    await gone(task);
  });

  test('signal: one that the worker got from somebody', async () => {
    const task = await world.run('echo up >&2; exec sleep 1000');
    const { pid } = await world.app.untilState(task, 'ready');
    await world.witness.untilEvent(task, 'ready');
    process.kill(pid, 'SIGKILL');
    await firstRestart(task, 'signal', { exit_code: null, signal: 'SIGKILL' });
    const again = await world.app.untilStat(task, ({ state, generation }) => state === 'ready' && generation === 2);
    expect(again).toMatchObject({ cause: 'signal', signal: 'SIGKILL', restarts: { signal: 1 }, restarts_total: 1 });
    expect(again.pid).not.toBe(pid);
    expect(again.next_start_ts).toBeUndefined();
    await gone(task);
  });

  test('signal: the memory of its tree is told as last sampled', async () => {
    const task = await world.run('sleep 1000 & exec sleep 1000');
    const { pid, rss_kb } = await world.app.untilStat(task, (stat) => stat.rss_kb > 0);
    process.kill(pid, 'SIGSEGV');
    const told = await firstRestart(task, 'signal', { signal: 'SIGSEGV' });
    expect(told.rss_kb).toBeGreaterThan(0);
    expect(told.rss_kb).toBeLessThan(10 * rss_kb);
    await gone(task);
  });

  test.each([
    ['enoent', {}, /ENOENT/],
    ['eacces', {}, /EACCES/],
    ['cwd', {}, /^cwd: expected a directory, got/],
    ['interpreter', {}, /ENOENT/],
    ['e2big', { start_params: 'x'.repeat(65_536) }, /E2BIG/],
  ])('spawn_error: %s', async (worker, fields, message) => {
    const { witness, app } = world;
    const task = await world.start(worker, fields);
    const error = expect.stringMatching(message);
    expect((await witness.untilEvent(task, 'spawn_error')).data).toEqual({ error });
    const { data } = await witness.untilEvent(task, 'restarting');
    expect(data).toEqual({ cause: 'spawn_error', error, next_start_ts: expect.any(Number) });
    const shown = await witness.untilState(task, ({ state }) => state === 'backoff');
    expect(shown).toMatchObject({ cause: 'spawn_error', error, next_start_ts: expect.any(Number) });
    const stat = await app.untilStat(task, ({ generation }) => generation >= 2);
    expect(stat.restarts.spawn_error).toBe(stat.restarts_total);
    expect(witness.events(task, 'started')).toEqual([]);
    await gone(task);
  });

  test('exit 127: what env(1) says of a bad interpreter', async () => {
    const task = await world.start('env');
    const told = await firstRestart(task, 'exit', { exit_code: 127, signal: null });
    expect(told.stderr.join()).toContain('no-such-interpreter');
    await gone(task);
  });

  test('spawn_error: once it is mended the program runs, and no error is shown any more', async () => {
    const task = await world.start('later');
    await world.witness.untilEvent(task, 'spawn_error');
    writeFileSync(join(dir, `later-${kind}`), '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
    const stat = await world.app.untilState(task, 'ready');
    expect(stat.error).toBeUndefined();
    expect(stat).toMatchObject({ cause: 'spawn_error', restarts: { spawn_error: stat.restarts_total } });
    await gone(task);
  });

  test('memory: that of the whole tree counts, and a tree below the limit is left alone', async () => {
    const small = await world.run('sleep 1000 & exec sleep 1000', { memory_limit_kb: 60_000 });
    const task = await world.run(`${HOG} & echo born >&2; wait`, { memory_limit_kb: 60_000 });
    await world.app.untilState(task, 'ready');
    const { pid } = await world.stat(task);
    await waitFor(() => world.witness.events(task, 'restarting').length > 0 || rssKb(pid) > 0);
    expect(rssKb(pid)).toBeLessThan(60_000);
    const told = await firstRestart(task, 'memory', { signal: 'SIGTERM', exit_code: null, stderr: ['born'] });
    expect(told.rss_kb).toBeGreaterThan(60_000);
    expect(await world.stat(small)).toMatchObject({ restarts_total: 0, rss_kb: expect.any(Number) });
    await gone(task);
    await gone(small);
  });

  test('exec_timeout', async () => {
    const task = await world.run('echo working >&2; exec sleep 1000', { exec_timeout_ms: 600 });
    await firstRestart(task, 'exec_timeout', { signal: 'SIGTERM', stderr: ['working'] });
    await gone(task);
  });

  test('ready_timeout: no connection in time', async () => {
    const task = await world.run('exec sleep 1000', { ready: 'connect', ready_timeout_ms: 200 });
    await firstRestart(task, 'ready_timeout', { signal: 'SIGTERM' });
    expect(world.witness.events(task, 'ready')).toEqual([]);
    await gone(task);
  });

  test('ready_timeout: it said goodbye with DISCONNECT and stays away', async () => {
    const task = await world.run('exec sleep 1000', { ready: 'connect', ready_timeout_ms: 2_000 });
    await (await world.connectAs(task)).disconnect();
    await firstRestart(task, 'ready_timeout', { signal: 'SIGTERM' });
    expect(world.witness.events(task, 'ready')).toHaveLength(1);
    await gone(task);
  });

  test('stale: nothing put in time, and whoever puts is left alone', async () => {
    const putting = await world.run('while :; do echo put; sleep 0.2; done', { stdout: 'data', stale_after_ms: 1_000 });
    const task = await world.run('exec sleep 1000', { stale_after_ms: 1_000 });
    await firstRestart(task, 'stale', { signal: 'SIGTERM' });
    await world.app.untilStat(putting, ({ queue }) => queue.seq >= 6);
    expect(await world.stat(putting)).toMatchObject({ generation: 1, restarts_total: 0 });
    await gone(task);
    await gone(putting);
  });

  test('heartbeat: a process that is stopped is silent', async () => {
    const task = await world.start('mqtt', { heartbeat_interval: 1_000 });
    const { pid } = await world.app.untilState(task, 'ready');
    process.kill(pid, 'SIGSTOP');
    // SIGCONT follows SIGTERM: it ends as it wants to.
    await firstRestart(task, 'heartbeat', { signal: null });
    await gone(task);
  });

  /** A process with a connection that tests have in hand. */
  async function connected(keepalive: number, heartbeat_interval: number) {
    const task = await world.run('exec sleep 1000', { ready: 'connect', heartbeat_interval });
    return { task, client: await world.connectAs(task, { keepalive }) };
  }

  test('heartbeat: the keepalive that the client asked for counts without heartbeat_interval', async () => {
    const { task } = await connected(1, 0);
    await firstRestart(task, 'heartbeat', { signal: 'SIGTERM' });
    await gone(task);
  });

  test('heartbeat: keepalive 0 is held to heartbeat_interval, and puts are signs of life', async ({
    onTestFinished,
  }) => {
    const [silent, busy] = await Promise.all([connected(0, 1_000), connected(0, 1_000)]);
    const putting = setInterval(() => void busy.client.publish(`w/ch/${busy.task}`, 'alive'), 100);
    onTestFinished(() => clearInterval(putting));
    await firstRestart(silent.task, 'heartbeat', { signal: 'SIGTERM' });
    await world.app.untilStat(busy.task, ({ queue }) => queue.seq >= 20);
    expect(await world.stat(busy.task)).toMatchObject({ generation: 1, restarts_total: 0 });
    await Promise.all([silent, busy].map(({ task }) => gone(task)));
  });

  test('heartbeat: a channel that closes and does not come back, and one that does', async ({ onTestFinished }) => {
    const [leaves, returns] = await Promise.all([connected(0, 1_000), connected(0, 1_000)]);
    returns.client.kill();
    await world.app.untilStat(returns.task, ({ channels }) => channels.length === 0);
    const second = await world.connectAs(returns.task);
    const putting = setInterval(() => void second.publish(`w/ch/${returns.task}`, 'alive'), 100);
    onTestFinished(() => clearInterval(putting));
    leaves.client.kill();
    await firstRestart(leaves.task, 'heartbeat', { signal: 'SIGTERM' });
    expect(await world.stat(returns.task)).toMatchObject({ state: 'ready', generation: 1, restarts_total: 0 });
    await Promise.all([leaves, returns].map(({ task }) => gone(task)));
  });

  test('command: restart starts at once and is no failure', async () => {
    const task = await world.run('exec sleep 1000');
    const { pid } = await world.app.untilState(task, 'ready');
    expect((await world.cmd('restart', task)).status).toBe('ok');
    const { data } = await world.witness.untilEvent(task, 'restarting');
    expect(data).toMatchObject({ cause: 'command', signal: 'SIGTERM' });
    expect(data.next_start_ts).toEqual(expect.any(Number));
    await world.witness.untilEvent(task, 'started', ({ data }) => data.generation === 2);
    expect(world.witness.states(task).map(({ state }) => state)).not.toContain('backoff');
    const stat = await world.stat(task);
    expect(stat).toMatchObject({ state: 'ready', generation: 2, cause: 'command', restarts: { command: 1 } });
    expect(stat.pid).not.toBe(pid);
    await gone(task);
  });

  test('the counters of m/stat count the events', async () => {
    const task = await world.run('exit 4', { max_restarts: 2, backoff: { initial_ms: 0 } });
    const { data } = await world.witness.untilEvent(task, 'failed');
    expect(data).toMatchObject({ cause: 'exit', exit_code: 4 });
    expect(await world.stat(task)).toMatchObject({ restarts: { exit: 2 }, restarts_total: 2, generation: 3 });
    const told = world.witness.events(task, 'restarting');
    expect(told.map(({ data }) => data.cause)).toEqual(['exit', 'exit']);
    const { events } = (await world.app.ask('m/stat')).data;
    expect(events.restarting).toBeGreaterThanOrEqual(2);
    expect(events.failed).toBeGreaterThanOrEqual(1);
    await gone(task);
  });
});

test('the log tells a restart with the fields of its event', async ({ onTestFinished }) => {
  const warned: { message: string; fields: object }[] = [];
  const unheard = () => undefined;
  const warn: Logger['warn'] = (fields, message) => void warned.push({ message, fields });
  const log: Logger = { debug: unheard, info: unheard, warn, error: unheard, child: () => log };
  const broker = await Aedes.createBroker();
  const node = await attach(broker, { log });
  onTestFinished(async () => {
    await node.close();
    await new Promise<void>((resolve) => broker.close(() => resolve()));
  });
  const command = ['sh', '-c', 'echo broken >&2; exit 3'];
  await node.command({ cmd: 'start', task_id: 'logged', command, ready: 'spawn' });
  const { fields } = await waitFor(() => warned.find(({ message }) => message === 'logged: restarting'));
  expect(fields).toMatchObject({
    cause: 'exit',
    exit_code: 3,
    signal: null,
    stderr: ['broken'],
    next_start_ts: expect.any(Number),
  });
});

/** Of one process alone, as the kernel says it; 0 where it is gone. */
function rssKb(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

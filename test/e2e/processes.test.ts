import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChildProcessSpawner } from '../../src/adapters/child-process.js';
import { identityOf, isAlive, processesOfGroup, statOf } from '../../src/adapters/proc.js';
import { systemClock, systemRandom } from '../../src/adapters/system-clock.js';
import { taskIdOf } from '../../src/core/topics.js';
import type { TaskStatus } from '../../src/supervisor/status.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import { portsFor, RecordedReport, recordOf, T1 } from '../fixtures/supervisor-world.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Real processes under a real clock: what a fake cannot vouch for. */

let dir: string;
let report: RecordedReport;
let supervisor: Supervisor;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-processes-'));
  report = new RecordedReport();
  supervisor = new Supervisor(portsFor(systemClock, systemRandom, new ChildProcessSpawner(systemClock), report));
});

afterEach(async () => {
  await supervisor.shutdown();
  rmSync(dir, { recursive: true, force: true });
});

type Wire = Parameters<typeof recordOf>[0];

/** Starts a shell script as task `t1`; ready as soon as it runs. */
function start(script: string, wire: Wire = {}): void {
  startCommand(['sh', '-c', script], wire);
}

function startCommand(command: string[], wire: Wire = {}): void {
  supervisor.start(recordOf({ command, ready: 'spawn', second_sig_duration: 2_000, ...wire }));
}

const NOW = { backoff: { initial_ms: 0 } };
const ONCE = { restart: 'never' } as const;

const inState = (state: TaskStatus['state']) => waitFor(() => check((status) => status.state === state));
const inGeneration = (generation: number) =>
  waitFor(() => check((status) => status.generation === generation && status.state === 'ready'));

function check(fits: (status: TaskStatus) => boolean): TaskStatus | undefined {
  const status = supervisor.status(T1);
  return fits(status) ? status : undefined;
}

function pidOf({ pid }: TaskStatus): number {
  if (pid === undefined) throw new Error('expected a pid');
  return pid;
}

const line = (text: string) => waitFor(() => report.lines.find((one) => one.line.startsWith(text))?.line);
const alive = (pid: number) => isAlive(identityOf(pid));

describe('a worker that ends', () => {
  test('by SIGKILL is running again in a new generation', async () => {
    start('exec sleep 1000', NOW);
    const first = await inGeneration(1);
    process.kill(pidOf(first), 'SIGKILL');
    const second = await inGeneration(2);
    expect(second).toMatchObject({ cause: 'signal', exitCode: null, signal: 'SIGKILL', restarts: { signal: 1 } });
    expect(second.pid).not.toBe(first.pid);
  });

  test('by itself leaves its exit code and its last words', async () => {
    start('echo fatal: no camera >&2; printf unfinished >&2; exit 3', ONCE);
    expect(await inState('failed')).toMatchObject({
      cause: 'exit',
      exitCode: 3,
      signal: null,
      stderr: ['fatal: no camera', 'unfinished'],
    });
  });

  test('takes along a grandchild that holds its pipes, before the next one starts', async () => {
    start('sleep 1000 & echo grandchild $!; [ $SN_GENERATION = 1 ] || exec sleep 1000', NOW);
    await inGeneration(2);
    const grandchild = Number((await line('grandchild')).split(' ')[1]);
    expect(alive(grandchild)).toBe(false);
  });

  test('is stopped when its leader is gone, though somebody outside its group holds its pipes', async () => {
    // setsid(1) takes the sleeper out of the group and the session.
    start('setsid sleep 1000 & echo runaway $!; exec sleep 1000');
    const runaway = Number((await line('runaway')).split(' ')[1]);
    const beginMs = performance.now();
    await supervisor.stop(T1);
    expect(performance.now() - beginMs).toBeLessThan(1_500);
    expect(alive(runaway)).toBe(false);
  });
});

describe('a worker that is ended', () => {
  test('while it is stopped by SIGSTOP sees the first signal all the same', async () => {
    start('trap "echo bye; exit 0" TERM; sleep 1000 & echo up; wait', ONCE);
    await line('up');
    const pid = pidOf(await inState('ready'));
    process.kill(-pid, 'SIGSTOP');
    await waitFor(() => statOf(pid)?.state === 'T');
    await supervisor.stop(T1);
    expect(supervisor.status(T1)).toMatchObject({ state: 'stopped', exitCode: 0 });
    expect(await line('bye')).toBe('bye');
  });

  test('because its channel fell silent in SIGSTOP is running again in a new generation', async () => {
    start('exec sleep 1000', { ...NOW, ready: 'connect' });
    const pid = pidOf(await waitFor(() => check(({ pid }) => pid !== undefined)));
    supervisor.channelUp(T1, 'c1', { instance: 1, generation: 1 });
    process.kill(pid, 'SIGSTOP');
    supervisor.channelDown(T1, 'c1', 'silent');
    expect(await waitFor(() => check(({ generation }) => generation === 2))).toMatchObject({
      cause: 'heartbeat',
      signal: 'SIGTERM',
    });
    expect(alive(pid)).toBe(false);
  });

  test('and ignores SIGTERM gets SIGKILL, with all of its group', async () => {
    start('trap "" TERM; sleep 1000 & echo up $!; while :; do sleep 0.01; done', { second_sig_duration: 100 });
    const grandchild = Number((await line('up')).split(' ')[1]);
    const pid = pidOf(supervisor.status(T1));
    await supervisor.stop(T1);
    expect(supervisor.status(T1)).toMatchObject({ state: 'stopped', signal: 'SIGKILL' });
    expect(processesOfGroup(pid)).toEqual([]);
    expect(alive(grandchild)).toBe(false);
  });

  test('leaves the rest of its group its time when the leader is quick', async () => {
    const file = join(dir, 'saved');
    start(`(trap "sleep 0.2; echo > ${file}; exit 0" TERM; echo up; while :; do sleep 0.01; done) & exec sleep 1000`);
    await line('up');
    await supervisor.stop(T1);
    expect(existsSync(file)).toBe(true);
  });

  test('is reached by signal, and a stranger with its pid is not', async () => {
    start('trap "echo usr1" USR1; echo up; while :; do sleep 0.01; done');
    await line('up');
    const pid = pidOf(supervisor.status(T1));
    supervisor.signal(T1, 'SIGUSR1');
    expect(await line('usr1')).toBe('usr1');
    const spawner = new ChildProcessSpawner(systemClock);
    expect(spawner.signal(identityOf(pid), 'SIGKILL')).toBe('gone');
    expect(alive(pid)).toBe(true);
  });
});

describe('a program that cannot be started', () => {
  const failure = async (command: string[], wire: Wire = {}) => {
    startCommand(command, { ...ONCE, ...wire });
    return (await inState('failed')).error;
  };

  test('ENOENT', async () => expect(await failure(['/no/such/program'])).toContain('ENOENT'));

  test('EACCES', async () => {
    const file = join(dir, 'plain');
    writeFileSync(file, '');
    chmodSync(file, 0o644);
    expect(await failure([file])).toContain('EACCES');
  });

  test('ENOTDIR', async () => expect(await failure(['/etc/passwd/program'])).toContain('ENOTDIR'));

  test('E2BIG', async () => expect(await failure(['true', 'x'.repeat(300_000)])).toContain('E2BIG'));

  test('a NUL byte in an argument', async () => expect(await failure(['true', 'a\0b'])).toContain('null byte'));

  test('a working directory that is none: the message names it', async () =>
    expect(await failure(['true'], { cwd: join(dir, 'none') })).toMatch(/^cwd: expected a directory, got/));

  test('an unknown user', async () =>
    expect(await failure(['true'], { user: 'nobody-here' })).toMatch(/^user: expected/));

  test('a bad interpreter ends with its own code', async () => {
    const file = join(dir, 'script');
    writeFileSync(file, '#!/usr/bin/env no-such-interpreter\n');
    chmodSync(file, 0o755);
    startCommand([file], ONCE);
    expect(await inState('failed')).toMatchObject({ cause: 'exit', exitCode: 127 });
  });

  test('is tried again, and runs once the cause is mended', async () => {
    const file = join(dir, 'later');
    startCommand([file], NOW);
    await waitFor(() => (supervisor.status(T1).restarts.spawn_error ?? 0) > 0);
    writeFileSync(file, '#!/bin/sh\nexec sleep 1000\n');
    chmodSync(file, 0o755);
    expect((await inState('ready')).error).toBeUndefined();
  });
});

test.skipIf(process.getuid?.() !== 0)('a worker runs as the user of its record, by name or by numbers', async () => {
  start('id -u; id -g; exec sleep 1000', { user: 'nobody' });
  const ids = await waitFor(() => report.lines.length >= 2 && report.lines.map((one) => one.line));
  expect(ids).toEqual([String(statSync('/proc/self').uid + 65_534), '65534']);
  await supervisor.stop(T1);
  supervisor.start(recordOf({ task_id: 't2', command: ['sh', '-c', 'id -u; sleep 1000'], user: '1234:1234' }));
  expect(await line('1234')).toBe('1234');
});

test('each process has a session of its own, and its environment and nothing else', async () => {
  start('echo "env $(cat /proc/$$/environ | tr "\\0" " ")"; exec sleep 1000', { env: { COLOUR: 'green' } });
  const text = await line('env');
  const pid = pidOf(supervisor.status(T1));
  expect(statOf(pid)).toMatchObject({ group: pid, session: pid });
  expect(text).toContain('COLOUR=green');
  expect(text).toMatch(/SN_TOKEN=snw_[\w-]{32}/);
  expect(text).not.toContain('VITEST');
  expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('snw_');
  expect(taskIdOf('t1')).toBe(T1);
});

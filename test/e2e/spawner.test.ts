import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ChildProcessSpawner } from '../../src/adapters/child-process.js';
import { statOf } from '../../src/adapters/proc.js';
import { systemClock } from '../../src/adapters/system-clock.js';
import { TreeUsages } from '../../src/adapters/usage.js';
import {
  alive,
  bearers,
  killLeader,
  oneSpawnerATest,
  spawner,
  start,
  stranger,
  useSpawner,
  type Worker,
} from '../fixtures/spawned.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Real processes under the spawner alone: what it promises to the supervisor about their ends. */

oneSpawnerATest();

const SETSID = 'setsid sleep 1000 & echo runaway $!; exec sleep 1000';

const CLEARED = 'setsid env -i sleep 1000 & echo runaway $!';

/** The runaway, once only its parent tells where it came from. */
async function left(worker: Worker): Promise<number> {
  const runaway = await worker.pid('runaway');
  await waitFor(() => statOf(runaway)?.session === runaway && readFileSync(`/proc/${runaway}/environ`, 'utf8') === '');
  return runaway;
}

describe('what left the group and the session of a worker is gone before the worker is', () => {
  test.each([
    ['by setsid', SETSID],
    ['by a double fork', '(setsid sh -c "sleep 1000 & echo runaway \\$!; exec sleep 2000" &); exec sleep 1000'],
    [
      'and keeps forking',
      'setsid sh -c "echo runaway \\$\\$; while :; do sleep 1000 & sleep 0.005; done" & exec sleep 1000',
    ],
    ['and is stopped', 'setsid sh -c "echo runaway \\$\\$; kill -STOP \\$\\$" & exec sleep 1000'],
    [
      'and ignores signals',
      'setsid sh -c "trap \\"\\" TERM HUP INT; echo runaway \\$\\$; while :; do sleep 1; done" & exec sleep 1000',
    ],
    [
      'and cleared the environment of its child',
      'setsid sh -c "env -i setsid -w sleep 1000 & echo runaway \\$!; wait" & exec sleep 1000',
    ],
  ])('%s', async (_how, script) => {
    const worker = start(script);
    const runaway = await worker.pid('runaway');
    expect(await killLeader(worker)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(alive(runaway)).toBe(false);
    expect(bearers(worker)).toEqual([]);
    expect(worker.told).toEqual(['spawned', 'exited', 'outputEnded', 'gone']);
  });

  test('also when its leader exits by itself', async () => {
    const worker = start('setsid sleep 1000 & echo runaway $!; exit 3');
    const runaway = await worker.pid('runaway');
    expect(await worker.ended()).toEqual({ code: 3, signal: null });
    expect(alive(runaway)).toBe(false);
  });

  test('also of a worker without output', async () => {
    const worker = start('setsid sleep 1000 & exec sleep 1000', { stdout: 'ignore', stderr: 'ignore' });
    await waitFor(() => bearers(worker).length === 2);
    await killLeader(worker);
    expect(bearers(worker)).toEqual([]);
  });

  test('and SIGKILL reaches it although the leader cannot be gone yet', async () => {
    const worker = start(SETSID);
    const runaway = await worker.pid('runaway');
    expect(spawner.signal(await worker.runs(), 'SIGKILL')).toBe('sent');
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });

  test('and SIGKILL reaches what cleared its environment too', async () => {
    const worker = start(`${CLEARED}; wait`);
    const runaway = await left(worker);
    expect(spawner.signal(await worker.runs(), 'SIGKILL')).toBe('sent');
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });

  test('and so does the end that SIGTERM brings', async () => {
    const worker = start(`trap "exit 0" TERM; ${CLEARED}; wait`);
    const runaway = await left(worker);
    expect(spawner.signal(await worker.runs(), 'SIGTERM')).toBe('sent');
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });

  test('also where a look before its death is all that tells', async () => {
    const trees = new TreeUsages();
    useSpawner(new ChildProcessSpawner(systemClock, trees));
    const worker = start(`${CLEARED}; wait`);
    const runaway = await left(worker);
    await trees.of([await worker.runs()]);
    await killLeader(worker);
    expect(alive(runaway)).toBe(false);
  });

  test('also of a worker that dies young by itself', async () => {
    const worker = start(`${CLEARED}; sleep 0.4; exit 1`);
    const runaway = await left(worker);
    expect(await worker.ended()).toEqual({ code: 1, signal: null });
    expect(alive(runaway)).toBe(false);
  });

  test('of two workers that end in one turn', async () => {
    const both = [start(SETSID), start(SETSID)];
    const runaways = await Promise.all(both.map((worker) => worker.pid('runaway')));
    await Promise.all(both.map(killLeader));
    expect(runaways.map(alive)).toEqual([false, false]);
  });

  test('but other signals leave it its time', async () => {
    const worker = start('trap "echo term" TERM; setsid sleep 1000 & echo runaway $!; while :; do sleep 0.01; done');
    const runaway = await worker.pid('runaway');
    await waitFor(() => statOf(runaway)?.session === runaway);
    spawner.signal(await worker.runs(), 'SIGTERM');
    await worker.says('term');
    expect(alive(runaway)).toBe(true);
  });

  test('only once it can be looked for: without a free descriptor nothing is taken for gone', async () => {
    const worker = start(SETSID);
    const runaway = await worker.pid('runaway');
    const { pid } = await worker.runs();
    const limit = descriptorLimit();
    const held: number[] = [];
    setDescriptorLimit(readdirSync('/proc/self/fd').length + 50);
    try {
      expect(() => {
        for (;;) held.push(openSync('/dev/null', 'r'));
      }).toThrow('EMFILE');
      process.kill(pid, 'SIGKILL');
      await waitFor(() => worker.told.includes('exited'));
      expect(process.kill(runaway, 0)).toBe(true);
      expect(worker.end).toBeUndefined();
    } finally {
      for (const file of held) closeSync(file);
      setDescriptorLimit(limit);
    }
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });
});

function descriptorLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
}

function setDescriptorLimit(soft: number): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
}

describe('the end of a worker leaves alone', () => {
  test('a stranger of the same name, with a token of its own or none', async () => {
    const others = [stranger({ SN_TOKEN: 'snw_other', SN_TASK_ID: 't1' }), stranger({})];
    const worker = start(SETSID);
    await worker.pid('runaway');
    await killLeader(worker);
    expect(others.map(alive)).toEqual([true, true]);
  });

  test('the runaway of another worker', async () => {
    const [ends, stays] = [start(SETSID), start(SETSID)];
    await ends.pid('runaway');
    const runaway = await stays.pid('runaway');
    await killLeader(ends);
    expect(alive(runaway)).toBe(true);
    expect(stays.told).toEqual(['spawned']);
  });
});

describe('a worker that was alone', () => {
  test('is gone without having exited before', async () => {
    const worker = start('exit 7');
    expect(await worker.ended()).toEqual({ code: 7, signal: null });
    expect(worker.told).toEqual(['spawned', 'outputEnded', 'gone']);
  });
});

describe('a signal', () => {
  test('ends the real server behind a shell', async () => {
    const worker = start('sleep 1000 & echo server $!; wait; echo never');
    const server = await worker.pid('server');
    spawner.signal(await worker.runs(), 'SIGTERM');
    expect(await worker.ended()).toEqual({ code: null, signal: 'SIGTERM' });
    expect(alive(server)).toBe(false);
    expect(worker.text).not.toContain('never');
  });

  test('is seen by a process that SIGSTOP had stopped', async () => {
    const worker = start('trap "echo bye; exit 0" TERM; sleep 1000 & echo up; wait');
    await worker.says('up');
    const identity = await worker.runs();
    process.kill(-identity.pid, 'SIGSTOP');
    await waitFor(() => statOf(identity.pid)?.state === 'T');
    spawner.signal(identity, 'SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
  });

  test('of the last kind ends one that ignores SIGTERM, also while it is stopped', async () => {
    const worker = start('trap "" TERM; sleep 1000 & echo up; wait');
    await worker.says('up');
    const identity = await worker.runs();
    expect(spawner.signal(identity, 'SIGTERM')).toBe('sent');
    spawner.signal(identity, 'SIGSTOP');
    await waitFor(() => statOf(identity.pid)?.state === 'T');
    expect(worker.end).toBeUndefined();
    spawner.signal(identity, 'SIGKILL');
    expect(await worker.ended()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(spawner.signal(identity, 'SIGKILL')).toBe('gone');
  });
});

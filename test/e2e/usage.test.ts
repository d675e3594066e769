import { type ChildProcess, spawn } from 'node:child_process';
import fs, { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { identityOf } from '../../src/adapters/proc.js';
import { TreeUsages } from '../../src/adapters/usage.js';
import type { ProcessIdentity, ProcessUsage } from '../../src/core/ports.js';
import { waitFor } from '../fixtures/wait-for.js';

const usages = new TreeUsages();

/** Figures of real processes. */

const groups: number[] = [];

afterEach(() => {
  for (const pid of groups.splice(0)) kill(-pid);
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    expect(readdirSync('/proc')).not.toContain(String(Math.abs(pid)));
  }
}

/** A script in a group and session of its own, as the spawner starts it. */
function start(script: string): { readonly leader: ProcessIdentity; readonly child: ChildProcess } {
  const child = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  if (child.pid === undefined) throw new Error('sh(1) cannot be started');
  groups.push(child.pid);
  return { leader: identityOf(child.pid), child };
}

async function usageOf(leader: ProcessIdentity): Promise<ProcessUsage | undefined> {
  return (await usages.of([leader])).get(leader.pid);
}

const until = (leader: ProcessIdentity, fits: (usage: ProcessUsage) => boolean) =>
  waitFor(async () => {
    const usage = await usageOf(leader);
    return usage && fits(usage) && usage;
  });

/** As the kernel says it. */
const rssKb = (pid: number) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const childrenOf = (pid: number) =>
  readdirSync('/proc')
    .map(Number)
    .filter((one) => one > 0 && ppidOf(one) === pid);

function ppidOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

describe('the usage of a tree', () => {
  test('is that of the leader and all that came from it', async () => {
    const { leader } = start('sleep 1000 & sleep 1000 & wait');
    const alone = start('exec sleep 1000').leader;
    const usage = await until(leader, ({ processes }) => processes === 3);
    const all = [leader.pid, ...childrenOf(leader.pid)];
    const expectedKb = all.reduce((sum, pid) => sum + rssKb(pid), 0);
    expect(all.length).toBe(3);
    expect(Math.abs(usage.rssKb - expectedKb)).toBeLessThan(0.2 * expectedKb);
    const both = await usages.of([leader, alone]);
    expect([both.get(leader.pid)?.processes, both.get(alone.pid)?.processes]).toEqual([3, 1]);
  });

  test('holds what left the session while its parent lives, and after that what was seen before', async () => {
    const { leader } = start('(setsid sh -c "sleep 1000 & wait" & read line < /dev/zero) & exec sleep 1000');
    await until(leader, ({ processes }) => processes === 4);
    const [between] = childrenOf(leader.pid);
    const runaway = childrenOf(between ?? 0)[0] ?? 0;
    kill(between ?? 0);
    await waitFor(() => ppidOf(runaway) !== between);
    expect(await usageOf(leader)).toMatchObject({ processes: 3 });
    kill(-runaway);
    await until(leader, ({ processes }) => processes === 1);
  });

  test('counts CPU, also of a child', async () => {
    const { leader } = start('while :; do :; done & wait');
    const idle = start('exec sleep 1000').leader;
    await until(leader, (usage) => usage.processes === 2 && usage.cpuPercent > 10);
    await until(idle, (usage) => usage.cpuPercent === 0);
  });

  test('is left out for a leader that is gone, or whose pid is somebody else', async () => {
    const { leader, child } = start('exec sleep 1000');
    expect(await usageOf({ ...leader, startTime: '1' })).toBeUndefined();
    expect(await usageOf(leader)).toMatchObject({ processes: 1 });
    child.kill('SIGKILL');
    await waitFor(async () => (await usageOf(leader)) === undefined);
  });

  test('of nobody is nothing', async () => {
    expect((await usages.of([])).size).toBe(0);
  });

  test('is one answer for all who ask at the same time', async () => {
    const { leader } = start('exec sleep 1000');
    const [one, other] = await Promise.all([usages.of([leader]), usages.of([leader])]);
    expect(one).toBe(other);
  });
});

test('sampling processes that come and go, or end in the midst of it, leaks no descriptor', async () => {
  const files = () => readdirSync('/proc/self/fd').length;
  const { leader } = start('while :; do for i in 1 2 3 4 5 6 7 8; do sleep 0.01 & done; wait; done');
  const before = files();
  for (let round = 0; round < 50; round += 1) await usageOf(leader);

  const { child, leader: ends } = start('exec sleep 1000');
  const read = vi.spyOn(fs, 'read').mockImplementationOnce((...args) => {
    // pidusage has opened its file, and gets to read it only after the end.
    child.once('exit', () => fs.read(...args));
    child.kill('SIGKILL');
  });
  expect(await usageOf(ends)).toBeUndefined();
  read.mockRestore();
  // What nobody asks for any more is let go of after some seconds.
  await waitFor(() => files() <= before);
}, 60_000);

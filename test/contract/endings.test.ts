import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { identityOf, isAlive, statOf } from '../../src/adapters/proc.js';
import { processesWith } from '../fixtures/marked.js';
import { NODE_KINDS } from '../fixtures/nodes.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';

/** An answered `stop` means that nothing is left, whatever the program did to live on. */

interface Manner {
  readonly script: string;
  /** How many processes it is. */
  readonly processes: number;
  readonly fields?: Record<string, unknown>;
}

const STUBBORN = 'trap "" TERM; while :; do sleep 1000; done';

const MANNERS: Record<string, Manner> = {
  'a child that left its session': { script: 'setsid sleep 1000 & exec sleep 1000', processes: 2 },
  'a daemon that forked twice': { script: 'setsid sh -c "sleep 1000 & exit 0"; exec sleep 1000', processes: 2 },
  'a runaway that ignores SIGTERM': { script: `setsid sh -c '${STUBBORN}' & exec sleep 1000`, processes: 3 },
  'a shell around the real server': { script: 'sleep 1000; true', processes: 2 },
  'a worker that ignores SIGTERM': { script: STUBBORN, processes: 2, fields: { second_sig_duration: 200 } },
  'a worker that stopped itself': { script: 'kill -STOP $$; exec sleep 1000', processes: 1 },
  'a group in which one is stopped': { script: "sh -c 'kill -STOP $$' & exec sleep 1000", processes: 2 },
};

describe.concurrent.each(NODE_KINDS)('the end of a worker of a node as %s', (kind) => {
  let world: ShellWorld;
  let dir: string;
  let stranger: ChildProcess;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sn-endings-'));
    world = await ShellWorld.open(kind);
    const env = { PATH: process.env.PATH, SN_TEST_MARK: `stranger to ${world.mark}`, SN_TOKEN: 'snw_of-another-node' };
    stranger = spawn('sleep', ['1000'], { env, stdio: 'ignore', detached: true });
  });
  afterAll(async () => {
    const survived = isAlive(identityOf(stranger.pid ?? 0));
    stranger.kill('SIGKILL');
    await world.close();
    rmSync(dir, { recursive: true });
    expect(survived).toBe(true);
  });

  /** Starts it, and waits until all of its processes are there. */
  async function misbehaving({ script, processes, fields }: Manner): Promise<string> {
    const task = await world.run(script, fields);
    await waitFor(() => world.pidsOf(task).length === processes);
    return task;
  }

  test.each(Object.entries(MANNERS))('stop, %s', async (_name, manner) => {
    const task = await misbehaving(manner);
    expect(await world.cmd('stop', task)).toMatchObject({ status: 'ok', data: { task_id: task } });
    expect(world.pidsOf(task)).toEqual([]);
    expect(await world.stat(task)).toMatchObject({ state: 'stopped', restarts_total: 0 });
    await world.cmd('remove', task);
  });

  test('remove and restart leave nothing behind either', async () => {
    const manner: Manner = { script: 'setsid sleep 1000 & exec sleep 1000', processes: 2 };
    const task = await misbehaving(manner);
    const before = world.pidsOf(task);
    expect((await world.cmd('restart', task)).status).toBe('ok');
    await waitFor(() => world.pidsOf(task).length === 2);
    expect(world.pidsOf(task).filter((pid) => before.includes(pid))).toEqual([]);
    expect((await world.cmd('remove', task)).status).toBe('ok');
    expect(world.pidsOf(task)).toEqual([]);
  });

  test('the answer waits for the last of them', async () => {
    const saved = join(dir, 'saved');
    const slow = `(trap "sleep 0.3; echo > ${saved}; exit 0" TERM; echo up; while :; do sleep 0.05; done) & exec sleep 1000`;
    const task = await world.run(slow);
    await waitFor(async () => (await world.cmd('logs', task)).data.lines.length > 0);
    expect((await world.cmd('stop', task)).status).toBe('ok');
    expect(existsSync(saved)).toBe(true);
    expect(world.pidsOf(task)).toEqual([]);
    await world.cmd('remove', task);
  });

  test('a worker stopped by SIGSTOP hears the first signal, and is not killed', async () => {
    // No shell: one that SIGSTOP meets in the midst of vfork(2) would not look stopped, and one that a signal meets just
    // before it waits, waits on.
    const program = 'process.on("SIGTERM", () => { console.log("bye"); process.exit(0); }); console.log("up");';
    const script = `exec ${process.execPath} -e '${program} setInterval(() => {}, 1000)'`;
    const task = await world.run(script, { second_sig_duration: 60_000 });
    await waitFor(async () => (await world.cmd('logs', task)).data.lines.length > 0);
    const { pid } = await world.stat(task);
    expect((await world.cmd('signal', task, { sig: 'SIGSTOP' })).status).toBe('ok');
    await waitFor(() => statOf(pid)?.state === 'T');
    expect((await world.cmd('stop', task)).status).toBe('ok');
    const { data } = await world.witness.untilEvent(task, 'stopped');
    expect(data).toMatchObject({ exit_code: 0, signal: null });
    const { lines } = (await world.cmd('logs', task)).data;
    expect(lines.map(({ line }: { line: string }) => line)).toContain('bye');
    await world.cmd('remove', task);
  });

  test('SIGKILL comes after second_sig_duration, and is told', async () => {
    const task = await world.run(STUBBORN, { second_sig_duration: 300 });
    await waitFor(() => world.pidsOf(task).length === 2);
    const beganMs = performance.now();
    await world.cmd('stop', task);
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(300 - 1);
    expect((await world.witness.untilEvent(task, 'stopped')).data).toMatchObject({
      exit_code: null,
      signal: 'SIGKILL',
    });
    await world.cmd('remove', task);
  });

  test('first_sig is the signal it gets', async () => {
    const script = 'trap "exit 7" INT; echo up; while :; do sleep 0.05; done';
    const task = await world.run(script, { first_sig: 'SIGINT' });
    await waitFor(async () => (await world.cmd('logs', task)).data.lines.length > 0);
    await world.cmd('stop', task);
    expect((await world.witness.untilEvent(task, 'stopped')).data).toMatchObject({ exit_code: 7 });
    await world.cmd('remove', task);
  });

  test('what a leader left that ended by itself is gone before the next one starts', async () => {
    const script = '[ "$SN_GENERATION" = 1 ] || exec sleep 1000; sleep 1000 & setsid sleep 1000 & sleep 0.2; exit 1';
    const task = await world.run(script);
    await world.witness.untilEvent(task, 'started', ({ data }) => data.generation === 2);
    const first = processesWith('SN_GENERATION', '1').map(({ pid }) => pid);
    expect(world.pidsOf(task).filter((pid) => first.includes(pid))).toEqual([]);
    await world.cmd('remove', task);
  });
});

test.each(NODE_KINDS)('the end of a node as %s is the end of all its workers', async (kind) => {
  const world = await ShellWorld.open(kind);
  const tasks = await Promise.all(
    Object.values(MANNERS).map(async ({ script, processes, fields }) => {
      const task = await world.run(script, fields);
      await waitFor(() => world.pidsOf(task).length === processes);
      return task;
    }),
  );
  await world.close();
  expect(tasks.flatMap((task) => world.pidsOf(task))).toEqual([]);
});

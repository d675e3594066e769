import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { environmentOf } from '../../src/adapters/proc.js';
import { connectApp, NODE_KINDS, type ReplyBody } from '../fixtures/nodes.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';
import { Witness } from '../fixtures/witness.js';

/** Tasks of several workers, calls and commands by lines, and what a task takes. */

const LINES = fileURLToPath(new URL('../fixtures/programs/lines.py', import.meta.url));

describe.concurrent.each(NODE_KINDS)('a pool of a node as %s', (kind) => {
  let world: ShellWorld;

  beforeAll(async () => {
    world = await ShellWorld.open(kind, {
      lines: { command: ['/usr/bin/python3', LINES], stdin: 'lines', stdout: 'data' },
    });
  });
  afterAll(() => world.close());

  /** The last reply to a call; parts before it are left out. */
  const call = (task: string, payload: string, fields = {}) =>
    world.cmd('call', task, { payload, timeout_ms: 15_000, ...fields });
  const workersOf = async (task: string): Promise<NonNullable<ReplyBody['data']>[]> => (await world.stat(task)).workers;
  const allReady = (task: string, count: number) =>
    world.app.untilStat(task, ({ workers }) => workers.filter(isReady).length === count);
  const isReady = ({ state }: { state: string }) => state === 'ready';
  const inFlight = (task: string, count: number) =>
    world.app.untilStat(task, ({ calls }) => calls?.in_flight === count);

  test('has workers of their own name, number, token and process, and one queue', async () => {
    const task = await world.run('echo "$SN_INSTANCE $SN_TASK_ID"; exec sleep 1000', { instances: 3, stdout: 'data' });
    const { state, instances, workers, generation } = await allReady(task, 3);
    expect({ state, instances, generation }).toEqual({ state: 'ready', instances: 3, generation: 1 });
    expect(workers.map(({ worker_id }: { worker_id: string }) => worker_id)).toEqual(
      [1, 2, 3].map((n) => `${task}~${n}`),
    );
    const pids: number[] = workers.map(({ pid }: { pid: number }) => pid);
    const tokens = await Promise.all(
      pids.map((pid) =>
        waitFor(() => {
          const token = environmentOf(pid, 'SN_TOKEN');
          return typeof token === 'object' && token.value;
        }),
      ),
    );
    expect(new Set(tokens).size).toBe(3);
    const entries = await world.take(task, 3);
    expect(entries.map(({ payload }) => payload).sort()).toEqual([1, 2, 3].map((n) => `${n} ${task}`));
    expect(entries.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect((await world.witness.untilState(task, (shown) => shown.workers.ready === 3)).state).toBe('ready');
    await world.cmd('remove', task);
  });

  test('is ready as long as one of its workers is; each restarts by itself, and events name it', async () => {
    const task = await world.run('exec sleep 1000', { instances: 2, backoff: { initial_ms: 400 } });
    const { workers } = await allReady(task, 2);
    process.kill(workers[1].pid, 'SIGKILL');
    const { data } = await world.witness.untilEvent(task, 'restarting');
    expect(data).toMatchObject({ worker_id: `${task}~2`, cause: 'signal', signal: 'SIGKILL' });
    const shown = await world.witness.untilState(task, ({ workers }) => workers.backoff === 1);
    expect(shown).toMatchObject({ state: 'ready', workers: { ready: 1, backoff: 1 }, cause: 'signal' });
    expect(shown.next_start_ts).toBeGreaterThan(shown.ts);
    await world.app.untilStat(task, (stat) => stat.workers.every(isReady) && stat.generation === 2);
    expect(await workersOf(task)).toMatchObject([
      { generation: 1, restarts: {}, pid: workers[0].pid },
      { generation: 2, restarts: { signal: 1 } },
    ]);
    expect(await world.stat(task)).toMatchObject({ restarts: { signal: 1 }, restarts_total: 1 });
    await world.cmd('remove', task);
  });

  test('a stop is answered when all are gone, and a restart when all run again', async () => {
    const task = await world.run('setsid sleep 1000 & exec sleep 1000', { instances: 3 });
    await waitFor(() => world.pidsOf(task).length === 6);
    const before = world.pidsOf(task);
    expect((await world.cmd('restart', task)).status).toBe('ok');
    await waitFor(() => world.pidsOf(task).length === 6);
    expect(world.pidsOf(task).filter((pid) => before.includes(pid))).toEqual([]);
    expect((await world.cmd('stop', task)).status).toBe('ok');
    expect(world.pidsOf(task)).toEqual([]);
    await world.cmd('remove', task);
  });

  describe('calls', () => {
    test('go to the least busy worker', async () => {
      const task = await world.start('lines', { instances: 2 });
      await allReady(task, 2);
      const endless = [call(task, 'never'), call(task, 'never')];
      await inFlight(task, 2);
      expect((await workersOf(task)).map(({ calls }) => calls)).toEqual([1, 1]);
      expect(await call(task, 'hello')).toMatchObject({ data: { part: 1, last: true, payload: 'HELLO' } });
      await world.cmd('stop', task);
      for (const reply of await Promise.all(endless)) expect(reply.code).toBe('SN_ERR_WORKER_GONE');
      await world.cmd('remove', task);
    });

    test('by lines bring parts, an end, an error; other lines are entries', async () => {
      const task = await world.start('lines');
      await world.app.untilState(task, 'ready');
      expect(await call(task, 'parts')).toMatchObject({ status: 'ok', data: { part: 1, last: false, payload: '0' } });
      expect(await call(task, 'error')).toMatchObject({ code: 'SN_ERR_CALL_FAILED' });
      expect(await call(task, 'never', { timeout_ms: 100 })).toMatchObject({ code: 'SN_ERR_CALL_TIMEOUT' });
      expect(await call(task, 'é "\\')).toMatchObject({ data: { payload: 'É "\\' } });
      expect((await world.stat(task)).calls).toEqual({ in_flight: 0, total: 4, failed: 2 });
      expect((await world.stat(task)).queue.seq).toBe(0);
      await world.cmd('remove', task);
    });

    test('fail at once, with the cause, when their worker dies', async () => {
      const task = await world.start('lines');
      await world.app.untilState(task, 'ready');
      expect(await call(task, 'die')).toMatchObject({
        code: 'SN_ERR_WORKER_GONE',
        error: expect.stringMatching(/: the worker is gone: exit code 9$/),
      });
      await world.app.untilStat(task, ({ state, generation }) => state === 'ready' && generation === 2);
      expect(await call(task, 'again')).toMatchObject({ data: { payload: 'AGAIN' } });
      await world.cmd('remove', task);
    });

    test.each([
      ['is restarted', 'restart', /command/],
      ['is stopped', 'stop', /SIGTERM/],
      ['is removed', 'remove', /SIGTERM/],
    ])('fail at once when their worker %s', async (_how, cmd, cause) => {
      const task = await world.start('lines');
      await world.app.untilState(task, 'ready');
      const endless = call(task, 'never');
      await inFlight(task, 1);
      expect((await world.cmd(cmd, task)).status).toBe('ok');
      expect(await endless).toMatchObject({ code: 'SN_ERR_WORKER_GONE', error: expect.stringMatching(cause) });
      await world.cmd('remove', task);
    });

    test('fail with the limit that their worker was over', async () => {
      const task = await world.start('lines', { exec_timeout_ms: 1_000 });
      await world.app.untilState(task, 'ready');
      expect(await call(task, 'never')).toMatchObject({
        code: 'SN_ERR_WORKER_GONE',
        error: expect.stringMatching(/exec_timeout/),
      });
      await world.cmd('remove', task);
    });
  });

  describe('commands by lines', () => {
    test('reach every worker as a line', async () => {
      const task = await world.start('lines', { instances: 2 });
      await allReady(task, 2);
      expect(await world.cmd('send', task, { payload: 'hello' })).toMatchObject({ data: { channels: 2 } });
      // Its reply has no transaction: a connection of its own tells it apart.
      const alone = await connectApp(world.node.port);
      expect(await alone.askRaw(`m/cmd/${task}`, 'raw bytes')).toMatchObject({ status: 'ok', data: { channels: 2 } });
      await alone.client.disconnect();
      const told = (await world.take(task, 4)).map(({ payload }) => payload);
      expect(told.sort()).toEqual(['told hello', 'told hello', 'told raw bytes', 'told raw bytes']);
      await world.cmd('remove', task);
    });

    test('with a line end in them are refused', async () => {
      const task = await world.start('lines');
      await world.app.untilState(task, 'ready');
      const refusal = { code: 'SN_ERR_REQUEST', error: expect.stringContaining('line end') };
      expect(await world.cmd('send', task, { payload: 'two\nlines' })).toMatchObject(refusal);
      expect(await world.cmd('send', task, { payload_base64: Buffer.from('x\n').toString('base64') })).toMatchObject(
        refusal,
      );
      expect(await world.cmd('send', task, { payload: 'fine' })).toMatchObject({ data: { channels: 1 } });
      expect((await world.take(task, 1))[0].payload).toBe('told fine');
      await world.cmd('remove', task);
    });

    test('and calls are not for a task that takes none, or is not at work', async () => {
      const deaf = await world.start('lines', { accept_tasks: 'no' });
      await world.app.untilState(deaf, 'ready');
      const stopped = await world.start('lines');
      await world.cmd('stop', stopped);
      for (const task of [deaf, stopped]) {
        expect(await world.cmd('send', task, { payload: 'hello' })).toMatchObject({ code: 'SN_ERR_NO_CHANNEL' });
        expect(await call(task, 'hello')).toMatchObject({ code: 'SN_ERR_NO_CHANNEL' });
        await world.cmd('remove', task);
      }
    });
  });

  test('m/usage/<task> tells of all its processes together, about every two seconds', async () => {
    const heard = await Witness.connect(world.node.port, 'm/usage/+');
    const task = await world.run('echo one; sleep 1000 & exec sleep 1000', { instances: 2, stdout: 'data' });
    const net = `net-${world.mark}`;
    await world.app.client.publish(`w/ch/${net}`, 'twelve bytes', { qos: 1 });
    const figures = () => heard.texts(`m/usage/${task}`).map((text) => JSON.parse(text));
    const beganMs = performance.now();
    await waitFor(() => figures().length >= 2 && figures().some(({ children }) => children === 2));
    expect(figures().length).toBeLessThanOrEqual(Math.floor((performance.now() - beganMs) / 2_000) + 2);
    const last = figures().find(({ children }) => children === 2);
    expect(last).toEqual({
      task_id: task,
      ts: expect.any(Number),
      cpu_percent: expect.any(Number),
      rss_kb: expect.any(Number),
      children: 2,
      queue: { length: 2, bytes: 6, dropped: 0 },
    });
    expect(last.rss_kb).toBeGreaterThan(0);
    expect(await world.stat(task)).toMatchObject({ children: 2, rss_kb: expect.any(Number) });
    const bare = await waitFor(() => heard.texts(`m/usage/${net}`)[0]);
    expect(JSON.parse(bare)).toEqual({
      task_id: net,
      ts: expect.any(Number),
      queue: { length: 1, bytes: 12, dropped: 0 },
    });
    heard.client.kill();
    for (const one of [task, net]) await world.cmd('remove', one);
  });
});

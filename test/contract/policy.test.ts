import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { statOf } from '../../src/adapters/proc.js';
import { NODE_KINDS } from '../fixtures/nodes.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';
import { Witness } from '../fixtures/witness.js';

/** When a worker is started again, and what commands do that come at an odd time. */

const NEVER = { backoff: { initial_ms: 3_600_000, max_ms: 3_600_000 } };
const STUBBORN = 'trap "" TERM; echo up; while :; do sleep 0.05; done';

describe.concurrent.each(NODE_KINDS)('the policy of a node as %s', (kind) => {
  let world: ShellWorld;

  beforeAll(async () => {
    world = await ShellWorld.open(kind, { nothing: { command: ['/no/such/program'] } });
  });
  afterAll(() => world.close());

  /** A worker that ignores SIGTERM by now. */
  async function stubborn(second_sig_duration = 300): Promise<string> {
    const task = await world.run(STUBBORN, { second_sig_duration });
    await waitFor(async () => (await world.cmd('logs', task)).data.lines.length > 0);
    return task;
  }

  describe('restart', () => {
    test.each([
      ['on-failure', 'exit 0', {}, 'exited'],
      ['on-failure', 'exit 7', { success_codes: [0, 7] }, 'exited'],
      ['on-failure', 'exit 0', { success_codes: [7] }, 'backoff'],
      ['on-failure', 'exit 7', {}, 'backoff'],
      ['on-failure', 'kill -9 $$', {}, 'backoff'],
      ['always', 'exit 0', {}, 'backoff'],
      ['never', 'exit 0', {}, 'exited'],
      ['never', 'exit 7', { success_codes: [7] }, 'exited'],
      ['never', 'exit 7', {}, 'failed'],
      ['never', 'kill -9 $$', {}, 'failed'],
    ])('%s, %s %o: %s', async (restart, script, fields, state) => {
      const task = await world.run(script, { restart, ...fields, ...NEVER });
      const stat = await world.app.untilState(task, state);
      expect(stat.restarts_total).toBe(state === 'backoff' ? 1 : 0);
      expect(stat.next_start_ts !== undefined).toBe(state === 'backoff');
      const type = state === 'backoff' ? 'restarting' : state;
      const { data } = await world.witness.untilEvent(task, type);
      const killed = script.startsWith('kill');
      expect(data).toMatchObject(
        killed ? { exit_code: null, signal: 'SIGKILL' } : { exit_code: Number(script.split(' ')[1]), signal: null },
      );
      await world.cmd('remove', task);
    });

    test('never, and a program that cannot be started: failed', async () => {
      const task = await world.start('nothing', { restart: 'never' });
      const { data } = await world.witness.untilEvent(task, 'failed');
      expect(data).toEqual({ cause: 'spawn_error', error: expect.stringContaining('ENOENT') });
      expect(await world.stat(task)).toMatchObject({ state: 'failed', cause: 'spawn_error', restarts: {} });
      await world.cmd('remove', task);
    });

    test('max_restarts in a row, then failed; a start begins anew', async () => {
      const task = await world.run('exit 1', { max_restarts: 2, backoff: { initial_ms: 1 } });
      expect(await world.app.untilState(task, 'failed')).toMatchObject({ generation: 3, restarts: { exit: 2 } });
      const record = { worker: 'sh', start_params: 'exit 1', max_restarts: 2, backoff: { initial_ms: 1 } };
      expect((await world.cmd('start', task, record)).status).toBe('ok');
      await world.app.untilStat(task, ({ state, generation }) => state === 'failed' && generation === 6);
      expect((await world.stat(task)).restarts).toEqual({ exit: 4 });
      await waitFor(() => world.witness.events(task, 'failed').length === 2);
      await world.cmd('remove', task);
    });
  });

  test('a stop during backoff is done at once, and nothing starts', async () => {
    const task = await world.run('exit 1', { backoff: { initial_ms: 400 } });
    await world.app.untilState(task, 'backoff');
    expect((await world.cmd('stop', task)).status).toBe('ok');
    const stat = await world.stat(task);
    expect(stat).toMatchObject({ state: 'stopped', generation: 1 });
    expect(stat.next_start_ts).toBeUndefined();
    // The pause that it does not outlive is over when another one like it is.
    const like = await world.run('exit 1', { backoff: { initial_ms: 400 } });
    await world.witness.untilEvent(like, 'started', ({ data }) => data.generation === 2);
    expect(await world.stat(task)).toMatchObject({ state: 'stopped', generation: 1 });
    for (const one of [task, like]) await world.cmd('remove', one);
  });

  test('a start or a restart during backoff does not wait any longer', async () => {
    const script = '[ $SN_GENERATION = 3 ] && exec sleep 1000; exit 1';
    const record = { worker: 'sh', start_params: script, ...NEVER };
    const task = await world.run(script, NEVER);
    await world.app.untilState(task, 'backoff');
    expect((await world.cmd('start', task, record)).status).toBe('ok');
    await world.app.untilStat(task, ({ state, generation }) => state === 'backoff' && generation === 2);
    expect((await world.cmd('restart', task)).status).toBe('ok');
    await world.app.untilStat(task, ({ state, generation }) => state === 'ready' && generation === 3);
    await world.cmd('remove', task);
  });

  test('a start during stopping starts when the stop is through, and both are answered', async () => {
    const task = await stubborn();
    const { pid } = await world.stat(task);
    const stop = world.cmd('stop', task);
    await world.app.untilState(task, 'stopping');
    const record = { worker: 'sh', start_params: STUBBORN, second_sig_duration: 300 };
    expect((await world.cmd('start', task, record)).status).toBe('ok');
    expect((await stop).status).toBe('ok');
    expect(statOf(pid)).toBeUndefined();
    const stat = await world.app.untilState(task, 'ready');
    expect(stat).toMatchObject({ generation: 2, restarts_total: 0 });
    await world.cmd('remove', task);
  });

  test('a restart that a stop or a remove overtakes says so', async () => {
    for (const cmd of ['stop', 'remove']) {
      const task = await stubborn();
      const restart = world.cmd('restart', task);
      await world.app.untilState(task, 'stopping');
      expect((await world.cmd(cmd, task)).status).toBe('ok');
      expect(await restart).toMatchObject({ status: 'error', code: 'SN_ERR_SUPERSEDED' });
      expect(world.pidsOf(task)).toEqual([]);
      await world.cmd('remove', task);
    }
  });

  describe('remove', () => {
    test.each([
      ['starting', () => world.run('exec sleep 1000', { ready: 'connect' })],
      ['ready', () => world.run('exec sleep 1000')],
      ['backoff', () => world.run('exit 1', NEVER)],
      ['exited', () => world.run('exit 0', { restart: 'never' })],
      ['failed', () => world.run('exit 1', { restart: 'never' })],
      ['stopping', stopping],
      ['stopped', stopped],
    ])('%s: forgets the task, its queue and its retained state', async (state, start) => {
      const task = await start();
      await world.app.untilState(task, state);
      expect(await world.cmd('remove', task)).toMatchObject({ status: 'ok', data: { task_id: task } });
      expect(world.pidsOf(task)).toEqual([]);
      expect((await world.app.ask(`m/stat/${task}`)).code).toBe('SN_ERR_TASK_UNKNOWN');
      expect((await world.app.ask(`m/fetch/${task}`)).code).toBe('SN_ERR_TASK_UNKNOWN');
      expect(await world.cmd('stop', task)).toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
      await waitFor(() => world.witness.texts(`m/state/${task}`).at(-1) === '');
      const late = await Witness.connect(world.node.port, `m/state/${task}`, 'm/info');
      await waitFor(() => late.texts('m/info').length > 0);
      expect(late.texts(`m/state/${task}`)).toEqual([]);
      late.client.kill();
    });

    async function stopping(): Promise<string> {
      const task = await stubborn();
      void world.cmd('stop', task);
      return task;
    }

    async function stopped(): Promise<string> {
      const task = await world.run('exec sleep 1000');
      await world.cmd('stop', task);
      return task;
    }

    test('a start that comes during it makes the task anew', async () => {
      const task = await stubborn();
      const { epoch } = (await world.stat(task)).queue;
      const remove = world.cmd('remove', task);
      await world.app.untilState(task, 'stopping');
      expect((await world.cmd('start', task, { worker: 'sh', start_params: 'exec sleep 1000' })).status).toBe('ok');
      expect((await remove).status).toBe('ok');
      const stat = await world.app.untilState(task, 'ready');
      expect(stat.generation).toBe(1);
      expect(stat.queue.epoch).not.toBe(epoch);
      await world.cmd('remove', task);
    });
  });

  test('start of what runs: the same record is fine, another one is not', async () => {
    const task = await world.run('exec sleep 1000');
    await world.app.untilState(task, 'ready');
    const same = { worker: 'sh', start_params: 'exec sleep 1000' };
    expect(await world.cmd('start', task, same)).toMatchObject({ status: 'ok', data: { task_id: task } });
    expect(await world.cmd('start', task, { ...same, memory_limit_kb: 1 })).toMatchObject({
      code: 'SN_ERR_TASK_EXISTS',
    });
    expect(await world.stat(task)).toMatchObject({ generation: 1, record: { memory_limit_kb: 0 } });
    await world.cmd('stop', task);
    expect((await world.cmd('start', task, { ...same, memory_limit_kb: 9e9 })).status).toBe('ok');
    expect(await world.app.untilState(task, 'ready')).toMatchObject({
      generation: 2,
      record: { memory_limit_kb: 9e9 },
    });
    await world.cmd('remove', task);
  });

  test('signal reaches the whole group, and nothing where nothing runs', async () => {
    const script =
      'trap "echo outer" USR1; (trap "echo inner" USR1; echo up; while :; do sleep 0.05; done) & while :; do wait; done';
    const task = await world.run(script);
    const lines = async (): Promise<string[]> =>
      (await world.cmd('logs', task)).data.lines.map(({ line }: { line: string }) => line);
    await waitFor(async () => (await lines()).includes('up'));
    expect(await world.cmd('signal', task, { sig: 'SIGUSR1' })).toMatchObject({
      status: 'ok',
      data: { task_id: task },
    });
    await waitFor(async () => {
      const told = await lines();
      return told.includes('inner') && told.includes('outer');
    });
    expect(await world.cmd('signal', task, { sig: 'SIGBUS' })).toMatchObject({ code: 'SN_ERR_REQUEST' });
    const { pid } = await world.stat(task);
    await world.cmd('signal', task, { sig: 'SIGSTOP' });
    await waitFor(() => statOf(pid)?.state === 'T');
    await world.cmd('signal', task, { sig: 'SIGCONT' });
    await waitFor(() => statOf(pid)?.state !== 'T');
    await world.cmd('signal', task, { sig: 'SIGKILL' });
    expect((await world.witness.untilEvent(task, 'restarting')).data).toMatchObject({
      cause: 'signal',
      signal: 'SIGKILL',
    });
    await world.cmd('stop', task);
    expect(await world.cmd('signal', task, { sig: 'SIGTERM' })).toMatchObject({ code: 'SN_ERR_NOT_RUNNING' });
    await world.cmd('remove', task);
  });

  test('the pause grows by its factor, and is back at the first after reset_ms of being ready', async () => {
    const backoff = { initial_ms: 100, factor: 3, max_ms: 10_000, jitter: 0, reset_ms: 1_000 };
    const task = await world.run('[ $SN_GENERATION = 3 ] && exec sleep 1000; exit 1', { backoff });
    const { pid } = await world.app.untilStat(task, ({ state, generation }) => state === 'ready' && generation === 3);
    const { ts } = await world.witness.untilEvent(task, 'ready', ({ data }) => data.generation === 3);
    await waitFor(() => Date.now() - ts > 1_200);
    process.kill(pid, 'SIGKILL');
    const shown = await waitFor(() => {
      const states = world.witness.states(task).filter(({ state }) => state === 'backoff');
      return states.length >= 3 && states;
    });
    const pauses = shown.slice(0, 3).map(({ next_start_ts, ts: since }) => next_start_ts - since);
    for (const [at, planned] of [100, 300, 100].entries()) {
      expect(pauses[at]).toBeGreaterThanOrEqual(planned - 1);
      expect(pauses[at]).toBeLessThan(planned + 150);
    }
    await world.cmd('remove', task);
  });
});

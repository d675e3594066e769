import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeConfig } from '../../src/app/super-node.js';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';

/** What was commanded outlives the node, where it has a `data_dir`. */

const WORKERS: NonNullable<NodeConfig['workers']> = {
  sleeps: { command: ['sleep', '1000'], ready: 'spawn', second_sig_duration: 500 },
  stubborn: { command: ['sh', '-c', 'trap "" TERM; sleep 1000'], ready: 'spawn', second_sig_duration: 400 },
  echoes: { command: ['sh', '-c', 'echo "$0"; exec sleep 1000', '{start_params}'], ready: 'spawn', stdout: 'data' },
};

describe.each(NODE_KINDS)('a node as %s that is started again', (kind) => {
  let dir: string;
  let node: TestNode | undefined;
  let app: App;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sn-memory-'));
  });
  afterEach(async () => {
    await stop();
    rmSync(dir, { recursive: true, force: true });
  });

  async function stop(): Promise<void> {
    await node?.close();
    node = undefined;
  }
  const file = () => join(dir, 'data', 'tasks.json');

  async function start(config: NodeConfig = {}): Promise<void> {
    await stop();
    const queue = { storage: 'memory' as const };
    node = await startTestNode(kind, { data_dir: join(dir, 'data'), workers: WORKERS, queue, ...config });
    app = await connectApp(node.port);
  }
  async function states(): Promise<Record<string, string>> {
    const { data } = await app.ask('m/stat');
    return Object.fromEntries(
      data.tasks.map(({ task_id, state }: { task_id: string; state: string }) => [task_id, state]),
    );
  }
  async function ignored(): Promise<number> {
    return (await app.ask('m/stat')).data.events.record_ignored ?? 0;
  }
  const cmd = async (name: string, task_id: string, fields = {}) =>
    expect(await app.cmd(name, { task_id, ...fields })).toMatchObject({ status: 'ok' });

  test('runs what was commanded, with its fields, and leaves at rest what was stopped', async () => {
    await start();
    await cmd('start', 'runs', { worker: 'echoes', start_params: 'as before' });
    await cmd('start', 'rests', { worker: 'sleeps' });
    await cmd('stop', 'rests');
    await cmd('start', 'goes', { worker: 'sleeps' });
    await cmd('remove', 'goes');
    await start();
    expect(await states()).toEqual({ runs: 'ready', rests: 'stopped' });
    const { data } = await app.ask('m/fetch/runs', { wait_ms: 5_000 });
    expect(data.entries).toMatchObject([{ payload: 'as before' }]);
    await cmd('start', 'rests', { worker: 'sleeps' });
    await cmd('stop', 'runs');
    await cmd('restart', 'runs');
    await start();
    expect(await states()).toEqual({ runs: 'ready', rests: 'ready' });
  });

  test('holds to the wanted state of a task of the config, and to its config otherwise', async () => {
    const tasks: NonNullable<NodeConfig['tasks']> = [{ task_id: 'a', worker: 'sleeps' }];
    await start({ tasks });
    await cmd('stop', 'a');
    await start({ tasks });
    expect(await states()).toEqual({ a: 'stopped' });
    await cmd('start', 'a', { worker: 'echoes', start_params: 'other' });
    expect((await app.ask('m/stat/a')).data.record.worker).toBe('echoes');
    await start({ tasks });
    expect((await app.ask('m/stat/a')).data).toMatchObject({ state: 'ready', record: { worker: 'sleeps' } });
    expect(await ignored()).toBe(1);
    await start({ tasks });
    expect(await ignored()).toBe(0);
    await cmd('stop', 'a');
    await start();
    expect(await states()).toEqual({});
    await start({ tasks });
    expect(await states()).toEqual({ a: 'ready' });
  });

  test('has what queues on its disk hold, also of tasks that nobody names any more', async () => {
    const queue = { storage: 'disk' as const };
    await start({
      queue,
      tasks: [
        { task_id: 'gone', worker: 'sleeps' },
        { task_id: 'empty', worker: 'sleeps' },
      ],
    });
    await app.client.publish('w/ch/gone', 'from before', { qos: 1 });
    await app.client.publish('w/ch/sensor', 'as well', { qos: 1 });
    await app.client.publish('w/ch/dropped', 'no more', { qos: 1 });
    await cmd('remove', 'dropped');
    // Wherever new ones are kept.
    await start();
    expect(await states()).toEqual({ gone: 'pending', sensor: 'pending' });
    const { data } = await app.ask('m/fetch', { max: 10 });
    expect(data.entries).toMatchObject([{ payload: 'from before' }, { payload: 'as well' }]);
    await start({ queue });
    expect(await states()).toEqual({});
  });

  test('takes nothing for a net task that was stopped', async () => {
    await start();
    await app.client.publish('w/ch/sensor', 'before', { qos: 1 });
    await cmd('stop', 'sensor');
    await start();
    await app.client.publish('w/ch/sensor', 'after', { qos: 1 });
    expect((await app.ask('m/stat/sensor')).data).toMatchObject({ state: 'stopped', queue: { seq: 0, discarded: 1 } });
  });

  test('tells of a task whose template is gone, and has it again when that is back', async () => {
    await start();
    await cmd('start', 'a', { worker: 'sleeps' });
    await cmd('start', 'b', { worker: 'echoes' });
    await start({ workers: { echoes: { command: ['sleep', '1000'], ready: 'spawn' } } });
    expect(await states()).toEqual({ b: 'ready' });
    expect(await ignored()).toBe(1);
    await start();
    expect(await states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('starts with what it can read of a damaged file, and keeps that', async () => {
    await start();
    await cmd('start', 'a', { worker: 'sleeps' });
    await cmd('start', 'b', { worker: 'sleeps' });
    await stop();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    const text = readFileSync(file(), 'utf8');
    writeFileSync(file(), text.replace('"wanted":"run"', '"wanted":"fly"'));
    await start();
    expect(await states()).toEqual({ b: 'ready' });
    expect(readFileSync(`${file()}.damaged`, 'utf8')).toContain('"wanted":"fly"');
    await stop();
    writeFileSync(file(), text.slice(0, 40));
    await start({ tasks: [{ task_id: 'c', worker: 'sleeps' }] });
    expect(await states()).toEqual({ c: 'ready' });
  });

  test('starts whatever ids the file has, and takes no task under another name', async () => {
    await start();
    await stop();
    const entries = [
      { task_id: 'a/b', wanted: 'run', task: { task_id: 'a/b' } },
      { task_id: 'a', wanted: 'run', task: { task_id: 'other', worker: 'sleeps' } },
      { task_id: 'c', wanted: 'run', task: { task_id: 'c', worker: 'sleeps' } },
    ];
    writeFileSync(file(), JSON.stringify({ version: 1, tasks: entries }));
    await start();
    expect(await states()).toEqual({ c: 'ready' });
  });

  test('does not bring back what was removed, whatever was commanded while it went', async () => {
    await start();
    await cmd('start', 't', { worker: 'stubborn' });
    await app.untilState('t', 'ready');
    const removed = cmd('remove', 't');
    await app.untilState('t', 'stopping');
    await cmd('start', 't', { worker: 'stubborn' });
    await Promise.all([removed, cmd('stop', 't')]);
    await start();
    expect(await states()).toEqual({});
  });

  test('does not let a remembered record do what a request may not', async () => {
    await start();
    await stop();
    const task = { task_id: 'evil', command: ['sleep', '1000'] };
    writeFileSync(file(), JSON.stringify({ version: 1, tasks: [{ task_id: 'evil', wanted: 'run', task }] }));
    await start();
    expect(await states()).toEqual({});
    expect(await ignored()).toBe(1);
  });
});

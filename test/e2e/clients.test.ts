import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isDead, statOf } from '../../src/adapters/proc.js';
import { CLI, type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { requireOrSkip, SYSTEM_PYTHON } from '../fixtures/system.js';
import { waitFor } from '../fixtures/wait-for.js';

const run = promisify(execFile);
const PYTHON_WORKER = fileURLToPath(new URL('../../examples/workers/paho_worker.py', import.meta.url));

describe.skipIf(requireOrSkip('mosquitto_pub', 'mosquitto_sub', 'mosquitto_rr', 'paho'))('clients of others', () => {
  let node: DaemonProcess;
  let app: App;
  const at = () => ['-h', '127.0.0.1', '-p', String(node.port)];

  beforeAll(async () => {
    node = await startDaemonProcess({
      workers: {
        python: { command: [SYSTEM_PYTHON, PYTHON_WORKER], heartbeat_interval: 1_000, backoff: { initial_ms: 50 } },
      },
    });
    app = await connectApp(node.port);
  });
  afterAll(async () => {
    expect(await node.end()).toBe(0);
  });

  test.each(['0', '1', '2'])('mosquitto_pub feeds a task at QoS %s', async (qos) => {
    await run('mosquitto_pub', [...at(), '-q', qos, '-t', `w/ch/pub${qos}`, '-m', 'a reading']);
    expect((await app.ask(`m/fetch/pub${qos}`, { wait_ms: 2_000 })).data.entries).toMatchObject([
      { payload: 'a reading' },
    ]);
  });

  test('mosquitto_rr asks and gets its answer', async () => {
    const request = ['-V', '311', '-q', '1', '-t', 'm/stat', '-e', 'm/reply', '-m', '{"transaction":"rr"}'];
    const { stdout } = await run('mosquitto_rr', [...at(), ...request]);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'ok', transaction: 'rr', data: { name: 'super-node' } });
  });

  test('mosquitto_rr of MQTT 5 is told to choose 3.1.1', async () => {
    const request = ['-V', '5', '-t', 'm/stat', '-e', 'm/reply', '-m', ''];
    await expect(run('mosquitto_rr', [...at(), ...request])).rejects.toThrow(/[Pp]rotocol [Vv]ersion/);
  });

  test('mosquitto_sub hears what is put', async () => {
    const subscriber = spawn('mosquitto_sub', [...at(), '-t', 'm/data/heard', '-v', '-C', '1']);
    let output = '';
    subscriber.stdout.on('data', (chunk) => {
      output += chunk;
    });
    // It does not say when it has subscribed: it is told until it has heard.
    const telling = setInterval(() => void app.client.publish('w/ch/heard', 'hello', { qos: 1 }), 50);
    await once(subscriber, 'close');
    clearInterval(telling);
    expect(output).toBe('m/data/heard hello\n');
  });

  test('a worker on paho lives through a command, SIGSTOP and SIGKILL', async () => {
    await app.cmd('start', { task_id: 'py', worker: 'python', start_params: '/' });
    const first = await app.untilState('py', 'ready');
    expect((await app.ask('m/fetch/py', { wait_ms: 5_000 })).data.entries).toHaveLength(1);
    await app.untilStat('py', () => true);
    process.kill(first.pid, 'SIGSTOP');
    const second = await app.untilStat('py', ({ state, generation }) => state === 'ready' && generation === 2);
    expect(second.restarts).toEqual({ heartbeat: 1 });
    process.kill(second.pid, 'SIGKILL');
    const third = await app.untilStat('py', ({ state, generation }) => state === 'ready' && generation === 3);
    expect(third.restarts).toEqual({ heartbeat: 1, signal: 1 });
    expect((await app.cmd('stop', { task_id: 'py' })).status).toBe('ok');
    expect((await app.ask('m/stat/py')).data).toMatchObject({ state: 'stopped', exit_code: 0 });
  });

  test('the command line sees the same node', async () => {
    const url = ['--url', `mqtt://127.0.0.1:${node.port}`, '--json'];
    const { stdout } = await run(process.execPath, [CLI, 'stat', ...url]);
    expect(JSON.parse(stdout).data ?? JSON.parse(stdout)).toMatchObject({ name: 'super-node' });
    const failed = run(process.execPath, [CLI, 'stop', 'nobody', ...url]);
    await expect(failed).rejects.toMatchObject({ code: 1 });
  });
});

describe('a node that crashes', () => {
  test('leaves children, which the next start ends before it starts new ones', async () => {
    const config = {
      data_dir: join(mkdtempSync(join(tmpdir(), 'sn-data-')), 'data'),
      tasks: [{ task_id: 'orphan', command: ['sleep', '600'] as [string, ...string[]], ready: 'spawn' as const }],
    };
    const first = await startDaemonProcess(config);
    const app = await connectApp(first.port);
    const { pid } = await app.untilState('orphan', 'ready');
    const second = startDaemonProcess(config);
    await expect(second).rejects.toThrow(/SN_ERR_DATA_DIR/);
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    expect(isAlive(pid)).toBe(true);
    const third = await startDaemonProcess(config);
    expect(isAlive(pid)).toBe(false);
    const next = await (await connectApp(third.port)).untilState('orphan', 'ready');
    expect(next.pid).not.toBe(pid);
    expect(third.log).toContainEqual(
      expect.objectContaining({ msg: expect.stringContaining('left behind'), ended: 1 }),
    );
    expect(await third.end()).toBe(0);
    expect(isAlive(next.pid)).toBe(false);
  });

  test('and a full disk starts workers all the same, and finds what a crash left once there is room again', async () => {
    const config = {
      data_dir: join(mkdtempSync(join(tmpdir(), 'sn-data-')), 'data'),
      logs: { files: 0 },
      workers: { sleeps: { command: ['sleep', '600'] as [string, ...string[]], ready: 'spawn' as const } },
    };
    const node = await startDaemonProcess(config);
    const app = await connectApp(node.port);
    const task = (task_id: string) => app.cmd('start', { task_id, worker: 'sleeps' });
    const limitFiles = (bytes: string) => run('prlimit', ['--pid', String(node.child.pid), `--fsize=${bytes}:`]);
    const told = (text: string) => waitFor(() => node.log.some(({ msg }) => String(msg).includes(text)));
    expect((await task('a')).status).toBe('ok');
    await limitFiles('300');
    for (const id of ['b', 'c', 'd']) expect((await task(id)).status).toBe('ok');
    await told('cannot be written');
    expect((await app.cmd('restart', { task_id: 'b' })).status).toBe('ok');
    await limitFiles('unlimited');
    expect((await task('e')).status).toBe('ok');
    await told('whole again');
    node.child.kill('SIGKILL');
    await once(node.child, 'exit');
    const next = await startDaemonProcess(config);
    expect(next.log).toContainEqual(expect.objectContaining({ ended: 5 }));
    const { data } = await (await connectApp(next.port)).ask('m/stat');
    expect(data.tasks.map(({ task_id }: { task_id: string }) => task_id)).toEqual(['a', 'b', 'c', 'd', 'e']);
    await next.end();
  });

  test('a planned stop ends the workers and says offline', async () => {
    const node = await startDaemonProcess({
      tasks: [{ task_id: 'sleeper', command: ['sleep', '600'], ready: 'spawn' }],
    });
    const app = await connectApp(node.port);
    const { pid } = await app.untilState('sleeper', 'ready');
    await app.client.subscribe({ filter: 'm/state/#', qos: 1 });
    const offline = app.client.waitFor(
      (frame) => frame.type === 'publish' && frame.topic === 'm/state' && String(frame.payload) === 'offline',
    );
    expect(await node.end('SIGINT')).toBe(0);
    await offline;
    expect(isAlive(pid)).toBe(false);
  });
});

/** A zombie is dead; nobody may be there to reap it. */
function isAlive(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && !isDead(stat);
}

import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CLI, type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { SeededRandom } from '../fixtures/seeded-random.js';

const run = promisify(execFile);

/** Some of every kind: empty, text, bytes that are no text, and a few that nearly fill a packet. */
function payloads(count: number): Buffer[] {
  const random = new SeededRandom(7);
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.between(0, 255)));
  return Array.from({ length: count }, (_, index) => {
    if (index % 10 === 0) return Buffer.alloc(0);
    if (index === 501) return Buffer.alloc(1_000_000);
    if (index % 200 === 3) return bytes(300_000);
    return index % 2 === 0 ? Buffer.from(`Grüße ${index}\r\n\t"\u2028\u0000`) : bytes(random.between(1, 200));
  });
}

describe('queue export and import, against a node', () => {
  let dir: string;
  let node: DaemonProcess;
  let app: App;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sn-queue-files-'));
    const queue = { length: 2_000, bytes: 16_777_216 };
    node = await startDaemonProcess({
      data_dir: join(dir, 'data'),
      tasks: [
        { task_id: 'from', queue: { ...queue, storage: 'memory' } },
        { task_id: 'to', queue: { ...queue, storage: 'disk' } },
        { task_id: 'narrow', queue: { length: 10, overflow: 'block' } },
      ],
    });
    app = await connectApp(node.port);
  });
  afterEach(async () => {
    await node.end();
    rmSync(dir, { recursive: true, force: true });
  });

  const env = () => ({ ...process.env, SN_URL: `mqtt://127.0.0.1:${node.port}` });
  const queue = (...args: string[]) => run(process.execPath, [CLI, 'queue', ...args], { env: env() });
  const contentOf = (file: string) =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => {
        const { seq, payload, payload_base64 } = JSON.parse(line);
        return { seq, bytes: payload === undefined ? Buffer.from(payload_base64, 'base64') : Buffer.from(payload) };
      });

  test('1000 entries, binary, empty and large, come through byte for byte, and none is taken', async () => {
    const put = payloads(1_000);
    for (const payload of put) await app.client.publish('w/ch/from', payload, { qos: 1 });
    const { stderr } = await run(
      'sh',
      ['-c', '"$0" "$1" queue export from | "$0" "$1" queue import to', process.execPath, CLI],
      {
        env: env(),
      },
    );
    const bytes = put.reduce((sum, { length }) => sum + length, 0);
    expect(stderr).toBe(`exported 1000 entries, ${bytes} bytes\n`);

    const file = join(dir, 'to.ndjson');
    await queue('export', 'to', '-o', file);
    const held = contentOf(file);
    expect(held.map(({ seq }) => seq)).toEqual(put.map((_, index) => index + 1));
    const different = held.findIndex(({ bytes: is }, index) => !is.equals(put[index] ?? Buffer.from('nothing')));
    expect(different).toBe(-1);
    expect((await app.ask('m/stat/from')).data.queue).toMatchObject({ length: 1_000, ready: 1_000 });

    const shown = JSON.parse((await queue('inspect', 'to', '--json')).stdout);
    expect(shown).toMatchObject({
      queue: { length: 1_000, bytes, seq: 1_000, dropped: 0, bounds: { storage: 'disk' } },
      oldest: { seq: 1, bytes: 0, start: '', encoding: 'text' },
    });
  });

  test('at a wrong line all before it are in, and nothing after it', async () => {
    const file = join(dir, 'wrong.ndjson');
    const lines = Array.from({ length: 500 }, (_, index) => JSON.stringify({ payload: `${index}` }));
    writeFileSync(file, lines.with(300, '{"payload": 300}').join('\n'));
    await expect(queue('import', 'to', file)).rejects.toMatchObject({
      code: 2,
      stdout: '',
      stderr: `super-node: ${file} line 301: expected text as payload, got 300; imported 300 entries, 790 bytes, up to line 300\n`,
    });
    expect((await app.ask('m/stat/to')).data.queue).toMatchObject({ length: 300, seq: 300 });
  });

  test('a queue that blocks takes everything as it gets room', async () => {
    const child = spawn(process.execPath, [CLI, 'queue', 'import', 'narrow', '--timeout', '2000'], { env: env() });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.stdin.end(Array.from({ length: 300 }, (_, index) => `{"payload":"${index}"}\n`).join(''));
    await app.untilStat('narrow', ({ queue: { length } }) => length === 10);
    const taken: string[] = [];
    while (taken.length < 300) {
      const { data } = await app.ask('m/fetch/narrow', { max: 7, wait_ms: 5_000 });
      taken.push(...data.entries.map(({ payload }: { payload: string }) => payload));
    }
    expect(await ended).toBe(0);
    expect(taken).toEqual(Array.from({ length: 300 }, (_, index) => `${index}`));
  });
});

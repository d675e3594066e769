import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodePublish } from '../../src/transport/encode.js';
import { type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';

const LIMIT_BYTES = 1_500_000;

let dir: string;
let node: DaemonProcess;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-disk-'));
});

afterEach(async () => {
  await node.end('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

const start = () =>
  startDaemonProcess({
    data_dir: dir,
    tasks: [{ task_id: 'kept' }, { task_id: 'quick', queue: { storage: 'memory' } }],
  });

/** No file of the node may be longer: what a full disk is for it. */
function limitFiles(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', `${node.child.pid}`, `--fsize=${bytes}:`]);
}

/** Puts at QoS 1, and waits for its acknowledgement as long as it takes. */
async function put(client: RawClient, payload: string): Promise<void> {
  const packetId = client.nextPacketId();
  client.write(
    encodePublish({ topic: 'w/ch/kept', payload: Buffer.from(payload), qos: 1, retain: false, dup: false, packetId }),
  );
  await client.waitFor((frame) => frame.type === 'puback' && frame.packetId === packetId, 30_000);
}

async function watcher(): Promise<RawClient> {
  const client = await RawClient.connect(node.port, { clientId: 'watcher' });
  await client.subscribe('m/event', 'm/state/+');
  return client;
}

const says =
  (topic: string, text: string) =>
  (frame: { type: string }): boolean =>
    'topic' in frame && frame.topic === topic && 'payload' in frame && String(frame.payload).includes(text);

/** What a node without its disk still does. */
async function livesOn(app: App): Promise<void> {
  await app.client.publish('w/ch/quick', 'in memory', { qos: 1 });
  const { data } = await app.ask('m/fetch/quick');
  expect(data.entries).toMatchObject([{ payload: 'in memory' }]);
  await app.client.ping();
}

describe('a full disk', () => {
  test('acknowledges nothing that it does not hold, says so, goes on with the rest, and with everything once there is room', async () => {
    node = await start();
    const watching = await watcher();
    const app = await connectApp(node.port);
    limitFiles(LIMIT_BYTES);
    const producer = await RawClient.connect(node.port, { clientId: 'producer', keepalive: 2 });
    const acknowledged: number[] = [];
    const puts = Array.from({ length: 60 }, (_, index) =>
      // They wait for as long as the disk is full.
      put(producer, `${index} ${'x'.repeat(50_000)}`).then(() => acknowledged.push(index)),
    );
    const failed = await watching.waitFor(says('m/event', 'storage_failed'), 10_000);
    expect(String('payload' in failed && failed.payload)).toMatch(/File too large|Input\/output error/);
    await watching.waitFor(says('m/state/kept', 'storage_error'));
    await app.untilStat('kept', ({ queue }) => typeof queue.storage_error === 'string');
    await livesOn(app);
    const before = acknowledged.length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(60);
    // What it holds can be taken; what it has no room for at QoS 0 is dropped and counted.
    const { data } = await app.ask('m/fetch/kept', { from: { seq: 0 }, max: 1 });
    expect(data.entries[0].payload).toMatch(/^0 /);
    await app.client.publish('w/ch/kept', 'at most once', { qos: 0 });
    await app.untilStat('kept', ({ queue }) => queue.dropped === 1);
    expect(acknowledged).toHaveLength(before);

    limitFiles('unlimited');
    await watching.waitFor(says('m/event', 'storage_recovered'), 10_000);
    await Promise.all(puts);
    expect(acknowledged).toEqual(Array.from({ length: 60 }, (_, index) => index));

    await node.end('SIGKILL');
    node = await start();
    const after = await connectApp(node.port);
    const fetched = await after.ask('m/fetch/kept', { max: 100, max_bytes: 10_000_000 });
    expect(fetched.data.entries.map(({ payload }: { payload: string }) => Number.parseInt(payload, 10))).toEqual(
      acknowledged,
    );
  }, 60_000);

  test('ends a node that was killed meanwhile with nothing that it acknowledged lost', async () => {
    node = await start();
    limitFiles(LIMIT_BYTES);
    const watching = await watcher();
    const producer = await RawClient.connect(node.port, { clientId: 'producer' });
    const acknowledged: number[] = [];
    for (let index = 0; index < 60; index += 1) {
      put(producer, `${index} ${'x'.repeat(50_000)}`)
        .then(() => acknowledged.push(index))
        .catch(() => undefined);
    }
    await watching.waitFor(says('m/event', 'storage_failed'), 10_000);
    await node.end('SIGKILL');
    node = await start();
    const app = await connectApp(node.port);
    const { data } = await app.ask('m/fetch/kept', { max: 100, max_bytes: 10_000_000 });
    const there = data.entries.map(({ payload }: { payload: string }) => Number.parseInt(payload, 10));
    expect(there.slice(0, acknowledged.length)).toEqual(acknowledged);
  }, 60_000);
});

describe('what is there and cannot be used', () => {
  const queues = () => join(dir, 'queues');
  const data = () => join(queues(), 'data.mdb');

  async function filled(): Promise<void> {
    node = await start();
    const app = await connectApp(node.port);
    for (let index = 0; index < 300; index += 1) await app.client.publish('w/ch/kept', 'x'.repeat(1_000), { qos: 1 });
    await node.end();
  }

  test.each<[string, () => void]>([
    ['a foreign file', () => writeFileSync(data(), 'not a database at all')],
    ['a long foreign file', () => writeFileSync(data(), Buffer.alloc(1_000_000, 'no'))],
    ['a file that is cut off', () => truncateSync(data(), 20_480)],
    [
      'a file in place of the directory',
      () => {
        rmSync(queues(), { recursive: true });
        writeFileSync(queues(), 'hello');
      },
    ],
    [
      'a directory in place of the file',
      () => {
        rmSync(data());
        mkdirSync(data());
      },
    ],
  ])(
    '%s is left as it is, told, and asked again until it can be used',
    async (_name, spoil) => {
      await filled();
      spoil();
      node = await start();
      const watching = await watcher();
      await watching.waitFor(says('m/state/kept', 'storage_error'));
      const app = await connectApp(node.port);
      await livesOn(app);
      let isAcknowledged = false;
      const producer = await RawClient.connect(node.port, { clientId: 'producer' });
      const waiting = put(producer, 'waits').then(() => {
        isAcknowledged = true;
      });
      await producer.ping();
      expect(isAcknowledged).toBe(false);
      expect((await app.ask('m/fetch/kept')).data.entries).toEqual([]);

      rmSync(queues(), { recursive: true });
      await watching.waitFor(says('m/event', 'storage_recovered'), 15_000);
      await waiting;
      expect((await app.ask('m/fetch/kept')).data.entries).toMatchObject([{ payload: 'waits' }]);
    },
    60_000,
  );

  test('what is left as it is has not been touched', async () => {
    await filled();
    writeFileSync(data(), 'not a database at all');
    node = await start();
    await (await watcher()).waitFor(says('m/state/kept', 'storage_error'));
    await node.end();
    expect(readFileSync(data(), 'utf8')).toBe('not a database at all');
  }, 60_000);
});

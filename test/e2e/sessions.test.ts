import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeConfig } from '../../src/app/super-node.js';
import { type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { connectApp } from '../fixtures/nodes.js';
import { type Frame, RawClient, type RawClientOptions } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';

/** What the broker keeps, in a process that is killed. */
describe('a node with a data directory that is killed', () => {
  let dir: string;
  let node: DaemonProcess;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sn-sessions-'));
  });
  afterEach(async () => {
    await node.end('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });

  const file = (name: string) => join(dir, 'data', 'broker', name);
  async function start(config: NodeConfig = {}): Promise<void> {
    node = await startDaemonProcess({ data_dir: join(dir, 'data'), ...config });
  }
  async function restart(config?: NodeConfig): Promise<void> {
    await node.end('SIGKILL');
    await start(config);
  }
  const connect = (clientId: string, options: Partial<RawClientOptions> = {}) =>
    RawClient.connect(node.port, { clientId, ...options });
  const stored = (options: Partial<RawClientOptions> = {}) => connect('stored', { clean: false, ...options });
  async function subscribed(qos: 0 | 1 | 2): Promise<void> {
    const client = await stored();
    await client.subscribe({ filter: 'tele/#', qos });
    await client.disconnect();
  }
  const texts = (client: RawClient) => client.publishes.map(({ payload }) => String(payload));
  async function retained(filter: string): Promise<string[]> {
    const client = await connect('looking');
    await client.subscribe(filter);
    await client.publish('last/word', '', { qos: 1 });
    await client.ping();
    client.kill();
    return client.publishes.map(({ topic, payload }) => `${topic} ${payload}`);
  }

  test('has every message that it acknowledged for a stored session, in order', async () => {
    await start();
    await subscribed(2);
    const publisher = await connect('publisher');
    for (let n = 0; n < 200; n++) await publisher.publish('tele/x', `${n}`, { qos: n % 2 === 0 ? 1 : 2 });
    await restart();
    const client = await stored();
    expect(client.connack).toMatchObject({ sessionPresent: true });
    await client.waitForPublishes(200);
    expect(texts(client)).toEqual(Array.from({ length: 200 }, (_, n) => `${n}`));
    await client.publish('any', '', { qos: 1 });
    await client.disconnect();
    await restart();
    const again = await stored();
    await again.publish('any', '', { qos: 1 });
    expect(texts(again)).toEqual([]);
    expect(statSync(file('data.mdb')).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'data', 'broker')).mode & 0o777).toBe(0o700);
  });

  test('sends again what was in flight, with its packet id and DUP [MQTT-4.4.0-1], before anything new', async () => {
    await start();
    await subscribed(1);
    const silent = await stored({ autoAck: false });
    const publisher = await connect('publisher');
    for (const text of ['a', 'b', 'c']) await publisher.publish('tele/x', text, { qos: 1 });
    const sent = await silent.waitForPublishes(3);
    // Written lazily; any acknowledgement comes after it.
    await publisher.publish('tele/flush', 'd', { qos: 1 });
    await restart();
    const client = await stored({ autoAck: false });
    const later = await connect('later');
    await later.publish('tele/x', 'new', { qos: 1 });
    const again = await client.waitForPublishes(5);
    expect(again.slice(0, 3).map(({ packetId, dup, payload }) => [packetId, dup, String(payload)])).toEqual(
      sent.map(({ packetId, payload }) => [packetId, true, String(payload)]),
    );
    expect(texts(client)).toEqual(['a', 'b', 'c', 'd', 'new']);
    expect(new Set(again.map(({ packetId }) => packetId)).size).toBe(5);
  });

  test('delivers once what a client began to send at QoS 2, and answers its PUBREL', async () => {
    await start();
    await subscribed(2);
    const first = await connect('sender', { clean: false, autoAck: false });
    // It never answers, and so never gets a PUBCOMP.
    first.publish('tele/x', 'once', { qos: 2, packetId: 77 }).catch(() => undefined);
    await first.waitFor((frame) => frame.type === 'pubrec');
    await restart();
    const sender = await connect('sender', { clean: false });
    await sender.publish('tele/x', 'once', { qos: 2, packetId: 77, dup: true });
    const client = await stored();
    await client.waitForPublishes(1);
    await sender.publish('tele/x', 'last', { qos: 2 });
    await client.waitForPublishes(2);
    expect(texts(client)).toEqual(['once', 'last']);
  });

  test('has what was retained, and nothing of tasks that are no more', async () => {
    // A queue on disk would bring its task back.
    const queue = { storage: 'memory' } as const;
    await start({ queue, tasks: [{ task_id: 'here' }, { task_id: 'gone' }] });
    const publisher = await connect('publisher');
    await publisher.publish('plant/a', 'old', { qos: 1, retain: true });
    await publisher.publish('plant/a', 'new', { qos: 1, retain: true });
    await publisher.publish('plant/b', 'cleared', { qos: 1, retain: true });
    await publisher.publish('plant/b', '', { qos: 1, retain: true });
    await waitFor(async () => (await retained('m/state/+')).length === 2);
    await publisher.publish('plant/c', 'flushed', { qos: 1, retain: true });
    await restart({ queue, tasks: [{ task_id: 'here' }] });
    expect(await retained('plant/+')).toEqual(['plant/a new', 'plant/c flushed']);
    const states = await waitFor(async () => {
      const found = await retained('m/state/+');
      return found.length === 1 && found;
    });
    expect(states[0]).toMatch(/^m\/state\/here /);
  });

  test('lets a client go on taking entries that it took before', async () => {
    await start();
    const first = await stored();
    await first.subscribe({ filter: 'm/take/line', qos: 1 }, { filter: 'tele/#', qos: 1 });
    const publisher = await connect('publisher');
    await publisher.publish('w/ch/line', 'one', { qos: 1 });
    await first.waitForPublishes(1);
    await first.publish('any', '', { qos: 1 });
    await restart();
    const again = await stored();
    expect(again.connack).toMatchObject({ sessionPresent: true });
    await (await connect('publisher')).publish('w/ch/line', 'two', { qos: 1 });
    await again.waitFor((frame) => frame.type === 'publish' && String(frame.payload) === 'two');
    await again.unsubscribe('m/take/line');
    await again.publish('tele/x', 'flushed', { qos: 1 });
    await restart();
    const last = await stored();
    await (await connect('publisher')).publish('w/ch/line', 'three', { qos: 1 });
    await last.publish('tele/x', 'end', { qos: 1 });
    await last.waitFor((frame) => frame.type === 'publish' && String(frame.payload) === 'end');
    expect(texts(last)).not.toContain('three');
  });

  test('forgets a session that is too old, also one that was left by an earlier run', async () => {
    await start();
    await subscribed(1);
    await (await connect('publisher')).publish('tele/x', 'kept', { qos: 1 });
    await restart({ limits: { session_expiry_s: 1 } });
    const app = await connectApp(node.port);
    await waitFor(async () => (await app.ask('m/stat')).data.events.session_dropped === 1);
    expect((await stored()).connack).toMatchObject({ sessionPresent: false });
  });

  test('bounds what it keeps for a session over restarts as well', async () => {
    await start();
    await subscribed(1);
    const fill = async (count: number) => {
      const publisher = await connect('publisher');
      const all = Array.from({ length: count }, (_, n) => publisher.publish('tele/x', `${n}`, { qos: 1 }));
      await Promise.all(all);
    };
    await fill(700);
    await restart();
    await fill(700);
    const { data } = await (await connectApp(node.port)).ask('m/stat');
    expect(data.events.session_full).toBe(400);
    const client = await stored();
    await client.waitForPublishes(1_000);
  });

  const says = (word: string) => (frame: Frame) =>
    frame.type === 'publish' && frame.topic === 'm/event' && String(frame.payload).includes(word);

  test('with a full disk acknowledges nothing that it does not hold, and goes on when there is room', async () => {
    await start();
    await subscribed(1);
    const watching = await connect('watching');
    await watching.subscribe('m/event', 'tele/live');
    const publisher = await connect('publisher');
    // The soft limit only: that one may be raised again.
    const limit = (bytes: number | 'unlimited') =>
      execFileSync('prlimit', ['--pid', `${node.child.pid}`, `--fsize=${bytes}:`]);
    limit(statSync(file('data.mdb')).size + 100_000);
    const acknowledged: number[] = [];
    const all = Array.from({ length: 60 }, (_, n) =>
      publisher
        .publish('tele/x', `${n} ${'x'.repeat(10_000)}`, { qos: 1 })
        .then(() => acknowledged.push(n))
        .catch(() => undefined),
    );
    await watching.waitFor(says('"what":"sessions"'), 10_000);
    // Who needs no disk goes on.
    await publisher.publish('tele/live', 'live', { qos: 0 });
    await watching.waitFor((frame) => frame.type === 'publish' && frame.topic === 'tele/live');
    expect(acknowledged.length).toBeLessThan(60);
    limit('unlimited');
    await watching.waitFor(says('storage_recovered'), 10_000);
    await Promise.all(all);
    expect(acknowledged).toHaveLength(60);
    await restart();
    const client = await stored();
    await client.waitForPublishes(60);
  }, 40_000);

  test.each<[string, () => void]>([
    ['a foreign file', () => writeFileSync(file('data.mdb'), 'not a database at all')],
    ['a file that is cut off', () => truncateSync(file('data.mdb'), 9_000)],
  ])('starts with %s, in memory, says so, and leaves it as it is', async (_name, spoil) => {
    await start();
    await subscribed(1);
    await (await connect('publisher')).publish('plant/a', 'x'.repeat(20_000), { qos: 1, retain: true });
    await node.end();
    spoil();
    const before = readFileSync(file('data.mdb'));
    await start();
    const app = await connectApp(node.port);
    expect((await app.ask('m/stat')).data.events.storage_failed).toBe(1);
    expect(node.log.some(({ level, msg }) => level === 'error' && `${msg}`.includes('in memory only'))).toBe(true);
    await subscribed(1);
    await app.client.publish('tele/x', 'kept in memory', { qos: 1 });
    const client = await stored();
    await client.waitForPublishes(1);
    await node.end();
    expect(readFileSync(file('data.mdb')).equals(before)).toBe(true);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePublish } from '../../src/transport/encode.js';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';

/** `overflow: block`: a put that there is no room for waits, and nobody else does. */

const VARIANTS = NODE_KINDS.flatMap((kind) => (['memory', 'disk'] as const).map((storage) => ({ kind, storage })));

describe.each(VARIANTS)('a queue in $storage that blocks, on a node as $kind', ({ kind, storage }) => {
  let dir: string;
  let node: TestNode;
  let app: App;
  let tasks = 0;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sn-block-'));
    node = await startTestNode(kind, {
      data_dir: dir,
      queue: { length: 2, overflow: 'block', storage },
      routes: [{ from: 'plant/+', task_id: 'plant-{1}' }],
    });
    app = await connectApp(node.port);
  });
  afterAll(async () => {
    await node.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const newTask = () => `b${++tasks}`;

  /** Writes puts without waiting for anything; the packet ids that are acknowledged so far, in order. */
  async function producer(task: string, words: readonly string[], qos: 1 | 2 = 1, options = {}) {
    const client = await RawClient.connect(node.port, { clientId: `p-${task}-${Math.random()}`, ...options });
    for (const word of words) {
      const packetId = client.nextPacketId();
      client.write(
        encodePublish({ topic: `w/ch/${task}`, payload: Buffer.from(word), qos, retain: false, dup: false, packetId }),
      );
    }
    const type = qos === 1 ? 'puback' : 'pubrec';
    const acknowledged = () => client.frames.flatMap((frame) => (frame.type === type ? [frame.packetId] : []));
    return { client, acknowledged };
  }

  const fetch = async (task: string, fields = {}) => (await app.ask(`m/fetch/${task}`, { max: 10, ...fields })).data;
  const texts = (data: { entries: { payload: string }[] }) => data.entries.map(({ payload }) => payload);

  test.each([1, 2] as const)('acknowledges QoS %s in order, as there is room, and loses nothing', async (qos) => {
    const task = newTask();
    const words = Array.from({ length: 9 }, (_, index) => `${index}`);
    const { client, acknowledged } = await producer(task, words, qos);
    await client.ping();
    await waitFor(() => acknowledged().length === 2);
    expect(acknowledged()).toEqual([1, 2]);
    const seen: string[] = [];
    while (seen.length < words.length) seen.push(...texts(await fetch(task, { wait_ms: 2_000 })));
    expect(seen).toEqual(words);
    await waitFor(() => acknowledged().length === words.length);
    expect(acknowledged()).toEqual(words.map((_, index) => index + 1));
    expect((await app.ask(`m/stat/${task}`)).data.queue.dropped).toBe(0);
  });

  test('drops and counts QoS 0', async () => {
    const task = newTask();
    const { client } = await producer(task, ['a', 'b']);
    await client.publish(`w/ch/${task}`, 'c', { qos: 0 });
    await app.untilStat(task, ({ queue }) => queue.dropped === 1);
    expect(texts(await fetch(task, { wait_ms: 2_000 }))).toEqual(['a', 'b']);
  });

  test('serves pings, other tasks and requests of a client whose puts wait', async () => {
    const task = newTask();
    const { client, acknowledged } = await producer(task, ['a', 'b', 'c', 'd'], 1, { keepalive: 1 });
    await client.subscribe({ filter: 'm/reply', qos: 0 });
    await client.ping();
    // The only consumer is the producer itself: without reading on it would wait for ever.
    await client.publish(`m/fetch/${task}`, '{"max": 10, "wait_ms": 2000}', { qos: 0 });
    await client.waitForPublishes(1);
    await waitFor(() => acknowledged().length === 4);
  });

  test('stops reading at its bound, says that it lives, and judges nobody', async () => {
    const task = newTask();
    const words = Array.from({ length: 300 }, (_, index) => `${index}`);
    const { client, acknowledged } = await producer(task, words, 1, { keepalive: 1 });
    // Two keepalives without a word from the client, which waits for us: more than it may be silent for.
    await waitFor(() => client.frames.filter(({ type }) => type === 'pingresp').length >= 4);
    expect(acknowledged()).toEqual([1, 2]);
    const seen: string[] = [];
    while (seen.length < words.length) seen.push(...texts(await fetch(task, { wait_ms: 2_000 })));
    expect(seen).toEqual(words);
    await waitFor(() => acknowledged().length === words.length);
  });

  test('forgets what waited when its client goes, so that it can send it again', async () => {
    const task = newTask();
    const first = await producer(task, ['a', 'b', 'c', 'd'], 2, { clean: false, clientId: `again-${task}` });
    await waitFor(() => first.acknowledged().length === 2);
    first.client.kill();
    await first.client.closed;
    const { data } = await app.ask('m/stat');
    expect(data.tasks.find(({ task_id }: { task_id: string }) => task_id === task).queue.length).toBe(2);
    expect(texts(await fetch(task))).toEqual(['a', 'b']);
    const second = await RawClient.connect(node.port, { clientId: `again-${task}`, clean: false });
    for (const [at, word] of ['c', 'd'].entries()) {
      const put = { topic: `w/ch/${task}`, payload: Buffer.from(word), qos: 2 as const, retain: false };
      second.write(encodePublish({ ...put, dup: true, packetId: at + 3 }));
    }
    await waitFor(() => second.frames.filter(({ type }) => type === 'pubcomp').length === 2);
    expect(texts(await fetch(task))).toEqual(['c', 'd']);
  });

  test('lets what waits go when its task is stopped, purged or removed', async () => {
    for (const [cmd, left] of [
      ['stop', ['a', 'b']],
      ['purge', ['c']],
    ] as const) {
      const task = newTask();
      const { acknowledged } = await producer(task, ['a', 'b', 'c']);
      await waitFor(() => acknowledged().length === 2);
      expect((await app.cmd(cmd, { task_id: task })).status).toBe('ok');
      await waitFor(() => acknowledged().length === 3);
      expect(texts(await fetch(task))).toEqual(left);
    }
    const task = newTask();
    const { acknowledged } = await producer(task, ['a', 'b', 'c']);
    await waitFor(() => acknowledged().length === 2);
    expect((await app.cmd('remove', { task_id: task })).status).toBe('ok');
    await waitFor(() => acknowledged().length === 3);
  });

  test('holds the acknowledgement of a publish that a route copies', async () => {
    const client = await RawClient.connect(node.port, { clientId: `route-${tasks}` });
    await client.publish('plant/x', '1', { qos: 1 });
    await client.publish('plant/x', '2', { qos: 1 });
    let isDone = false;
    const third = client.publish('plant/x', '3', { qos: 1 }).then(() => {
      isDone = true;
    });
    await client.ping();
    expect(isDone).toBe(false);
    expect(texts(await fetch('plant-x'))).toEqual(['1', '2']);
    await third;
    expect(texts(await fetch('plant-x'))).toEqual(['3']);
  });
});

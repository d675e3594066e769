import { connect } from 'node:net';
import { Aedes } from 'aedes';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePublish, encodeSubscribe } from '../../src/transport/encode.js';
import { type App, connectApp, startTestNode, startTestPlugin, type TestNode } from '../fixtures/nodes.js';
import { encodeConnect, RawClient } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';

/** What a review and a hostile tester found, each once broken. */
describe('a node that was attacked before', () => {
  let node: TestNode;
  let app: App;
  let names = 0;
  const fresh = (word: string) => `${word}-${++names}`;

  beforeAll(async () => {
    node = await startTestNode('daemon');
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  test.each([
    ['too long', `m/reply/${'x'.repeat(70_000)}`],
    ['a wildcard', 'm/reply/#'],
    ['a control character', 'm/reply/\u0007'],
    ['a lone surrogate', 'm/reply/\ud800'],
  ])('a reply_to that is %s is refused', async (_title, replyTo) => {
    expect(await app.ask('m/cmd', { cmd: 'workers', reply_to: replyTo })).toMatchObject({ code: 'SN_ERR_REQUEST' });
  });

  test('JSON that nests too deep is refused', async () => {
    const depth = 100_000;
    const text = `{"cmd":"workers","transaction":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(await app.askRaw('m/cmd', text)).toMatchObject({ status: 'error', code: 'SN_ERR_JSON' });
    expect((await app.ask('m/stat')).status).toBe('ok');
  });

  test('a stored session that comes back to more than it can have in flight does not stop the node', async () => {
    const id = fresh('hoarder');
    const first = await RawClient.connect(node.port, { clientId: id, clean: false });
    await first.subscribe({ filter: `${id}/#`, qos: 1 });
    first.kill();
    await first.closed;
    for (let n = 0; n < 1_500; n++) void app.client.publish(`${id}/x`, String(n), { qos: 0 });
    for (let n = 0; n < 1_500; n++) await app.client.publish(`${id}/x`, String(n), { qos: 1 });
    const again = await RawClient.connect(node.port, { clientId: id, clean: false, autoAck: false });
    await again.waitForPublishes(900);
    expect((await app.ask('m/stat')).status).toBe('ok');
    // What is kept for a session is bounded, and what it missed is counted.
    expect((await app.ask('m/stat')).data.events.session_full).toBeGreaterThan(0);
    again.kill();
  });

  test('overlapping filters of a stored session leave nothing behind', async () => {
    const id = fresh('overlap');
    const first = await RawClient.connect(node.port, { clientId: id, clean: false });
    await first.subscribe({ filter: `${id}/#`, qos: 1 }, { filter: `${id}/x`, qos: 1 });
    for (let n = 0; n < 5; n++) await app.client.publish(`${id}/x`, String(n), { qos: 1 });
    await first.waitForPublishes(5);
    await first.ping();
    first.disconnect();
    await first.closed;
    const again = await RawClient.connect(node.port, { clientId: id, clean: false });
    await app.client.publish(`${id}/x`, 'sentinel', { qos: 1 });
    await again.waitFor((frame) => frame.type === 'publish' && String(frame.payload) === 'sentinel');
    expect(again.publishes.map(({ payload }) => String(payload))).toEqual(['sentinel']);
    again.kill();
  });

  test('what is delivered again has DUP set and its granted QoS [MQTT-3.3.1-1] [MQTT-3.8.4-6]', async () => {
    const id = fresh('redelivered');
    const first = await RawClient.connect(node.port, { clientId: id, clean: false, autoAck: false });
    await first.subscribe({ filter: `${id}/#`, qos: 1 });
    await app.client.publish(`${id}/x`, 'once more', { qos: 2 });
    const [seen] = await first.waitForPublishes(1);
    first.kill();
    await first.closed;
    const again = await RawClient.connect(node.port, { clientId: id, clean: false });
    const [dup] = await again.waitForPublishes(1);
    expect(seen).toMatchObject({ qos: 1, dup: false });
    expect(dup).toMatchObject({ qos: 1, dup: true, packetId: seen?.packetId });
    again.kill();
  });

  test('a refused CONNECT with the id of a live client does not touch what that client has in flight', async () => {
    const task = fresh('victim');
    await app.client.publish(`w/ch/${task}`, 'mine', { qos: 1 });
    const id = fresh('live');
    const victim = await connectApp(node.port, { clientId: id, clean: false, autoAck: false });
    await victim.ask(`m/fetch/${task}`, {}, 0);
    const forger = { clientId: id, clean: false, username: 'x', password: 'snw_forged' };
    const stranger = await RawClient.connect(node.port, forger);
    expect(stranger.connack?.code).toBe(4);
    await stranger.closed;
    expect((await app.ask(`m/fetch/${task}`)).data.entries).toEqual([]);
    victim.client.kill();
  });

  test('a net client that registers again after its task was removed is watched again', async () => {
    const task = fresh('again');
    const client = await RawClient.connect(node.port, { clientId: fresh('net') });
    await client.publish(`w/ch/${task}/state`, 'ready', { qos: 1 });
    await app.untilState(task, 'ready');
    await app.cmd('remove', { task_id: task });
    await client.publish(`w/ch/${task}/state`, 'ready', { qos: 1 });
    await app.untilStat(task, ({ channels }) => channels.length === 1);
    client.kill();
    await app.untilState(task, 'lost');
  });

  test('who sends everything and its end in one go gets all answers', async () => {
    const puts = Array.from({ length: 50 }, (_, n) =>
      encodePublish({
        topic: 'w/ch/oneshot',
        payload: Buffer.from('x'),
        qos: 1,
        retain: false,
        dup: false,
        packetId: n + 1,
      }),
    );
    const socket = connect(node.port, '127.0.0.1');
    socket.end(Buffer.concat([encodeConnect({ clientId: fresh('oneshot') }), ...puts]));
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    await new Promise((resolve) => socket.on('close', resolve));
    expect(bytes).toBe(4 + 50 * 4);
    expect((await app.ask('m/fetch/oneshot', { max: 100 })).data.entries).toHaveLength(50);
  });

  test('a fetch whose reply no packet could hold is refused, and its entries stay', async () => {
    // Each `"` of the topic takes two bytes of JSON; the topic counts towards `max_bytes`.
    const wide = await startTestNode('daemon', {
      routes: [{ from: 'tele/#', task_id: 'wide' }],
      queue: { length: 4_000 },
    });
    const reader = await connectApp(wide.port);
    const topic = `tele/${'"'.repeat(60_000)}`;
    for (let n = 0; n < 400; n++) await reader.client.publish(topic, 'x', { qos: 1 });
    const { data } = await reader.ask('m/fetch/wide', { max: 10_000 });
    expect(data.entries.length).toBeLessThan(20);
    expect(data.entries.length + data.remaining).toBeLessThan(300);
    reader.client.kill();
    await wide.close();
  });

  test('a flood to a subscriber that leaves does not end the node', async () => {
    const topic = fresh('backlog');
    const frozen = await RawClient.connect(node.port, { clientId: fresh('frozen') });
    await frozen.subscribe(`${topic}/#`);
    frozen.socket.pause();
    const payload = Buffer.alloc(1_000, 'x');
    for (let n = 0; n < 20_000; n++) void app.client.publish(`${topic}/x`, payload);
    await app.ask('m/stat');
    frozen.kill();
    await frozen.closed;
    expect((await app.ask('m/stat')).status).toBe('ok');
  });

  test('of many connections with one client id that come at once, one stays', async () => {
    for (let round = 0; round < 5; round++) {
      const id = fresh('twins');
      const twins = await Promise.all(
        Array.from({ length: 20 }, () => RawClient.connect(node.port, { clientId: id, sendConnect: false })),
      );
      const both = Buffer.concat([
        encodeConnect({ clientId: id }),
        encodeSubscribe(1, [{ filter: `${id}/#`, qos: 1 }]),
      ]);
      for (const twin of twins) twin.write(both);
      const gone = twins.map((twin) => twin.closed.then(() => 1));
      let closed = 0;
      for (const one of gone) one.then(() => closed++);
      await waitFor(() => closed >= 19);
      await app.ask('m/stat');
      expect(closed).toBe(19);
      for (const twin of twins) twin.kill();
    }
  });

  test('pipelined SUBSCRIBEs do not pass the limit', async () => {
    const client = await RawClient.connect(node.port, { clientId: fresh('greedy') });
    const asked = Array.from({ length: 12 }, (_, round) =>
      client.subscribe(...Array.from({ length: 100 }, (_, n) => `many/${round}/${n}`)),
    );
    const codes = (await Promise.all(asked)).flatMap((suback) => suback.codes);
    expect(codes.filter((code) => code !== 128)).toHaveLength(1_000);
    client.kill();
  });

  test('a retained $ topic is not for a leading wildcard [MQTT-4.7.2-1]', async () => {
    await app.client.publish('$mine/x', 'kept', { qos: 1, retain: true });
    const client = await RawClient.connect(node.port, { clientId: fresh('wide') });
    await client.subscribe('#', '+/x');
    await client.subscribe('$mine/#');
    await client.waitFor((frame) => frame.type === 'publish' && frame.topic === '$mine/x');
    expect(client.publishes.filter(({ topic }) => topic === '$mine/x')).toHaveLength(1);
    client.kill();
  });

  test('made-up task ids leave room for what an operator starts, and a request cannot ask for a huge queue', async () => {
    const small = await startTestNode('daemon', { limits: { tasks: 10 } });
    const operator = await connectApp(small.port);
    for (let n = 0; n < 20; n++) await operator.client.publish(`w/ch/made-up-${n}`, 'x', { qos: 1 });
    expect((await operator.ask('m/stat')).data.tasks).toHaveLength(8);
    expect((await operator.cmd('start', { task_id: 'real' })).status).toBe('ok');
    const huge = await operator.cmd('start', { task_id: 'huge', queue: { length: 10_000_000 } });
    expect(huge).toMatchObject({ code: 'SN_ERR_LIMIT' });
    expect((await operator.cmd('start', { task_id: 'tiny', queue: { length: 1 } })).status).toBe('ok');
    operator.client.kill();
    await small.close();
  });

  test('commands to a client that does not read are refused, not gathered', async () => {
    const task = fresh('deaf');
    const client = await RawClient.connect(node.port, { clientId: fresh('deaf') });
    await client.subscribe({ filter: `w/ch/${task}/cmd`, qos: 1 });
    await client.publish(`w/ch/${task}/state`, 'ready', { qos: 1 });
    client.socket.pause();
    const payload = Buffer.alloc(500_000, 'x');
    let answer = await app.askRaw(`m/cmd/${task}`, payload);
    for (let n = 0; n < 60 && answer.status === 'ok'; n++) answer = await app.askRaw(`m/cmd/${task}`, payload);
    expect(answer.code).toBe('SN_ERR_NO_CHANNEL');
    client.kill();
  });

  test('a subscriber that does not read holds nobody up for long', async () => {
    const topic = fresh('stall');
    const frozen = await RawClient.connect(node.port, { clientId: fresh('frozen') });
    await frozen.subscribe(`${topic}/#`);
    frozen.socket.pause();
    const good = await RawClient.connect(node.port, { clientId: fresh('good') });
    await good.subscribe(`${topic}/#`);
    const publisher = await RawClient.connect(node.port, { clientId: fresh('loud') });
    const payload = Buffer.alloc(20_000, 'x');
    for (let n = 0; n < 1_000; n++) void publisher.publish(`${topic}/x`, payload);
    await good.waitForPublishes(1_000, undefined, 15_000);
    expect((await app.ask('m/stat')).data.events.slow_client).toBeGreaterThan(0);
    for (const client of [frozen, good, publisher]) client.kill();
  });
});

describe('a node that ends', () => {
  test('lets no last will through that it refused, and leaves new connections to the broker', async () => {
    const broker = await Aedes.createBroker();
    const published: string[] = [];
    broker.on('publish', ({ topic }) => published.push(topic));
    const node = await startTestPlugin({}, broker);
    const will = { topic: 'm/state/forged', payload: 'x', retain: true };
    const forger = await RawClient.connect(node.port, { clientId: 'forger', will });
    const honest = await RawClient.connect(node.port, {
      clientId: 'honest',
      will: { topic: 'own/will', payload: 'bye' },
    });
    await node.node?.close();
    await Promise.all([forger.closed, honest.closed]);
    await waitFor(() => published.includes('own/will'));
    expect(published.filter((topic) => topic === 'm/state/forged')).toEqual([]);
    expect(published).toContain('own/will');
    const late = await RawClient.connect(node.port, { clientId: 'late' });
    await late.subscribe('free/#');
    await late.publish('free/x', 'still a broker', { qos: 1 });
    await late.waitForPublishes(1);
    late.kill();
    await node.close();
  });

  test('is not kept by half an HTTP request', async () => {
    const node = await startTestNode('daemon');
    const socket = connect(Number(new URL(node.wsUrl).port), '127.0.0.1');
    await new Promise((resolve) => socket.on('connect', resolve));
    socket.on('error', () => undefined);
    socket.write('GET /mqtt HTTP/1.1\r\nHost: loc');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await node.close();
    socket.destroy();
  });
});

import { createServer } from 'node:net';
import { Aedes } from 'aedes';
import { afterEach, describe, expect, test } from 'vitest';
import { attach } from '../../src/app/attach.js';
import { connectApp, SILENT, startTestPlugin, type TestNode } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';

const HOOKS = ['preConnect', 'authenticate', 'authorizePublish', 'authorizeSubscribe', 'authorizeForward'] as const;

describe('a node on a host’s broker', () => {
  const open: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });

  async function plugin(broker: Aedes): Promise<TestNode> {
    const node = await startTestPlugin({}, broker);
    open.push(node);
    return node;
  }

  test('wraps the hooks and puts them back', async () => {
    const broker = await Aedes.createBroker();
    const before = HOOKS.map((name) => broker[name]);
    const node = await attach(broker, { log: SILENT });
    expect(HOOKS.map((name) => broker[name] === before[HOOKS.indexOf(name)])).not.toContain(true);
    await node.close();
    await node.close();
    expect(HOOKS.map((name) => broker[name])).toEqual(before);
    const events = ['connackSent', 'clientReady', 'unsubscribe'];
    expect(events.map((event) => broker.listenerCount(event))).toEqual([0, 0, 0]);
    await new Promise<void>((resolve) => broker.close(() => resolve()));
  });

  test('leaves a hook alone that somebody wrapped after it', async () => {
    const broker = await Aedes.createBroker();
    const node = await attach(broker, { log: SILENT });
    const inner = broker.authenticate;
    const outer: typeof inner = (...args) => inner(...args);
    broker.authenticate = outer;
    await node.close();
    expect(broker.authenticate).toBe(outer);
    await new Promise<void>((resolve) => broker.close(() => resolve()));
  });

  test('asks the host’s rules first: who may connect, publish and subscribe', async () => {
    const asked: string[] = [];
    const broker = await Aedes.createBroker({
      authenticate: (_client, username, _password, done) => {
        asked.push(`authenticate ${username}`);
        done(null, username !== 'stranger');
      },
      authorizePublish: (_client, packet, done) => {
        asked.push(`publish ${packet.topic}`);
        packet.payload = Buffer.from(`checked ${packet.payload}`);
        done(null);
      },
      authorizeSubscribe: (_client, subscription, done) => {
        // A host that looks it up somewhere.
        setTimeout(() => done(null, subscription.topic.startsWith('secret') ? null : subscription), 5);
      },
    });
    const node = await plugin(broker);
    const stranger = await RawClient.connect(node.port, { clientId: 'stranger', username: 'stranger', password: 'x' });
    expect(stranger.connack?.code).toBe(5);
    const friend = await RawClient.connect(node.port, { clientId: 'friend', username: 'friend', password: 'x' });
    expect((await friend.subscribe('secret/#', { filter: 'open/#', qos: 1 }, 'secret/x')).codes).toEqual([128, 1, 128]);
    await friend.publish('open/x', 'hello', { qos: 1 });
    expect(String((await friend.waitForPublishes(1))[0]?.payload)).toBe('checked hello');
    expect(asked).toEqual(['authenticate stranger', 'authenticate friend', 'publish open/x']);
  });

  test('a filter the host refused leaves no trace in a stored session', async () => {
    const broker = await Aedes.createBroker({
      authorizeSubscribe: (_client, subscription, done) =>
        done(null, subscription.topic.startsWith('secret') ? null : subscription),
    });
    const node = await plugin(broker);
    const first = await RawClient.connect(node.port, { clientId: 'stored', clean: false });
    await first.subscribe({ filter: 'secret/#', qos: 1 }, { filter: 'open/#', qos: 1 });
    first.disconnect();
    await first.closed;
    const app = await connectApp(node.port);
    await app.client.publish('secret/x', 'hidden', { qos: 1 });
    await app.client.publish('open/x', 'shown', { qos: 1 });
    const again = await RawClient.connect(node.port, { clientId: 'stored', clean: false });
    expect(again.connack).toMatchObject({ sessionPresent: true, code: 0 });
    await again.waitForPublishes(1);
    await again.publish('open/last', 'sentinel', { qos: 1 });
    await again.waitForPublishes(2);
    expect(again.publishes.map(({ topic }) => topic)).toEqual(['open/x', 'open/last']);
  });

  test('a host that rewrites filters and changes its mind on restore is obeyed', async () => {
    let allowed = true;
    const broker = await Aedes.createBroker({
      authorizeSubscribe: (_client, subscription, done) => done(null, allowed ? subscription : null),
    });
    const node = await plugin(broker);
    const first = await RawClient.connect(node.port, { clientId: 'fallen', clean: false });
    await first.subscribe({ filter: 'news/#', qos: 1 });
    first.disconnect();
    await first.closed;
    const app = await connectApp(node.port);
    await app.client.publish('news/x', 'kept for it', { qos: 1 });
    allowed = false;
    const again = await RawClient.connect(node.port, { clientId: 'fallen', clean: false });
    await again.publish('any/x', '', { qos: 1 });
    expect(again.publishes).toEqual([]);
  });

  test('a connection that went past the node is acknowledged, and its m/ and w/ publishes reach nobody', async () => {
    const broker = await Aedes.createBroker();
    const warnings: object[] = [];
    const bare = createServer(broker.handle);
    const node = await attach(broker, {
      log: { ...SILENT, warn: (fields, text) => warnings.push({ ...fields, text }) },
    });
    open.push({ close: () => new Promise<void>((resolve) => broker.close(() => resolve())) }, node, bare);
    await new Promise<void>((resolve) => bare.listen(0, '127.0.0.1', () => resolve()));
    const address = bare.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const spy = await RawClient.connect(port, { clientId: 'spy' });
    await spy.subscribe('#', 'm/#', 'w/#');
    const past = await RawClient.connect(port, { clientId: 'past' });
    await past.publish('w/ch/x', 'lost', { qos: 1 });
    await past.publish('m/cmd', '{"cmd":"start","task_id":"x"}', { qos: 2 });
    await past.publish('free/x', 'seen', { qos: 1, retain: true });
    await spy.waitFor((frame) => frame.type === 'publish' && frame.topic === 'free/x');
    expect(spy.publishes.map(({ topic }) => topic).filter((topic) => /^(w|m\/cmd)/.test(topic))).toEqual([]);
    expect(warnings).toMatchObject([
      { client_id: 'past', topic: 'w/ch/x', text: expect.stringContaining('createServer(node.handle)') },
      { topic: 'm/cmd' },
    ]);
    await expect(node.command({ cmd: 'stop', task_id: 'x' })).rejects.toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
    spy.kill();
    past.kill();
  });

  test('code in the process puts and commands, also any program', async () => {
    const broker = await Aedes.createBroker();
    const test = await plugin(broker);
    const { node } = test;
    if (!node) throw new Error('expected a plugin');
    await node.put('inside', 'one');
    await node.put('inside', Buffer.from('two'));
    await expect(node.put('not/an/id', 'x')).rejects.toMatchObject({ code: 'SN_ERR_TASK_ID' });
    await node.command({ cmd: 'start', task_id: 'sleeper', command: ['sleep', '100'], ready: 'spawn' });
    await expect(node.command({ cmd: 'nope' })).rejects.toMatchObject({ code: 'SN_ERR_COMMAND_UNKNOWN' });
    const app = await connectApp(test.port);
    expect((await app.ask('m/fetch/inside', { max: 5 })).data.entries).toMatchObject([
      { payload: 'one' },
      { payload: 'two' },
    ]);
    await app.untilState('sleeper', 'ready');
    await node.command({ cmd: 'stop', task_id: 'sleeper' });
  });

  test('live copies reach who comes later, a host that watches, and are made for nobody else', async () => {
    const broker = await Aedes.createBroker();
    const node = await plugin(broker);
    const client = await RawClient.connect(node.port, { clientId: 'late' });
    await client.publish('w/ch/heard', 'one', { qos: 0 });
    await client.ping();
    await client.subscribe('m/data/heard');
    await client.publish('w/ch/heard', 'two', { qos: 0 });
    expect(String((await client.waitForPublishes(1))[0]?.payload)).toBe('two');
    await client.unsubscribe('m/data/heard');
    const watched: string[] = [];
    broker.on('publish', ({ topic }) => watched.push(topic));
    await client.publish('w/ch/heard', 'three', { qos: 0 });
    await client.ping();
    expect(watched).toContain('m/data/heard');
    const inside = new Promise<string>((resolve) => {
      broker.removeAllListeners('publish');
      broker.subscribe(
        'm/data/+',
        ({ payload }, done) => {
          resolve(String(payload));
          done();
        },
        () => undefined,
      );
    });
    await client.publish('w/ch/heard', 'four', { qos: 0 });
    expect(await inside).toBe('four');
    client.kill();
  });

  test('options that are not valid say where, what was expected and what came', async () => {
    const broker = await Aedes.createBroker();
    await expect(attach(broker, { queue: { length: 0 } })).rejects.toMatchObject({
      code: 'SN_ERR_CONFIG',
      message: expect.stringMatching(/queue\.length: expected integer 1 to \d+, got 0/),
    });
    await expect(attach({} as Aedes)).rejects.toMatchObject({ code: 'SN_ERR_CONFIG' });
    await new Promise<void>((resolve) => broker.close(() => resolve()));
  });

  test('a topic prefix stands before every topic of the node', async () => {
    const broker = await Aedes.createBroker();
    const node = await startTestPlugin({ topics: { prefix: 'site7/' } }, broker);
    open.push(node);
    const client = await RawClient.connect(node.port, { clientId: 'prefixed' });
    await client.subscribe({ filter: 'site7/m/reply', qos: 1 }, 'site7/m/data/+', 'm/data/+');
    await client.publish('site7/w/ch/a', 'x', { qos: 1 });
    await client.publish('site7/m/fetch/a', '', { qos: 1 });
    const reply = await client.waitFor((frame) => frame.type === 'publish' && frame.topic === 'site7/m/reply');
    expect(reply).toBeDefined();
    expect(client.publishes.map(({ topic }) => topic)).toContain('site7/m/data/a');
    client.kill();
  });
});

import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';

describe.each(NODE_KINDS)('a node as %s', (kind) => {
  let node: TestNode;
  let app: App;
  let names = 0;
  const fresh = (word: string) => `${word}-${++names}`;

  beforeAll(async () => {
    node = await startTestNode(kind, {
      routes: [{ from: 'tele/+/SENSOR', task_id: 'tasmota-{1}' }],
      tasks: [{ task_id: 'small', queue: { length: 2 } }],
    });
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  test('a put is an entry that a fetch takes once, in order', async () => {
    const task = fresh('q');
    for (const word of ['a', 'b', 'c']) await app.client.publish(`w/ch/${task}`, word, { qos: 1 });
    const first = await app.ask(`m/fetch/${task}`, { max: 2 });
    expect(first.status).toBe('ok');
    expect(first.data.entries).toMatchObject([
      { task_id: task, seq: 1, attempts: 1, payload: 'a' },
      { task_id: task, seq: 2, attempts: 1, payload: 'b' },
    ]);
    expect(first.data).toMatchObject({ dropped: 0, remaining: 1, epoch: expect.any(String) });
    expect((await app.ask(`m/fetch/${task}`, { max: 9 })).data.entries).toMatchObject([{ seq: 3, payload: 'c' }]);
    expect((await app.ask(`m/fetch/${task}`)).data.entries).toEqual([]);
  });

  test.each([0, 1, 2] as const)('a put at QoS %s is heard live at m/data at that QoS', async (qos) => {
    const task = fresh('live');
    const listener = await connectApp(node.port);
    await listener.client.subscribe({ filter: `m/data/${task}`, qos: 2 });
    await app.client.publish(`w/ch/${task}`, 'x', { qos });
    const [heard] = await listener.client.waitForPublishes(1);
    expect(heard).toMatchObject({ topic: `m/data/${task}`, qos, retain: false });
    listener.client.kill();
  });

  test('a stored session that comes when nobody listened so far is kept what follows', async () => {
    const task = `kept-${kind}`;
    const put = (text: string) => app.client.publish(`w/ch/${task}`, text, { qos: 1 });
    for (const text of ['unheard', 'unheard too']) await put(text);
    const session = { clientId: `away-${kind}`, clean: false };
    const first = await RawClient.connect(node.port, session);
    await first.subscribe({ filter: `m/data/${task}`, qos: 1 });
    await first.disconnect();
    for (const text of ['one', 'two']) await put(text);
    const second = await RawClient.connect(node.port, session);
    const kept = await second.waitForPublishes(2);
    expect(kept.map(({ payload }) => payload.toString())).toEqual(['one', 'two']);
    await second.disconnect();
  });

  test('bytes that are no UTF-8 come as base64, and text does when asked for', async () => {
    const task = fresh('bytes');
    await app.client.publish(`w/ch/${task}`, Buffer.of(0xff, 0x00, 0x80), { qos: 1 });
    await app.client.publish(`w/ch/${task}`, 'text', { qos: 1 });
    const { data } = await app.ask(`m/fetch/${task}`, { max: 2, encoding: 'base64' });
    expect(data.entries.map((entry: { payload_base64: string }) => entry.payload_base64)).toEqual(['/wCA', 'dGV4dA==']);
  });

  test('a fetch of all tasks comes in order of arrival', async () => {
    await app.ask('m/fetch', { max: 10_000 });
    const [one, two] = [fresh('all'), fresh('all')];
    await app.client.publish(`w/ch/${one}`, '1', { qos: 1 });
    await app.client.publish(`w/ch/${two}`, '2', { qos: 1 });
    await app.client.publish(`w/ch/${one}`, '3', { qos: 1 });
    const { data } = await app.ask('m/fetch', { max: 10 });
    expect(data.entries.map((entry: { payload: string }) => entry.payload)).toEqual(['1', '2', '3']);
    expect(data.epoch).toBeUndefined();
  });

  test('a fetch waits for the first entry, and who asked first is served first', async () => {
    const task = fresh('wait');
    await app.client.publish(`w/ch/${task}`, 'make it', { qos: 1 });
    await app.ask(`m/fetch/${task}`);
    const other = await connectApp(node.port);
    const first = app.ask(`m/fetch/${task}`, { wait_ms: 5_000 });
    await app.ask(`m/stat/${task}`);
    const second = other.ask(`m/fetch/${task}`, { wait_ms: 5_000 });
    await other.ask(`m/stat/${task}`);
    await app.client.publish(`w/ch/${task}`, 'one', { qos: 1 });
    await app.client.publish(`w/ch/${task}`, 'two', { qos: 1 });
    expect((await first).data.entries).toMatchObject([{ payload: 'one' }]);
    expect((await second).data.entries).toMatchObject([{ payload: 'two' }]);
    expect((await app.ask(`m/fetch/${task}`, { wait_ms: 20 })).data.entries).toEqual([]);
    other.client.kill();
  });

  test('entries whose reply was not acknowledged come back in order when the client goes', async () => {
    const task = fresh('lease');
    for (const word of ['a', 'b']) await app.client.publish(`w/ch/${task}`, word, { qos: 1 });
    const taker = await connectApp(node.port, { autoAck: false });
    const taken = await taker.ask(`m/fetch/${task}`, { max: 2 }, 0);
    expect(taken.data.entries).toHaveLength(2);
    expect((await app.ask(`m/fetch/${task}`, { max: 2 })).data.entries).toEqual([]);
    taker.client.kill();
    await app.untilStat(task, ({ queue }) => queue.ready === 2);
    const again = await app.ask(`m/fetch/${task}`, { max: 2 });
    expect(again.data.entries).toMatchObject([
      { payload: 'a', attempts: 2 },
      { payload: 'b', attempts: 2 },
    ]);
  });

  test('a fetch nobody hears is not executed, and told', async () => {
    const task = fresh('deaf');
    await app.client.publish(`w/ch/${task}`, 'precious', { qos: 1 });
    const watcher = await RawClient.connect(node.port, { clientId: fresh('watcher') });
    await watcher.subscribe('m/event');
    const deaf = await RawClient.connect(node.port, { clientId: fresh('deaf') });
    await deaf.publish(`m/fetch/${task}`, '{}', { qos: 1 });
    await watcher.waitFor((frame) => frame.type === 'publish' && frame.payload.includes('fetch_unheard'));
    expect((await app.ask(`m/fetch/${task}`)).data.entries).toMatchObject([{ payload: 'precious', attempts: 1 }]);
    watcher.kill();
    deaf.kill();
  });

  test('a reply reaches the asking client alone, at reply_to, at the QoS it subscribed with', async () => {
    const spy = await RawClient.connect(node.port, { clientId: fresh('spy') });
    await spy.subscribe({ filter: '#', qos: 1 });
    const asker = await RawClient.connect(node.port, { clientId: fresh('asker') });
    await asker.subscribe({ filter: 'm/reply/mine', qos: 0 });
    await asker.publish('m/stat', JSON.stringify({ reply_to: 'm/reply/mine', transaction: { any: ['json'] } }), {
      qos: 2,
    });
    const [reply] = await asker.waitForPublishes(1);
    expect(reply).toMatchObject({ topic: 'm/reply/mine', qos: 0 });
    expect(JSON.parse(String(reply?.payload))).toMatchObject({ status: 'ok', transaction: { any: ['json'] } });
    expect(spy.publishes.filter(({ topic }) => topic.startsWith('m/reply'))).toEqual([]);
    expect(spy.publishes.filter(({ topic }) => topic === 'm/stat')).toEqual([]);
    spy.kill();
    asker.kill();
  });

  test('requests and puts are never retained or forwarded', async () => {
    const task = fresh('quiet');
    const spy = await RawClient.connect(node.port, { clientId: fresh('spy') });
    await spy.subscribe('#', 'w/#', 'w/ch/+', 'm/cmd/#');
    await app.client.publish(`w/ch/${task}`, 'x', { qos: 1, retain: true });
    await app.client.publish('m/cmd', '{"cmd":"workers"}', { qos: 1, retain: true });
    await spy.waitFor((frame) => frame.type === 'publish' && frame.topic === `m/data/${task}`);
    expect(spy.publishes.filter(({ topic }) => topic.startsWith('w/') || topic.startsWith('m/cmd'))).toEqual([]);
    const late = await RawClient.connect(node.port, { clientId: fresh('late') });
    await late.subscribe('w/#', 'm/cmd/#');
    await late.publish('sentinel/x', '', { qos: 1 });
    expect(late.publishes).toEqual([]);
    spy.kill();
    late.kill();
  });

  test('a put at QoS 2 that is sent again before its PUBREL is one entry', async () => {
    const task = fresh('twice');
    const client = await RawClient.connect(node.port, { clientId: fresh('qos2'), autoAck: false });
    const { encodePublish } = await import('../../src/transport/encode.js');
    const packet = (dup: boolean) =>
      encodePublish({ topic: `w/ch/${task}`, payload: Buffer.from('once'), qos: 2, retain: false, dup, packetId: 7 });
    client.write(packet(false));
    client.write(packet(true));
    await client.waitFor(() => client.frames.filter(({ type }) => type === 'pubrec').length === 2);
    client.write(Buffer.of(0x62, 2, 0, 7));
    await client.waitFor(({ type }) => type === 'pubcomp');
    expect((await app.ask(`m/fetch/${task}`, { max: 5 })).data.entries).toHaveLength(1);
    client.kill();
  });

  test('a full queue drops the oldest, counts it, and tells', async () => {
    const watcher = await RawClient.connect(node.port, { clientId: fresh('watcher') });
    await watcher.subscribe('m/event');
    for (const word of ['1', '2', '3', '4']) await app.client.publish('w/ch/small', word, { qos: 1 });
    const { data } = await app.ask('m/fetch/small', { max: 9 });
    expect(data.entries.map((entry: { seq: number }) => entry.seq)).toEqual([3, 4]);
    expect(data.dropped).toBe(2);
    await watcher.waitFor((frame) => frame.type === 'publish' && frame.payload.includes('"dropped"'));
    watcher.kill();
  });

  test('a route copies a publish into a task, and the broker still delivers it', async () => {
    const listener = await RawClient.connect(node.port, { clientId: fresh('routed') });
    await listener.subscribe('tele/#');
    await app.client.publish('tele/plug1/SENSOR', '{"w":3}', { qos: 2 });
    await listener.waitForPublishes(1);
    const { data } = await app.ask('m/fetch/tasmota-plug1', { max: 9 });
    expect(data.entries).toMatchObject([{ topic: 'tele/plug1/SENSOR', payload: '{"w":3}' }]);
    listener.kill();
  });

  test('a worker starts from its template, takes commands, puts, stops and is forgotten', async () => {
    const task = fresh('echo');
    expect(await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'echo' })).toMatchObject({
      status: 'ok',
    });
    await app.untilState(task, 'ready');
    expect((await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'echo' })).status).toBe('ok');
    expect((await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'idle' })).code).toBe(
      'SN_ERR_TASK_EXISTS',
    );
    // Ready is the channel; commands reach it once it has subscribed.
    for (;;) {
      const sent = await app.cmd('send', { task_id: task, payload: 'hello' });
      if (sent.status === 'ok') break;
      expect(sent.code).toBe('SN_ERR_NO_CHANNEL');
    }
    expect((await app.ask(`m/fetch/${task}`, { wait_ms: 5_000 })).data.entries).toMatchObject([
      { payload: 'got hello' },
    ]);
    const raw = await app.askRaw(`m/cmd/${task}`, Buffer.of(1, 2, 255));
    expect(raw).toMatchObject({ status: 'ok', data: { channels: 1 } });
    expect((await app.ask(`m/fetch/${task}`, { wait_ms: 5_000 })).data.entries).toHaveLength(1);
    expect((await app.cmd('stop', { task_id: task })).status).toBe('ok');
    const { data } = await app.ask(`m/stat/${task}`);
    expect(data).toMatchObject({ state: 'stopped', record: { start_params: 'echo' } });
    expect(data.pid).toBeUndefined();
    expect((await app.cmd('remove', { task_id: task })).status).toBe('ok');
    expect((await app.ask(`m/stat/${task}`)).code).toBe('SN_ERR_TASK_UNKNOWN');
  });

  test('a killed worker comes back with its cause told, and its old token is worth nothing', async () => {
    const task = fresh('killed');
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'idle' });
    const before = await app.untilState(task, 'ready');
    process.kill(before.pid, 'SIGKILL');
    const after = await app.untilStat(task, ({ state, generation }) => state === 'ready' && generation === 2);
    expect(after.pid).not.toBe(before.pid);
    expect(after).toMatchObject({ restarts: { signal: 1 }, restarts_total: 1, cause: 'signal', signal: 'SIGKILL' });
    await app.cmd('remove', { task_id: task });
  });

  test('a worker with a stale token gets CONNACK 4', async () => {
    const task = fresh('stale');
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'stale' });
    const status = await app.untilStat(task, ({ exit_code }) => exit_code === 44);
    expect(status.cause).toBe('exit');
    await app.cmd('remove', { task_id: task });
  });

  test('the last stderr lines of a failed worker are in its status', async () => {
    const task = fresh('stderr');
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'stderr' });
    const status = await app.untilStat(task, ({ exit_code }) => exit_code === 3);
    expect(status.stderr).toEqual(['about to fail', 'badly']);
    await app.cmd('remove', { task_id: task });
  });

  test('a worker inherits no secret of the node', async () => {
    const task = fresh('env');
    process.env.SN_TEST_SECRET = 'do not leak';
    const listener = await RawClient.connect(node.port, { clientId: fresh('log') });
    await listener.subscribe(`m/log/${task}`);
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'env', ready: 'spawn' });
    const [line] = await listener.waitForPublishes(1);
    const environment = JSON.parse(String(line?.payload));
    expect(environment.SN_TEST_SECRET).toBeUndefined();
    expect(environment).toMatchObject({ SN_TASK_ID: task, SN_GENERATION: '1', SN_START_PARAMS: 'env' });
    expect(environment.SN_TOKEN).toMatch(/^snw_/);
    listener.kill();
    await app.cmd('remove', { task_id: task });
  });

  test('a worker speaks for its own task only', async () => {
    const [task, victim] = [fresh('meddler'), fresh('victim')];
    const watcher = await RawClient.connect(node.port, { clientId: fresh('watcher') });
    await watcher.subscribe('m/event');
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: `meddle:${victim}` });
    await watcher.waitFor((frame) => frame.type === 'publish' && frame.payload.includes('SN_ERR_FORBIDDEN'));
    expect((await app.ask(`m/stat/${victim}`)).code).toBe('SN_ERR_TASK_UNKNOWN');
    watcher.kill();
    await app.cmd('remove', { task_id: task });
  });

  test('a net client registers by its will, sleeps by DISCONNECT, is lost without, and takes commands it subscribed to', async () => {
    const task = fresh('net');
    const will = { topic: `w/ch/${task}/state`, payload: 'lost' };
    const first = await RawClient.connect(node.port, { clientId: `${task}-client`, will });
    expect(await app.untilState(task, 'ready')).toMatchObject({
      kind: 'net',
      channels: [{ client_id: `${task}-client` }],
    });
    expect((await app.cmd('send', { task_id: task, payload: 'x' })).code).toBe('SN_ERR_NO_CHANNEL');
    await first.subscribe({ filter: `w/ch/${task}/cmd/#`, qos: 1 });
    expect((await app.cmd('send', { task_id: task, payload: { a: 1 } })).data).toEqual({ channels: 1 });
    expect((await first.waitForPublishes(1))[0]).toMatchObject({ topic: `w/ch/${task}/cmd`, qos: 1 });
    first.disconnect();
    await app.untilState(task, 'sleeping');
    const second = await RawClient.connect(node.port, { clientId: `${task}-client`, will });
    await app.untilState(task, 'ready');
    second.kill();
    await app.untilState(task, 'lost');
    await app.cmd('stop', { task_id: task });
    await app.client.publish(`w/ch/${task}`, 'unwanted', { qos: 1 });
    expect(await app.untilState(task, 'stopped')).toMatchObject({ queue: { length: 0, discarded: 1 } });
  });

  test('state, information and presence are retained, and cleared with the task', async () => {
    const task = fresh('seen');
    await app.client.publish(`w/ch/${task}`, 'x', { qos: 1 });
    const late = await RawClient.connect(node.port, { clientId: fresh('late') });
    await late.subscribe('m/state/#', 'm/info');
    const state = await late.waitFor((frame) => frame.type === 'publish' && frame.topic === `m/state/${task}`);
    expect(state).toMatchObject({ retain: true });
    await late.waitFor(
      (frame) => frame.type === 'publish' && frame.topic === 'm/state' && String(frame.payload) === 'online',
    );
    await late.waitFor((frame) => frame.type === 'publish' && frame.topic === 'm/info' && frame.retain);
    await app.cmd('remove', { task_id: task });
    await late.waitFor(
      (frame) => frame.type === 'publish' && frame.topic === `m/state/${task}` && frame.payload.length === 0,
    );
    const later = await RawClient.connect(node.port, { clientId: fresh('later') });
    await later.subscribe(`m/state/${task}`);
    await later.publish('sentinel/y', '', { qos: 1 });
    expect(later.publishes).toEqual([]);
    late.kill();
    later.kill();
  });

  test('mqtt.js over WebSocket does what MQTT over TCP does', async () => {
    const task = fresh('ws');
    const client = await mqtt.connectAsync(node.wsUrl, { protocolVersion: 4, reconnectPeriod: 0 });
    await client.subscribeAsync('m/reply', { qos: 1 });
    const reply = new Promise<Buffer>((resolve) => client.once('message', (_topic, payload) => resolve(payload)));
    await client.publishAsync(`w/ch/${task}`, Buffer.alloc(300_000, 'x'), { qos: 1 });
    await client.publishAsync(`m/fetch/${task}`, '{"max_bytes":1}', { qos: 1 });
    const { data } = JSON.parse((await reply).toString());
    expect(data.entries[0].payload).toHaveLength(300_000);
    await client.endAsync();
  });

  test('a message retained or at QoS 1 is not lost when a plain one overtakes it', async () => {
    const listener = await RawClient.connect(node.port, { clientId: fresh('loss') });
    await listener.subscribe({ filter: 'loss/#', qos: 1 });
    const publisher = await RawClient.connect(node.port, { clientId: fresh('mixed') });
    for (let n = 0; n < 50; n++) {
      void publisher.publish('loss/r', `r${n}`, { qos: 0, retain: true });
      void publisher.publish('loss/p', `p${n}`, { qos: 0 });
      void publisher.publish('loss/q', `q${n}`, { qos: 1 });
    }
    await listener.waitForPublishes(150);
    expect(listener.publishes).toHaveLength(150);
    listener.kill();
    publisher.kill();
  });

  test('packet ids towards a client count from 1, and no id is in flight twice', async () => {
    const client = await RawClient.connect(node.port, { clientId: fresh('ids'), autoAck: false });
    await client.subscribe({ filter: 'ids/#', qos: 2 }, { filter: 'm/reply', qos: 1 });
    for (let n = 0; n < 5; n++) {
      await app.client.publish('ids/one', 'x', { qos: 1 });
      client.write(Buffer.from([0x30, 8, 0, 6, ...Buffer.from('m/stat')]));
      await app.client.publish('ids/two', 'x', { qos: 2 });
    }
    const received = await client.waitForPublishes(15);
    const ids = received.map(({ packetId }) => packetId).sort((a, b) => a - b);
    expect(ids).toEqual(Array.from({ length: 15 }, (_, index) => index + 1));
    client.kill();
  });
});

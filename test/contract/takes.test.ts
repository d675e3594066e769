import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/core/limits.js';
import { ACK_HEADER, encodeAcks } from '../../src/transport/encode.js';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { type FrameOf, RawClient, type RawClientOptions } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Entries by subscription: `m/take/<task>[/<group>]`. */

type Publish = FrameOf<'publish'>;

describe.each(NODE_KINDS)('m/take on a node as %s', (kind) => {
  let node: TestNode;
  let app: App;
  let count = 0;

  beforeAll(async () => {
    node = await startTestNode(kind);
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  const fresh = () => `q${++count}`;
  const put = async (task: string, ...payloads: string[]) => {
    for (const payload of payloads) await app.client.publish(`w/ch/${task}`, payload, { qos: 1 });
  };
  async function taker(filter: string, qos: 0 | 1 = 1, options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const client = await RawClient.connect(node.port, { clientId: `taker-${++count}`, ...options });
    expect((await client.subscribe({ filter, qos })).codes).toEqual([qos]);
    return client;
  }
  const isTake = ({ topic }: Publish) => topic.startsWith('m/take/');
  const takenBy = (client: RawClient) => client.publishes.filter(isTake).map(({ payload }) => payload.toString());
  const took = async (client: RawClient, entries: number) =>
    (await client.waitForPublishes(entries, isTake)).map(({ payload }) => payload.toString());
  const ack = (client: RawClient, { packetId }: Publish) => client.write(encodeAcks(ACK_HEADER.puback, [packetId]));
  const queueOf = async (task: string) => (await app.ask(`m/stat/${task}`)).data.queue;
  const untilEmpty = (task: string) => app.untilStat(task, ({ queue }) => queue.length === 0);

  test('gives what is there and what comes, raw and in order; the PUBACK settles', async () => {
    const task = fresh();
    await put(task, 'a', 'b');
    const client = await taker(`m/take/${task}`);
    await put(task, 'c');
    expect(await took(client, 3)).toEqual(['a', 'b', 'c']);
    expect(client.publishes.filter(isTake)[0]).toMatchObject({ topic: `m/take/${task}`, qos: 1, retain: false });
    await untilEmpty(task);
  });

  test('gives no more than the prefetch before it is acknowledged, then one for one', async () => {
    const task = fresh();
    const client = await taker(`m/take/${task}`, 1, { autoAck: false });
    await put(task, ...Array.from({ length: LIMITS.takePrefetch + 3 }, (_, at) => String(at)));
    const frames = await client.waitForPublishes(LIMITS.takePrefetch, isTake);
    await client.ping();
    expect(takenBy(client)).toHaveLength(LIMITS.takePrefetch);
    const [first] = frames;
    if (first) ack(client, first);
    expect((await took(client, LIMITS.takePrefetch + 1)).at(-1)).toBe(String(LIMITS.takePrefetch));
    expect((await queueOf(task)).length).toBe(LIMITS.takePrefetch + 2);
    client.kill();
  });

  test('what a connection had is given back with it, in order and with one attempt more', async () => {
    const task = fresh();
    await put(task, 'a', 'b', 'c');
    const client = await taker(`m/take/${task}`, 1, { autoAck: false });
    const [, second] = await client.waitForPublishes(3, isTake);
    if (second) ack(client, second);
    await app.untilStat(task, ({ queue }) => queue.length === 2);
    client.kill();
    const { data } = await app.ask(`m/fetch/${task}`, { max: 9, wait_ms: 5_000 });
    expect(data.entries[0]).toMatchObject({ payload: 'a', attempts: 2 });
  });

  test('takers of one group share: each entry goes to one of them, and all get some', async () => {
    const task = fresh();
    const takers = await Promise.all([1, 2, 3, 4].map(() => taker(`m/take/${task}`)));
    const words = Array.from({ length: 200 }, (_, at) => String(at));
    await Promise.all(words.map((word) => app.client.publish(`w/ch/${task}`, word, { qos: 1 })));
    await untilEmpty(task);
    const shares = takers.map(takenBy);
    expect(shares.flat().sort()).toEqual([...words].sort());
    for (const share of shares) expect(share.length).toBeGreaterThan(20);
    for (const share of shares) expect(share).toEqual([...share].sort((a, b) => Number(a) - Number(b)));
  });

  test('each group gets every entry, on its own topic', async () => {
    const task = fresh();
    await put(task, 'before');
    const [db, ui] = await Promise.all([taker(`m/take/${task}/db`, 1, { autoAck: false }), taker(`m/take/${task}/ui`)]);
    await put(task, 'after');
    expect(await took(db, 2)).toEqual(['before', 'after']);
    expect(await took(ui, 2)).toEqual(['before', 'after']);
    expect(db.publishes.filter(isTake)[0]?.topic).toBe(`m/take/${task}/db`);
    db.kill();
  });

  test('a + takes of all tasks, those to come included', async () => {
    const [one, two] = [fresh(), fresh()];
    await put(one, 'a');
    const client = await taker('m/take/+/all');
    await put(two, 'b');
    await put(one, 'c');
    const mine = ({ topic }: Publish) => [one, two].some((task) => topic === `m/take/${task}/all`);
    const frames = await client.waitForPublishes(3, mine);
    expect(frames.map(({ payload }) => payload.toString())).toEqual(['a', 'b', 'c']);
    client.kill();
  });

  test('at QoS 0 the write settles', async () => {
    const task = fresh();
    const client = await taker(`m/take/${task}`, 0);
    await put(task, 'a');
    expect(await took(client, 1)).toEqual(['a']);
    expect(client.publishes.find(isTake)?.qos).toBe(0);
    await untilEmpty(task);
  });

  test('QoS 2 is granted as 1, and an UNSUBSCRIBE ends it', async () => {
    const task = fresh();
    const client = await RawClient.connect(node.port, { clientId: fresh() });
    expect((await client.subscribe({ filter: `m/take/${task}`, qos: 2 }, 'free')).codes).toEqual([1, 0]);
    await put(task, 'a');
    expect(await took(client, 1)).toEqual(['a']);
    await client.unsubscribe(`m/take/${task}`);
    await put(task, 'b');
    await client.ping();
    expect(takenBy(client)).toEqual(['a']);
    expect((await queueOf(task)).length).toBe(1);
    // What is not a take goes on.
    await app.client.publish('free', 'heard', { qos: 1 });
    await client.waitFor((frame) => frame.type === 'publish' && frame.topic === 'free');
  });

  test('a stored session goes on taking when it comes back', async () => {
    const task = fresh();
    const options = { clientId: fresh(), clean: false } as const;
    const before = await taker(`m/take/${task}`, 1, options);
    await put(task, 'a');
    await took(before, 1);
    await before.disconnect();
    await put(task, 'b');
    const after = await RawClient.connect(node.port, options);
    expect(await took(after, 1)).toEqual(['b']);
    await after.unsubscribe(`m/take/${task}`);
    await after.disconnect();
    await put(task, 'c');
    const later = await RawClient.connect(node.port, options);
    await later.ping();
    expect(takenBy(later)).toEqual([]);
    later.kill();
  });

  test('a stored session that comes back in time gets what it had: same ids, DUP, in order, before anything new', async () => {
    const task = fresh();
    const options = { clientId: fresh(), clean: false, autoAck: false } as const;
    const before = await taker(`m/take/${task}`, 1, options);
    const all = Array.from({ length: LIMITS.takePrefetch + 2 }, (_, at) => String(at));
    await put(task, ...all);
    const first = await before.waitForPublishes(LIMITS.takePrefetch, isTake);
    const [settled] = first.splice(1, 1);
    if (settled) ack(before, settled);
    const [another] = (await before.waitForPublishes(LIMITS.takePrefetch + 1, isTake)).slice(-1);
    before.kill();
    const after = await RawClient.connect(node.port, options);
    const again = await after.waitForPublishes(LIMITS.takePrefetch, isTake);
    const seen = (frames: readonly (Publish | undefined)[]) =>
      frames.map((frame) => ({ id: frame?.packetId, payload: frame?.payload.toString() }));
    expect(seen(again)).toEqual(seen([...first, another]));
    expect(again.map(({ dup }) => dup)).toEqual(again.map(() => true));
    // As most clients do; it is no second take.
    await after.subscribe({ filter: `m/take/${task}`, qos: 1 });
    await after.ping();
    expect(takenBy(after)).toHaveLength(LIMITS.takePrefetch);
    for (const frame of again) ack(after, frame);
    const [last] = (await after.waitForPublishes(LIMITS.takePrefetch + 1, isTake)).slice(-1);
    expect(last).toMatchObject({ dup: false, payload: Buffer.from(String(LIMITS.takePrefetch + 1)) });
    if (last) ack(after, last);
    await untilEmpty(task);
    await after.disconnect();
  });

  test('what was purged meanwhile is nobody’s: its late PUBACK settles nothing', async () => {
    const task = fresh();
    const options = { clientId: fresh(), clean: false, autoAck: false } as const;
    const before = await taker(`m/take/${task}`, 1, options);
    await put(task, 'a', 'b');
    const frames = await before.waitForPublishes(2, isTake);
    before.kill();
    await app.cmd('purge', { task_id: task });
    await put(task, 'c', 'd');
    const after = await RawClient.connect(node.port, options);
    await after.waitForPublishes(4, isTake);
    expect(takenBy(after)).toEqual(['a', 'b', 'c', 'd']);
    for (const frame of frames) ack(after, frame);
    await after.ping();
    expect((await queueOf(task)).length).toBe(2);
    await after.disconnect();
  });

  test('# and m/# receive none of it, and nobody can publish there', async () => {
    const task = fresh();
    const all = await RawClient.connect(node.port, { clientId: fresh() });
    await all.subscribe({ filter: '#', qos: 1 }, { filter: 'm/#', qos: 1 });
    const client = await taker(`m/take/${task}`);
    await put(task, 'a');
    await took(client, 1);
    await app.client.publish(`m/take/${task}`, 'forged', { qos: 1 });
    await all.waitFor((frame) => frame.type === 'publish' && frame.topic === `m/data/${task}`);
    await all.ping();
    expect(takenBy(all)).toEqual([]);
    expect(takenBy(client)).toEqual(['a']);
    for (const one of [all, client]) one.kill();
  });

  test.each(['m/take', 'm/take/', 'm/take/#', 'm/take/a/b/c', 'm/take/-x', 'm/take/a/+', 'm/take/a/$dead', 'm/+/a/#'])(
    '%s is refused, or takes nothing',
    async (filter) => {
      const client = await RawClient.connect(node.port, { clientId: fresh() });
      const { codes } = await client.subscribe({ filter, qos: 1 });
      expect(codes).toEqual([filter.startsWith('m/take') ? 128 : 1]);
      client.kill();
    },
  );

  test('a worker may not take', async () => {
    const task = fresh();
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'takes' });
    await waitFor(async () => (await app.ask(`m/stat/${task}`)).data.state === 'ready');
    const { data } = await app.ask(`m/fetch/${task}`, { wait_ms: 5_000 });
    expect(data.entries).toMatchObject([{ payload: 'refused' }]);
    await app.cmd('remove', { task_id: task });
  });
});

describe.each(NODE_KINDS)('m/take with limits of its own on a node as %s', (kind) => {
  let node: TestNode;
  let app: App;

  beforeAll(async () => {
    node = await startTestNode(kind, { limits: { take_prefetch: 2, take_resume_ms: 100 } });
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  test('the prefetch holds; what a session does not come back for in time goes to whoever takes', async () => {
    const options = { clientId: 'away', clean: false, autoAck: false } as const;
    const before = await RawClient.connect(node.port, options);
    await before.subscribe({ filter: 'm/take/q', qos: 1 });
    for (const payload of ['a', 'b', 'c']) await app.client.publish('w/ch/q', payload, { qos: 1 });
    await before.waitForPublishes(2);
    await before.ping();
    expect(before.publishes.map(({ payload }) => payload.toString())).toEqual(['a', 'b']);
    before.kill();
    await app.untilStat('q', ({ queue }) => queue.ready === 3);
    const other = await RawClient.connect(node.port, { clientId: 'other' });
    await other.subscribe({ filter: 'm/take/q', qos: 1 });
    const frames = await other.waitForPublishes(3);
    expect(frames.map(({ payload, dup }) => `${payload} ${dup}`)).toEqual(['a false', 'b false', 'c false']);
    await app.untilStat('q', ({ queue }) => queue.length === 0);
    const after = await RawClient.connect(node.port, options);
    await after.ping();
    expect(after.publishes).toEqual([]);
    for (const client of [after, other]) client.kill();
  });
});

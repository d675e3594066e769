import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';

/** Leases, groups, dead entries and reading, as an app meets them. */

describe.each(NODE_KINDS)('the queues of a node as %s', (kind) => {
  let node: TestNode;
  let app: App;
  let tasks = 0;

  beforeAll(async () => {
    node = await startTestNode(kind, { queue: { max_attempts: 2 } });
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  /** A task with these entries. */
  async function filled(...payloads: string[]): Promise<string> {
    const task = `q${++tasks}`;
    for (const payload of payloads) await app.client.publish(`w/ch/${task}`, payload, { qos: 1 });
    return task;
  }
  const fetch = async (task: string, fields = {}, from = app) =>
    (await from.ask(`m/fetch/${task}`, { max: 10, ...fields })).data;
  const texts = (data: { entries: { payload: string }[] }) => data.entries.map(({ payload }) => payload);
  const ack = (lease: string, fields: Record<string, unknown>) => app.ask('m/ack', { lease, ...fields });
  const queueOf = async (task: string) => (await app.ask(`m/stat/${task}`)).data.queue;

  test('a lease outlives the connection that took it, until it is acknowledged', async () => {
    const task = await filled('a', 'b', 'c');
    const taker = await connectApp(node.port);
    const data = await fetch(task, { lease_ms: 60_000 }, taker);
    expect(data).toMatchObject({ lease: expect.stringMatching(/^[\w-]{16}$/), remaining: 0 });
    await taker.client.disconnect();
    expect((await fetch(task)).entries).toEqual([]);
    expect((await ack(data.lease, { ok: true, seqs: [1] })).data).toEqual({ lease: data.lease, settled: 1 });
    expect((await ack(data.lease, { lease_ms: 90_000 })).data).toEqual({
      lease: data.lease,
      extended: 2,
      lease_ms: 90_000,
    });
    expect((await ack(data.lease, { ok: false })).data).toEqual({ lease: data.lease, returned: 2 });
    expect(await ack(data.lease, { ok: true })).toMatchObject({ code: 'SN_ERR_LEASE_UNKNOWN' });
    const again = await fetch(task);
    expect(again.entries).toMatchObject([
      { payload: 'b', attempts: 2 },
      { payload: 'c', attempts: 2 },
    ]);
    expect(again.lease).toBeUndefined();
  });

  test('a lease that runs out serves who waits', async () => {
    const task = await filled('a');
    await fetch(task, { lease_ms: 100 });
    expect(texts(await fetch(task, { wait_ms: 5_000 }))).toEqual(['a']);
  });

  test('each group gets every entry, and they are told apart in the status', async () => {
    const task = await filled('a', 'b');
    const { lease } = await fetch(task, { group: 'db', lease_ms: 60_000 });
    expect(texts(await fetch(task, { group: 'ui', max: 1 }))).toEqual(['a']);
    expect((await ack(lease, { ok: true })).data.settled).toBe(2);
    await app.client.publish(`w/ch/${task}`, 'c', { qos: 1 });
    expect(texts(await fetch(task, { group: 'db' }))).toEqual(['c']);
    expect(await queueOf(task)).toMatchObject({
      length: 2,
      groups: { db: { ready: 0, leased: 0, dropped: 0 }, ui: { ready: 2, leased: 0, dropped: 0 } },
    });
    expect((await app.cmd('remove_group', { task_id: task, group: 'ui' })).data).toEqual({
      task_id: task,
      group: 'ui',
    });
    expect(await queueOf(task)).toMatchObject({ length: 0 });
    expect(await app.cmd('remove_group', { task_id: task, group: 'ui' })).toMatchObject({
      code: 'SN_ERR_GROUP_UNKNOWN',
    });
  });

  test('an entry that came back too often is dead: fetched as such, requeued, purged', async () => {
    const task = await filled('bad', 'good');
    for (const attempts of [1, 2]) {
      const data = await fetch(task, { max: 1, lease_ms: 60_000 });
      expect(data.entries).toMatchObject([{ payload: 'bad', attempts }]);
      await ack(data.lease, { ok: false });
    }
    expect(texts(await fetch(task))).toEqual(['good']);
    expect(await queueOf(task)).toMatchObject({ length: 1, ready: 0, dead: 1 });
    expect((await app.cmd('requeue', { task_id: task })).data).toEqual({ requeued: 1 });
    for (let times = 0; times < 2; times += 1) await ack((await fetch(task, { lease_ms: 9_000 })).lease, { ok: false });
    const dead = await fetch(task, { group: '$dead', lease_ms: 9_000 });
    expect(dead.entries).toMatchObject([{ payload: 'bad', attempts: 3 }]);
    await ack(dead.lease, { ok: false });
    expect((await app.cmd('purge', { task_id: task, group: '$dead' })).data).toEqual({ purged: 1 });
    expect(await queueOf(task)).toMatchObject({ length: 0 });
  });

  test('purge empties the queue and goes on with its seq', async () => {
    const task = await filled('a', 'b');
    const { lease } = await fetch(task, { max: 1, lease_ms: 60_000 });
    expect((await app.cmd('purge', { task_id: task })).data).toEqual({ purged: 2 });
    expect(await ack(lease, { ok: true })).toMatchObject({ code: 'SN_ERR_LEASE_UNKNOWN' });
    await app.client.publish(`w/ch/${task}`, 'c', { qos: 1 });
    expect((await fetch(task)).entries).toMatchObject([{ seq: 3, payload: 'c' }]);
  });

  test('reading from a place on takes nothing', async () => {
    const task = await filled('a', 'b', 'c');
    const read = await fetch(task, { from: { seq: 2 } });
    expect(read.entries).toMatchObject([
      { seq: 2, payload: 'b', attempts: 0 },
      { seq: 3, payload: 'c', attempts: 0 },
    ]);
    expect(texts(await fetch(task, { from: { ts: read.entries[1].ts }, max: 1 }))).toHaveLength(1);
    expect(texts(await fetch(task))).toEqual(['a', 'b', 'c']);
  });

  test('what is too old is not handed out', async () => {
    await app.client.subscribe({ filter: 'm/event', qos: 1 });
    await app.cmd('start', { task_id: 'old', queue: { ttl_ms: 1 } });
    const told = app.client.waitFor(
      (frame) => frame.type === 'publish' && frame.payload.includes('"type":"dropped","task_id":"old"'),
    );
    await app.client.publish('w/ch/old', 'a', { qos: 1 });
    await told;
    await app.untilStat('old', ({ queue }) => queue.length === 0 && queue.dropped === 1);
    expect(await fetch('old')).toMatchObject({ entries: [], dropped: 1 });
  });

  test.each([
    ['m/fetch/x', { group: 'no spaces' }, 'SN_ERR_REQUEST'],
    ['m/fetch/x', { group: '$other' }, 'SN_ERR_REQUEST'],
    ['m/fetch/x', { lease_ms: 0 }, 'SN_ERR_REQUEST'],
    ['m/fetch', { from: { seq: 1 } }, 'SN_ERR_REQUEST'],
    ['m/fetch/x', { from: { seq: 1 }, lease_ms: 5 }, 'SN_ERR_REQUEST'],
    ['m/fetch/x', { from: { seq: 1, ts: 2 } }, 'SN_ERR_REQUEST'],
    ['m/fetch/x', { from: {} }, 'SN_ERR_REQUEST'],
    ['m/ack', {}, 'SN_ERR_REQUEST'],
    ['m/ack', { lease: 'x' }, 'SN_ERR_REQUEST'],
    ['m/ack', { lease: 'x', ok: true, lease_ms: 5 }, 'SN_ERR_REQUEST'],
    ['m/ack', { lease: 'x', lease_ms: 5, seqs: [1] }, 'SN_ERR_REQUEST'],
    ['m/ack', { lease: 'x', ok: true }, 'SN_ERR_LEASE_UNKNOWN'],
    ['m/ack', { lease: 'x', ok: 'yes' }, 'SN_ERR_REQUEST'],
    ['m/ack/x', { lease: 'x', ok: true }, 'SN_ERR_TOPIC'],
  ])('%s %j is refused with %s', async (topic, fields, code) => {
    await app.cmd('start', { task_id: 'x' });
    if (code === 'SN_ERR_TOPIC') {
      await app.client.subscribe({ filter: 'm/event', qos: 1 });
      const told = app.client.waitFor((frame) => frame.type === 'publish' && frame.payload.includes(code));
      await app.client.publish(topic, JSON.stringify(fields), { qos: 1 });
      await told;
      return;
    }
    expect(await app.ask(topic, fields)).toMatchObject({ status: 'error', code });
  });

  test('a group too many is refused, and harms no other', async () => {
    const task = await filled('a');
    let refused: unknown;
    for (let index = 0; index < 30 && refused === undefined; index += 1) {
      const reply = await app.ask(`m/fetch/${task}`, { group: `g${index}` });
      if (reply.status === 'error') refused = reply.code;
    }
    expect(refused).toBe('SN_ERR_LIMIT');
    expect(texts(await fetch(task, { group: 'g3' }))).toEqual([]);
  });
});

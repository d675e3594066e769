import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { RawClient, type RawClientOptions } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';
import { Witness } from '../fixtures/witness.js';

/** Workers that connect by themselves: how they register, and what their coming and going makes of their task. */

describe.each(NODE_KINDS)('net clients of a node as %s', (kind) => {
  let node: TestNode;
  let app: App;
  let witness: Witness;
  let names = 0;

  beforeAll(async () => {
    node = await startTestNode(kind);
    app = await connectApp(node.port);
    witness = await Witness.connect(node.port);
  });
  afterAll(() => node.close());

  const fresh = () => `net-${++names}`;
  const connect = (options: Partial<RawClientOptions> = {}) =>
    RawClient.connect(node.port, { clientId: `client-${++names}`, ...options });
  const withWill = (task: string, options: Partial<RawClientOptions> = {}) =>
    connect({ will: { topic: `w/ch/${task}/state`, payload: 'lost' }, ...options });
  const report = (client: RawClient, task: string, word: string) =>
    client.publish(`w/ch/${task}/state`, word, { qos: 1 });
  const put = (client: RawClient, task: string, payload: string) => client.publish(`w/ch/${task}`, payload, { qos: 1 });
  const stat = async (task: string) => (await app.ask(`m/stat/${task}`)).data;
  /** The states that were told, each once where it follows itself; only the number of channels differed then. */
  const statesOf = (task: string): string[] => {
    const states = witness.states(task).map(({ state }) => state);
    return states.filter((state, at) => state !== states[at - 1]);
  };
  const untilStates = async (task: string, ...states: string[]) => {
    await waitFor(() => statesOf(task).length >= states.length);
    expect(statesOf(task)).toEqual(states);
  };

  test('a last will registers its connection before it put anything', async () => {
    const task = fresh();
    const client = await withWill(task, { keepalive: 30 });
    expect(await app.untilState(task, 'ready')).toMatchObject({
      kind: 'net',
      generation: 0,
      restarts_total: 0,
      channels: [{ client_id: `client-${names}`, keepalive_s: 30 }],
      queue: { length: 0, seq: 0 },
    });
    expect((await witness.untilEvent(task, 'ready')).data).toEqual({ channels: 1 });
    client.kill();
  });

  test('a birth registers its connection too', async () => {
    const task = fresh();
    const client = await connect();
    await report(client, task, 'ready');
    expect((await app.untilState(task, 'ready')).channels).toHaveLength(1);
    client.kill();
    expect((await app.untilState(task, 'lost')).channels).toEqual([]);
  });

  test('a mere put makes the task, and its connection is not watched', async () => {
    const task = fresh();
    const client = await connect();
    await put(client, task, 'reading');
    expect(await app.untilState(task, 'ready')).toMatchObject({ channels: [], queue: { length: 1 } });
    client.kill();
    await client.closed;
    await put(await connect(), task, 'next');
    expect(await stat(task)).toMatchObject({ state: 'ready', queue: { length: 2 } });
    await untilStates(task, 'pending', 'ready');
  });

  test('DISCONNECT is sleeping, a lost connection is lost, and back is ready', async () => {
    const task = fresh();
    const first = await withWill(task);
    await untilStates(task, 'pending', 'ready');
    await first.disconnect();
    await untilStates(task, 'pending', 'ready', 'sleeping');
    const second = await withWill(task);
    await untilStates(task, 'pending', 'ready', 'sleeping', 'ready');
    second.kill();
    await untilStates(task, 'pending', 'ready', 'sleeping', 'ready', 'lost');
    const third = await withWill(task);
    await untilStates(task, 'pending', 'ready', 'sleeping', 'ready', 'lost', 'ready');
    expect(witness.events(task).map(({ type }) => type)).toEqual(['ready', 'sleeping', 'ready', 'lost', 'ready']);
    expect(await stat(task)).toMatchObject({ restarts_total: 0, generation: 0 });
    third.kill();
  });

  test('a client that falls silent is lost after 1.5 of its keepalives, one that pings is not', async () => {
    const [silent, alive] = [fresh(), fresh()];
    const pinging = await withWill(alive, { keepalive: 1 });
    const timer = setInterval(() => void pinging.ping(), 200);
    const beganMs = performance.now();
    await withWill(silent, { keepalive: 1 });
    await untilStates(silent, 'pending', 'ready', 'lost');
    expect(performance.now() - beganMs).toBeGreaterThan(1_400);
    expect((await stat(alive)).state).toBe('ready');
    clearInterval(timer);
    pinging.kill();
  });

  test('a will of `sleeping` makes a broken connection an ordinary end', async () => {
    const task = fresh();
    const client = await withWill(task, { will: { topic: `w/ch/${task}/state`, payload: 'sleeping' } });
    await app.untilState(task, 'ready');
    client.kill();
    await app.untilState(task, 'sleeping');
    await untilStates(task, 'pending', 'ready', 'sleeping');
  });

  test('a client says itself that it goes to sleep, and wakes', async () => {
    const task = fresh();
    const client = await withWill(task);
    await report(client, task, 'sleeping');
    await app.untilState(task, 'sleeping');
    await report(client, task, 'ready');
    await app.untilState(task, 'ready');
    await client.subscribe({ filter: 'm/reply', qos: 1 });
    await report(client, task, 'tired');
    await client.waitFor(
      (frame) => frame.type === 'publish' && JSON.parse(String(frame.payload)).code === 'SN_ERR_REQUEST',
    );
    expect((await stat(task)).state).toBe('ready');
    client.kill();
  });

  test('a put of somebody else does not say that the one who is lost is back', async () => {
    const task = fresh();
    const client = await withWill(task);
    client.kill();
    await app.untilState(task, 'lost');
    await put(await connect(), task, 'from elsewhere');
    expect(await stat(task)).toMatchObject({ state: 'lost', queue: { length: 1 } });
    await untilStates(task, 'pending', 'ready', 'lost');
  });

  test('two clients feed one task: it is theirs until the last one goes', async () => {
    const task = fresh();
    const [one, two] = [await withWill(task), await withWill(task)];
    expect((await app.untilStat(task, ({ channels }) => channels.length === 2)).state).toBe('ready');
    await put(one, task, 'from one');
    await put(two, task, 'from two');
    one.kill();
    expect(await app.untilStat(task, ({ channels }) => channels.length === 1)).toMatchObject({ state: 'ready' });
    await report(two, task, 'ready');
    await put(two, task, 'still here');
    await two.disconnect();
    expect(await app.untilState(task, 'sleeping')).toMatchObject({ queue: { seq: 3 } });
    await untilStates(task, 'pending', 'ready', 'sleeping');
    const { entries } = (await app.ask(`m/fetch/${task}`, { max: 5 })).data;
    expect(entries.map(({ payload }: { payload: string }) => payload)).toEqual(['from one', 'from two', 'still here']);
  });

  test('stop drops what is put, counted and acknowledged; start takes it again', async () => {
    const task = fresh();
    const client = await withWill(task);
    await put(client, task, 'before');
    expect((await app.cmd('stop', { task_id: task })).status).toBe('ok');
    for (const payload of ['lost 1', 'lost 2', 'lost 3']) await put(client, task, payload);
    expect(await stat(task)).toMatchObject({
      state: 'stopped',
      queue: { length: 1, seq: 1, discarded: 3, dropped: 0 },
      channels: [{ client_id: expect.any(String) }],
    });
    // Its clients come and go; it stays stopped.
    await report(client, task, 'ready');
    const second = await withWill(task);
    second.kill();
    await second.closed;
    expect((await stat(task)).state).toBe('stopped');
    expect((await app.cmd('start', { task_id: task })).status).toBe('ok');
    await app.untilState(task, 'ready');
    await put(client, task, 'after');
    const { entries } = (await app.ask(`m/fetch/${task}`, { max: 5 })).data;
    expect(entries).toMatchObject([{ payload: 'before' }, { payload: 'after', seq: 2 }]);
    expect((await stat(task)).queue.discarded).toBe(3);
    await untilStates(task, 'pending', 'ready', 'stopped', 'ready');
    client.kill();
  });

  test('a stopped task has no live copies, a started one has', async () => {
    const task = fresh();
    const live = await Witness.connect(node.port, `m/data/${task}`);
    const client = await withWill(task);
    await app.cmd('stop', { task_id: task });
    await put(client, task, 'unseen');
    await app.cmd('start', { task_id: task });
    await put(client, task, 'seen');
    await waitFor(() => live.texts(`m/data/${task}`).includes('seen'));
    expect(live.texts(`m/data/${task}`)).toEqual(['seen']);
    for (const one of [live.client, client]) one.kill();
  });

  test('remove forgets it; the next put begins anew', async () => {
    const task = fresh();
    const client = await withWill(task);
    await put(client, task, 'old');
    const { epoch } = (await stat(task)).queue;
    expect((await app.cmd('remove', { task_id: task })).status).toBe('ok');
    expect((await app.ask(`m/stat/${task}`)).code).toBe('SN_ERR_TASK_UNKNOWN');
    await waitFor(() => witness.texts(`m/state/${task}`).at(-1) === '');
    await put(client, task, 'new');
    const again = await app.untilState(task, 'ready');
    expect(again.queue).toMatchObject({ seq: 1, length: 1 });
    expect(again.queue.epoch).not.toBe(epoch);
    client.kill();
  });

  test('signal means nothing to it', async () => {
    const task = fresh();
    const client = await withWill(task);
    expect(await app.cmd('signal', { task_id: task, sig: 'SIGTERM' })).toMatchObject({ code: 'SN_ERR_NOT_RUNNING' });
    client.kill();
  });
});

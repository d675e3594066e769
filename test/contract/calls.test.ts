import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/core/limits.js';
import { type App, connectApp, NODE_KINDS, type ReplyBody, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { RawClient, type RawClientOptions } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';

/** A net client that takes the calls of a task, and does nothing by itself. */
class Worker {
  readonly client: RawClient;
  readonly task: string;

  constructor(client: RawClient, task: string) {
    this.client = client;
    this.task = task;
  }

  static async connect(port: number, task: string, options: Partial<RawClientOptions> = {}): Promise<Worker> {
    const will = { topic: `w/ch/${task}/state`, payload: 'lost' };
    const client = await RawClient.connect(port, { clientId: `${task}-worker`, will, ...options });
    await client.subscribe({ filter: `w/ch/${task}/cmd/#`, qos: 1 });
    return new Worker(client, task);
  }

  /** Ids and payloads of the calls that came so far. */
  get calls(): { id: string; payload: string }[] {
    return this.#below(/^w\/ch\/[^/]+\/cmd\/([^/]+)$/);
  }

  get cancels(): { id: string; payload: string }[] {
    return this.#below(/^w\/ch\/[^/]+\/cmd\/([^/]+)\/cancel$/);
  }

  /** The id of the call of this number, from 0. */
  takes(at = 0): Promise<string> {
    return waitFor(() => this.calls[at]?.id);
  }

  says(id: string, kind: '' | '/end' | '/error', payload: string | Uint8Array = '', qos: 0 | 1 = 1): Promise<void> {
    return this.client.publish(`w/ch/${this.task}/reply/${id}${kind}`, payload, { qos });
  }

  #below(pattern: RegExp): { id: string; payload: string }[] {
    return this.client.publishes.flatMap(({ topic, payload }) => {
      const id = pattern.exec(topic)?.[1];
      return id === undefined ? [] : [{ id, payload: payload.toString() }];
    });
  }
}

let transactions = 0;

/** Calls a task; `replies` fills as they come. */
function call(app: App, task: string, fields: Record<string, unknown> = { payload: 'go' }) {
  const transaction = `call-${++transactions}`;
  void app.client.publish('m/cmd', JSON.stringify({ cmd: 'call', task_id: task, ...fields, transaction }), { qos: 1 });
  const replies = (): ReplyBody[] =>
    app.client.publishes
      .filter(({ topic }) => topic.startsWith('m/reply'))
      .map(({ payload }) => JSON.parse(payload.toString()))
      .filter((reply) => reply.transaction === transaction);
  const ended = () => waitFor(() => replies().find(({ status, data }) => status === 'error' || data.last === true));
  return { replies, ended };
}

describe.each(NODE_KINDS)('calls of a node as %s', (kind) => {
  let node: TestNode;
  let app: App;
  let names = 0;
  const fresh = (word: string) => `${word}-${++names}`;

  beforeAll(async () => {
    node = await startTestNode(kind);
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  test('one question, one answer', async () => {
    const worker = await Worker.connect(node.port, fresh('one'));
    const { ended, replies } = call(app, worker.task, { payload: { question: '2+2' } });
    const id = await worker.takes();
    expect(worker.calls).toEqual([{ id, payload: '{"question":"2+2"}' }]);
    await worker.says(id, '/end', '4');
    expect(await ended()).toMatchObject({
      status: 'ok',
      data: { part: 1, last: true, payload: '4', worker_id: `${worker.task}-worker` },
    });
    expect(replies()).toHaveLength(1);
    expect((await app.ask(`m/stat/${worker.task}`)).data.calls).toEqual({ in_flight: 0, total: 1, failed: 0 });
    worker.client.kill();
  });

  test('what comes after the last word is acknowledged, and counted for all to see', async () => {
    const lateAnswers = async () => (await app.ask('m/stat')).data.calls.late;
    const worker = await Worker.connect(node.port, fresh('late'));
    const { ended, replies } = call(app, worker.task);
    const id = await worker.takes();
    await worker.says(id, '/end', 'first');
    await ended();
    const before = await lateAnswers();
    await worker.says(id, '/end', 'second');
    expect(await lateAnswers()).toBe(before + 1);
    expect(replies()).toHaveLength(1);
    worker.client.kill();
  });

  test('bytes go there and back', async () => {
    const worker = await Worker.connect(node.port, fresh('bytes'));
    const { ended } = call(app, worker.task, { payload_base64: '/wCA' });
    const id = await worker.takes();
    await worker.says(id, '/end', worker.client.publishes[0]?.payload ?? '');
    expect((await ended()).data).toMatchObject({ payload_base64: '/wCA' });
    worker.client.kill();
  });

  test('an answer can come in many parts, which keep their order', async () => {
    const worker = await Worker.connect(node.port, fresh('stream'));
    const { ended, replies } = call(app, worker.task);
    const id = await worker.takes();
    for (let n = 1; n <= 200; n++) void worker.says(id, '', `${n} `, n % 2 === 0 ? 0 : 1);
    await worker.says(id, '/end', 'done');
    await ended();
    const expected = Array.from({ length: 200 }, (_, at) => ({ part: at + 1, last: false, payload: `${at + 1} ` }));
    expect(replies().map(({ data }) => data)).toMatchObject([...expected, { part: 201, last: true, payload: 'done' }]);
    worker.client.kill();
  });

  test('a worker may answer with an error', async () => {
    const worker = await Worker.connect(node.port, fresh('error'));
    const { ended } = call(app, worker.task);
    await worker.says(await worker.takes(), '/error', 'model is not loaded\u0007');
    expect(await ended()).toMatchObject({
      code: 'SN_ERR_CALL_FAILED',
      error: expect.stringMatching(/answered: model is not loaded$/),
    });
    worker.client.kill();
  });

  test('a deadline ends a call, and the worker is told', async () => {
    const worker = await Worker.connect(node.port, fresh('deadline'));
    const { ended } = call(app, worker.task, { payload: 'go', timeout_ms: 50 });
    const id = await worker.takes();
    expect(await ended()).toMatchObject({ code: 'SN_ERR_CALL_TIMEOUT' });
    await waitFor(() => worker.cancels.length === 1);
    expect(worker.cancels).toEqual([{ id, payload: '' }]);
    worker.client.kill();
  });

  test('a caller that disconnects cancels its calls', async () => {
    const worker = await Worker.connect(node.port, fresh('leaver'));
    const leaver = await connectApp(node.port);
    call(leaver, worker.task);
    call(leaver, worker.task);
    await worker.takes(1);
    leaver.client.kill();
    await waitFor(() => worker.cancels.length === 2);
    expect(worker.cancels.map(({ id }) => id)).toEqual(worker.calls.map(({ id }) => id));
    worker.client.kill();
  });

  test('a net client that leaves fails the calls it had', async () => {
    const worker = await Worker.connect(node.port, fresh('gone'));
    const { ended } = call(app, worker.task);
    await worker.takes();
    worker.client.kill();
    expect(await ended()).toMatchObject({
      code: 'SN_ERR_WORKER_GONE',
      error: expect.stringMatching(/its connection closed$/),
    });
  });

  test('calls to a pool go to the least busy of its workers, and one that is killed fails its own with the cause', async () => {
    const task = fresh('pool');
    // This worker hears what it is called for, and never answers.
    await app.cmd('start', { task_id: task, worker: 'worker', start_params: 'echo', instances: 2 });
    await waitFor(async () => (await app.cmd('send', { task_id: task, payload: 'here?' })).data?.channels === 2);
    const calls = [call(app, task), call(app, task)];
    const { workers, channels } = await app.untilStat(task, (stat) => stat.calls?.in_flight === 2);
    expect(workers.map((worker: { calls: number }) => worker.calls)).toEqual([1, 1]);
    expect(channels.map((channel: { worker_id: string }) => channel.worker_id).sort()).toEqual([
      `${task}~1`,
      `${task}~2`,
    ]);
    process.kill(workers[1].pid, 'SIGKILL');
    expect(await Promise.race(calls.map(({ ended }) => ended()))).toMatchObject({
      code: 'SN_ERR_WORKER_GONE',
      error: expect.stringMatching(/^call to pool-\d+~2: the worker is gone: .*SIGKILL/),
    });
    expect((await app.ask(`m/stat/${task}`)).data.calls).toEqual({ in_flight: 1, total: 2, failed: 1 });
    await app.cmd('remove', { task_id: task });
    const ends = await Promise.all(calls.map(({ ended }) => ended()));
    expect(ends.map(({ code }) => code)).toEqual(['SN_ERR_WORKER_GONE', 'SN_ERR_WORKER_GONE']);
  });

  test('two net clients share the calls of their task', async () => {
    const task = fresh('shared');
    const one = await Worker.connect(node.port, task, { clientId: `${task}-one` });
    const two = await Worker.connect(node.port, task, { clientId: `${task}-two` });
    const calls = [call(app, task), call(app, task), call(app, task), call(app, task)];
    await Promise.all([one.takes(1), two.takes(1)]);
    for (const worker of [one, two]) for (const { id } of worker.calls) await worker.says(id, '/end');
    const answered = await Promise.all(calls.map(({ ended }) => ended()));
    expect(answered.map(({ data }) => data.worker_id).sort()).toEqual([
      `${task}-one`,
      `${task}-one`,
      `${task}-two`,
      `${task}-two`,
    ]);
    // Neither can answer for the other.
    const last = call(app, task);
    const [mine, other] = await waitFor(() => {
      if (one.calls.length === 3) return [one, two] as const;
      return two.calls.length === 3 && ([two, one] as const);
    });
    const id = await mine.takes(2);
    await other.says(id, '/end', 'stolen');
    await mine.says(id, '/end', 'mine');
    expect((await last.ended()).data.payload).toBe('mine');
    for (const worker of [one, two]) worker.client.kill();
  });

  test('a call that nobody can take says so', async () => {
    const task = fresh('nobody');
    await app.cmd('start', { task_id: task });
    expect(await call(app, task).ended()).toMatchObject({ code: 'SN_ERR_NO_CHANNEL' });
    expect(await call(app, fresh('unknown')).ended()).toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
    const deaf = await RawClient.connect(node.port, { clientId: fresh('deaf') });
    await deaf.subscribe({ filter: `w/ch/${task}/cmd`, qos: 1 }, { filter: '#', qos: 1 });
    expect(await call(app, task).ended()).toMatchObject({ code: 'SN_ERR_NO_CHANNEL' });
    deaf.kill();
  });

  test('a worker waits for a caller that does not read, and goes on when it does', async () => {
    const worker = await Worker.connect(node.port, fresh('slow'));
    const caller = await connectApp(node.port);
    const { ended, replies } = call(caller, worker.task);
    const id = await worker.takes();
    caller.client.socket.pause();
    const part = 'x'.repeat(512 * 1_024);
    let acked = 0;
    const says = Array.from({ length: 40 }, () => worker.says(id, '', part).then(() => acked++));
    // 20 MiB, of which only what the sockets hold can be on its way at once.
    await waitFor(() => acked > 0);
    expect(acked).toBeLessThan(40);
    caller.client.socket.resume();
    await Promise.all(says);
    await worker.says(id, '/end');
    await ended();
    expect(replies().map(({ data }) => data.part)).toEqual(Array.from({ length: 41 }, (_, at) => at + 1));
    for (const { client } of [worker, caller]) client.kill();
  });

  test('a caller that never reads is closed, and its worker serves others', async () => {
    const worker = await Worker.connect(node.port, fresh('never'));
    const caller = await connectApp(node.port);
    call(caller, worker.task, { payload: 'go', timeout_ms: LIMITS.callTimeoutMsMax });
    const id = await worker.takes();
    caller.client.socket.pause();
    const part = 'x'.repeat(512 * 1_024);
    const flood = async () => {
      while (worker.cancels.length === 0) await worker.says(id, '', part);
    };
    await flood();
    const { ended } = call(app, worker.task);
    await worker.says(await worker.takes(1), '/end', 'still here');
    expect((await ended()).data.payload).toBe('still here');
    for (const { client } of [worker, caller]) client.kill();
  });
});

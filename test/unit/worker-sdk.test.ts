import { once } from 'node:events';
import type { AuthenticateError } from 'aedes';
import { afterEach, expect, test, vi } from 'vitest';
import { connectWorker, type Worker, type WorkerOptions } from '../../src/worker/index.js';
import { Outbox } from '../../src/worker/outbox.js';
import { startWorkerBroker, type TestBroker } from '../fixtures/worker-broker.js';

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const each of open.splice(0).reverse()) await each.close();
});

async function startBroker(port = 0): Promise<TestBroker> {
  const broker = await startWorkerBroker(port);
  open.push(broker);
  return broker;
}

async function startWorker({ url }: TestBroker, options: WorkerOptions = {}): Promise<Worker> {
  const worker = await connectWorker({ url, taskId: 'cam1', ...options });
  open.push(worker);
  return worker;
}

test('connects with what the environment of a child says, and publishes nothing by itself', async () => {
  const node = await startBroker();
  const seen = vi.fn();
  node.broker.preConnect = (_client, packet, callback) => {
    seen({
      ...packet,
      password: packet.password?.toString(),
      will: { ...packet.will, payload: `${packet.will?.payload}` },
    });
    callback(null, true);
  };
  const env = {
    SN_URL: node.url,
    SN_TASK_ID: 'cam1',
    SN_TOKEN: 'snw_x',
    SN_GENERATION: '7',
    SN_KEEPALIVE: '9',
    SN_TOPIC_PREFIX: 'site7/',
    SN_START_PARAMS: 'rtsp://cam',
    SN_INSTANCE: '2',
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const worker = await connectWorker();
  open.push(worker);
  vi.unstubAllEnvs();
  expect(worker).toMatchObject({ taskId: 'cam1', startParams: 'rtsp://cam', instance: 2 });
  expect(seen).toHaveBeenCalledWith(
    expect.objectContaining({
      protocolVersion: 4,
      clean: true,
      clientId: expect.stringMatching(/^cam1-7-[0-9a-f]{8}$/),
      keepalive: 9,
      username: 'cam1',
      password: 'snw_x',
      will: expect.objectContaining({ topic: 'site7/w/ch/cam1/state', payload: 'lost' }),
    }),
  );
  expect(node.puts).toEqual([]);
});

test('a put resolves on its PUBACK and not before', async () => {
  const node = await startBroker();
  node.broker.authorizePublish = (_client, _packet, callback) => {
    acknowledge = () => callback(null);
  };
  let acknowledge: (() => void) | undefined;
  const worker = await startWorker(node);
  const done = vi.fn();
  const put = worker.put('x').then(done);
  await vi.waitFor(() => expect(acknowledge).toBeDefined());
  expect(done).not.toHaveBeenCalled();
  acknowledge?.();
  await put;
  expect(done).toHaveBeenCalled();
});

test('text, bytes and objects go to the topic of the task; a report to its state', async () => {
  const node = await startBroker();
  const worker = await startWorker(node);
  await worker.ready();
  await worker.put('text');
  await worker.put(Buffer.from('bytes'));
  await worker.put({ a: [1] });
  await worker.put('once', { qos: 0 });
  await vi.waitFor(() => expect(node.puts).toHaveLength(5));
  expect(node.puts.map(({ topic, payload }) => [topic, payload])).toEqual([
    ['w/ch/cam1/state', 'ready'],
    ['w/ch/cam1', 'text'],
    ['w/ch/cam1', 'bytes'],
    ['w/ch/cam1', '{"a":[1]}'],
    ['w/ch/cam1', 'once'],
  ]);
});

test('what was not acknowledged is sent again with DUP after a reconnect, before what was put meanwhile', async () => {
  const node = await startBroker();
  const worker = await startWorker(node);
  node.acknowledge = false;
  const first = worker.put('first');
  await vi.waitFor(() => expect(node.puts).toHaveLength(1));
  node.acknowledge = true;
  node.cut();
  await vi.waitFor(() => expect(node.broker.connectedClients).toBe(0));
  const second = worker.put('second');
  await Promise.all([first, second]);
  expect(node.puts.map(({ payload, dup }) => [payload, dup])).toEqual([
    ['first', false],
    ['first', true],
    ['second', false],
  ]);
});

test('nothing put is lost when the connection goes again and again', async () => {
  const node = await startBroker();
  const worker = await startWorker(node);
  const all = Array.from({ length: 300 }, (_, n) => worker.put(`${n}`));
  for (let cuts = 0; cuts < 4; cuts++) {
    await vi.waitFor(() => expect(node.broker.connectedClients).toBe(1));
    node.cut();
    all.push(worker.put(`after ${cuts}`));
  }
  await Promise.all(all);
  const arrived = new Set(node.puts.map(({ payload }) => payload));
  expect(arrived.size).toBe(304);
});

test('a command reaches onCommand as bytes; what it throws is told and the next one still comes', async () => {
  const node = await startBroker();
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const commands: string[] = [];
  await startWorker(node, {
    onCommand: async (payload) => {
      commands.push(payload.toString());
      throw new Error(`cannot ${payload}`);
    },
  });
  node.say('w/ch/cam1/cmd', 'one');
  node.say('w/ch/cam1/cmd', 'two');
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(2));
  expect(commands).toEqual(['one', 'two']);
  expect(told.mock.calls[0]?.[0]).toMatch(/^super-node worker cam1: onCommand failed: Error: cannot one/);
});

test('commands come again after a reconnect', async () => {
  const node = await startBroker();
  const onCommand = vi.fn();
  await startWorker(node, { onCommand });
  const resubscribed = once(node.broker, 'subscribe');
  node.cut();
  await resubscribed;
  node.say('w/ch/cam1/cmd', 'x');
  await vi.waitFor(() => expect(onCommand).toHaveBeenCalledTimes(1));
});

test('a call is answered on the connection it came on, under the prefix of the node', async () => {
  const node = await startBroker();
  await startWorker(node, {
    prefix: 'site7/',
    onCall: async function* (payload, { id }) {
      yield `${id}: `;
      yield payload;
    },
  });
  node.say('site7/w/ch/cam1/cmd/7f', 'hello');
  await vi.waitFor(() => expect(node.puts).toHaveLength(3));
  expect(node.puts.map(({ topic, payload }) => [topic, payload])).toEqual([
    ['site7/w/ch/cam1/reply/7f', '7f: '],
    ['site7/w/ch/cam1/reply/7f', 'hello'],
    ['site7/w/ch/cam1/reply/7f/end', ''],
  ]);
});

test('a node that acknowledges slowly slows the generator down', async () => {
  const node = await startBroker();
  const acknowledge: (() => void)[] = [];
  node.broker.authorizePublish = (_client, _packet, callback) => void acknowledge.push(() => callback(null));
  let drawn = 0;
  await startWorker(node, {
    onCall: async function* () {
      for (;;) yield `${++drawn}`;
    },
  });
  node.say('w/ch/cam1/cmd/1');
  await vi.waitFor(() => expect(acknowledge).toHaveLength(8));
  for (let round = 1; round <= 3; round++) {
    for (const each of acknowledge.splice(0)) each();
    await vi.waitFor(() => expect(acknowledge).toHaveLength(8));
    expect(drawn).toBe(8 + 8 * round);
  }
});

test('a cancel from the node ends the stream', async () => {
  const node = await startBroker();
  const ended = vi.fn();
  await startWorker(node, {
    onCall: async function* () {
      try {
        for (;;) yield 'x';
      } finally {
        ended();
      }
    },
  });
  node.say('w/ch/cam1/cmd/1');
  await vi.waitFor(() => expect(node.puts.length).toBeGreaterThan(8));
  node.say('w/ch/cam1/cmd/1/cancel');
  await vi.waitFor(() => expect(ended).toHaveBeenCalled());
});

test('a lost connection ends its calls: nothing of their answers comes on the next one', async () => {
  const node = await startBroker();
  const reasons: unknown[] = [];
  const worker = await startWorker(node, {
    onCall: async function* (_payload, { id, signal }) {
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      for (let n = 1; ; n++) yield `${id}-${n}`;
    },
  });
  node.acknowledge = false;
  node.say('w/ch/cam1/cmd/old');
  await vi.waitFor(() => expect(node.puts).toHaveLength(8));
  const put = worker.put('kept');
  node.puts.length = 0;
  node.acknowledge = true;
  const resubscribed = once(node.broker, 'subscribe');
  node.cut();
  await Promise.all([put, resubscribed]);
  expect(reasons).toEqual([
    expect.objectContaining({ name: 'AbortError', message: 'call old: the connection is lost' }),
  ]);
  node.say('w/ch/cam1/cmd/new');
  await vi.waitFor(() => expect(node.puts.length).toBeGreaterThan(3));
  expect(node.puts.slice(0, 3)).toEqual([
    { topic: 'w/ch/cam1', payload: 'kept', dup: true },
    { topic: 'w/ch/cam1/reply/new', payload: 'new-1', dup: false },
    { topic: 'w/ch/cam1/reply/new', payload: 'new-2', dup: false },
  ]);
});

test('close ends the calls, lets their handlers put their last words, and says goodbye', async () => {
  const node = await startBroker();
  const worker = await startWorker(node, {
    onCall: async (_payload, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await worker.put('cleaned up');
      return 'an answer too late';
    },
  });
  const called = once(node.broker, 'ack');
  node.say('w/ch/cam1/cmd/1');
  await called;
  await worker.close();
  await vi.waitFor(() => expect(node.broker.connectedClients).toBe(0));
  expect(node.puts.map(({ payload }) => payload)).toEqual(['cleaned up']);
});

test('a worker that only answers calls says once that a command is ignored', async () => {
  const node = await startBroker();
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  await startWorker(node, { onCall: () => 'x' });
  node.say('w/ch/cam1/cmd', 'a');
  node.say('w/ch/cam1/cmd', 'b');
  node.say('w/ch/cam1/cmd/1');
  await vi.waitFor(() => expect(node.puts).toHaveLength(1));
  expect(told.mock.calls.map(([text]) => text)).toEqual([
    'super-node worker cam1: expected calls only, got a command; it and further ones are ignored\n',
  ]);
});

test('without onCommand and onCall nothing is subscribed: the node then knows that nobody takes commands', async () => {
  const node = await startBroker();
  const subscribed = vi.fn();
  node.broker.on('subscribe', subscribed);
  await (await startWorker(node)).put('x');
  expect(subscribed).not.toHaveBeenCalled();
});

function refuse(node: TestBroker, returnCode: 4 | 5): void {
  const error: AuthenticateError = Object.assign(new Error('stale'), { returnCode });
  node.broker.authenticate = (_client, _user, _password, done) => done(error, null);
}

test.each([4, 5] as const)('CONNACK %i ends a child of the node with exit code 4', async (returnCode) => {
  const node = await startBroker();
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
  refuse(node, returnCode);
  await expect(startWorker(node, { token: 'snw_old' })).rejects.toThrow(`got CONNACK ${returnCode}`);
  expect(exit).toHaveBeenCalledExactlyOnceWith(4);
  expect(told.mock.calls.join('')).toContain('another start took over');
});

test('CONNACK 4 at a reconnect rejects what waits, calls onStale once, and no try follows', async () => {
  const node = await startBroker();
  const onStale = vi.fn();
  const worker = await startWorker(node, { token: 'snw_old', onStale });
  node.acknowledge = false;
  const put = worker.put('x');
  put.catch(() => undefined);
  refuse(node, 4);
  node.cut();
  await expect(put).rejects.toMatchObject({ code: 'SN_ERR_FORBIDDEN' });
  await expect(worker.put('y')).rejects.toMatchObject({ code: 'SN_ERR_FORBIDDEN' });
  const tried = vi.fn();
  node.broker.on('client', tried);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(onStale).toHaveBeenCalledTimes(1);
  expect(tried).not.toHaveBeenCalled();
});

test('a net client that is refused gets an error, and its process goes on', async () => {
  const node = await startBroker();
  const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
  refuse(node, 5);
  await expect(startWorker(node)).rejects.toMatchObject({ code: 'SN_ERR_FORBIDDEN' });
  expect(exit).not.toHaveBeenCalled();
});

test('waits for a node that is not there yet, and says so once', async () => {
  const node = await startBroker();
  await node.close();
  open.length = 0;
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const starting = startWorker(node);
  await vi.waitFor(() => expect(told).toHaveBeenCalled());
  await startBroker(node.port);
  await starting;
  expect(told.mock.calls.map(([text]) => text)).toEqual([
    expect.stringMatching(/^super-node worker cam1: no connection to mqtt:.*ECONNREFUSED.*, trying on\n$/),
  ]);
});

test('close waits for PUBACKs, says goodbye, and fires no last will', async () => {
  const node = await startBroker();
  const worker = await startWorker(node);
  const wills = vi.fn();
  node.broker.on('publish', ({ topic }) => void (topic === 'w/ch/cam1/state' && wills()));
  const put = worker.put('last');
  await worker.close();
  await put;
  await vi.waitFor(() => expect(node.broker.connectedClients).toBe(0));
  expect(wills).not.toHaveBeenCalled();
  await expect(worker.put('late')).rejects.toMatchObject({ code: 'SN_ERR_NO_CHANNEL' });
});

test('close says goodbye although a PUBACK never comes; that put is rejected', async () => {
  const node = await startBroker();
  const worker = await startWorker(node);
  const left = vi.fn();
  node.broker.on('publish', ({ topic, payload }) => void (topic.endsWith('/state') && left(payload.toString())));
  node.acknowledge = false;
  const put = worker.put('x');
  put.catch(() => undefined);
  await worker.close();
  await expect(put).rejects.toMatchObject({ code: 'SN_ERR_NO_CHANNEL' });
  await vi.waitFor(() => expect(node.broker.connectedClients).toBe(0));
  expect(left).not.toHaveBeenCalled();
});

test('the outbox is bounded by count and by bytes; the newest is refused', async () => {
  const publish = vi.fn();
  const outbox = new Outbox(publish, 2, 10);
  const message = (text: string) => ({ topic: 't', payload: Buffer.from(text), qos: 1 as const });
  const held = [outbox.add(message('12345')), outbox.add(message('1234'))];
  await expect(outbox.add(message(''))).rejects.toMatchObject({ code: 'SN_ERR_LIMIT' });
  expect(publish).not.toHaveBeenCalled();
  outbox.online();
  for (const [, done] of publish.mock.calls) done();
  await Promise.all(held);
  const third = outbox.add(message('1234567890'));
  await expect(outbox.add(message('1'))).rejects.toMatchObject({ code: 'SN_ERR_LIMIT' });
  publish.mock.calls[2]?.[1]();
  await third;
});

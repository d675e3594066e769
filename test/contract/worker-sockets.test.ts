import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RawData, WebSocket } from 'ws';
import { environmentOf } from '../../src/adapters/proc.js';
import { NODE_KINDS, type ReplyBody } from '../fixtures/nodes.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';

type Message = Record<string, unknown>;

/** Workers on a WebSocket: what the channel of an MQTT client is, for those who speak none. */

/** One that remembers what came, and answers nothing by itself. */
class Worker {
  readonly socket: WebSocket;
  readonly messages: { text: string; isBinary: boolean }[] = [];
  #closed: number | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: RawData, isBinary) => this.messages.push({ text: data.toString(), isBinary }));
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      this.#closed = code;
    });
  }

  /** The code that closed it. */
  closed(): Promise<number> {
    return waitFor(() => this.#closed);
  }

  send(message: Message | string | Buffer): void {
    const isPlain = typeof message === 'string' || Buffer.isBuffer(message);
    this.socket.send(isPlain ? message : JSON.stringify(message));
  }

  /** What came as JSON and has this field. */
  having(field: string): Message[] {
    return this.messages.flatMap(({ text }) => {
      if (!text.startsWith('{')) return [];
      const message = JSON.parse(text);
      return field in message ? [message] : [];
    });
  }

  /** The call of this number, from 0. */
  async call(at = 0): Promise<{ id: string; payload: unknown }> {
    const { call, payload, payload_base64 } = await waitFor(() => this.having('call')[at]);
    return { id: String(call), payload: payload ?? { base64: payload_base64 } };
  }

  get taken(): number {
    return Number(this.having('taken').at(-1)?.taken ?? 0);
  }
}

describe.each(NODE_KINDS)('workers on WebSockets of a node as %s', (kind) => {
  let world: ShellWorld;
  let tasks = 0;

  beforeAll(async () => {
    world = await ShellWorld.open(
      kind,
      {},
      {
        tasks: [
          { task_id: 'narrow', queue: { length: 2, overflow: 'block' } },
          { task_id: 'quick', heartbeat_interval: 1_000 },
        ],
      },
    );
  });
  afterAll(() => world.close());

  const fresh = () => `socket-${++tasks}`;
  const stat = async (task: string): Promise<ReplyBody['data']> => (await world.app.ask(`m/stat/${task}`)).data;
  const texts = async (task: string): Promise<string[]> =>
    (await world.app.ask(`m/fetch/${task}`, { max: 100 })).data.entries.map(({ payload }: Message) => payload);
  const states = (task: string): string[] => {
    const all = world.witness.states(task).map(({ state }) => state);
    return all.filter((state, at) => state !== all[at - 1]);
  };

  /** @param login The user and token it shows */
  function open(path: string, login?: string, autoPong = true): WebSocket {
    const headers = login === undefined ? {} : { authorization: `Basic ${Buffer.from(login).toString('base64')}` };
    return new WebSocket(`${world.node.httpUrl.replace('http', 'ws')}/w/ch/${path}`, { headers, autoPong });
  }

  async function connect(path: string, login?: string, autoPong = true): Promise<Worker> {
    const worker = new Worker(open(path, login, autoPong));
    await new Promise((resolve, reject) => {
      worker.socket.once('open', resolve);
      worker.socket.once('error', reject);
    });
    return worker;
  }

  const refusal = (path: string, login: string) =>
    new Promise<number>((resolve) => {
      const socket = open(path, login);
      socket.on('error', () => undefined);
      socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
      socket.once('open', () => resolve(101));
    });

  const tokenOf = async (task: string): Promise<string> => {
    const { pid } = await world.app.untilStat(task, (found) => found.pid !== undefined);
    const token = await waitFor(() => {
      const found = environmentOf(pid, 'SN_TOKEN');
      return typeof found === 'object' && found;
    });
    return token.value;
  };

  /** Calls a task over HTTP; the envelope of its last part. */
  async function call(task: string, fields: Message): Promise<ReplyBody> {
    const response = await fetch(`${world.node.httpUrl}/m/cmd`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ cmd: 'call', task_id: task, ...fields }),
    });
    return JSON.parse(await response.text());
  }

  test('one that opens is a channel: its task is ready', async () => {
    const task = fresh();
    const worker = await connect(task);
    expect(await world.app.untilState(task, 'ready')).toMatchObject({ kind: 'net', channels: [{}] });
    worker.socket.close();
  });

  test('a goodbye is sleeping, a broken connection lost, and back is ready', async () => {
    const task = fresh();
    const first = await connect(task);
    await world.app.untilState(task, 'ready');
    first.socket.close(1000);
    expect((await world.app.untilState(task, 'sleeping')).channels).toEqual([]);
    const second = await connect(task);
    await world.app.untilState(task, 'ready');
    second.socket.terminate();
    await world.app.untilState(task, 'lost');
    const third = await connect(task);
    await world.app.untilState(task, 'ready');
    expect(states(task)).toEqual(['pending', 'ready', 'sleeping', 'ready', 'lost', 'ready']);
    third.socket.close();
  });

  test('one that breaks the protocol is lost, not asleep', async () => {
    const task = fresh();
    const worker = await connect(task);
    await world.app.untilState(task, 'ready');
    worker.socket.close(4_000);
    await world.app.untilState(task, 'lost');
  });

  test('text and binary messages are entries as they are, empty ones too', async () => {
    const task = fresh();
    const worker = await connect(`${task}?acks=true`);
    for (const message of ['text', '{"reply":"nobody asked"}', '', Buffer.from('bytes')]) worker.send(message);
    await waitFor(() => worker.taken === 4);
    expect(await texts(task)).toEqual(['text', '{"reply":"nobody asked"}', '', 'bytes']);
    worker.socket.close();
  });

  test('who asks for no acknowledgements gets none', async () => {
    const task = fresh();
    const worker = await connect(task);
    worker.send('one');
    await waitFor(async () => (await stat(task))?.queue.length === 1);
    expect(worker.messages).toEqual([]);
    worker.socket.close();
  });

  test('a full queue that blocks holds what came, and acknowledges once there is room', async () => {
    const worker = await connect('narrow?acks=true');
    for (const word of ['a', 'b', 'c', 'd']) worker.send(word);
    await waitFor(() => worker.taken === 2);
    expect((await stat('narrow')).queue.length).toBe(2);
    expect(worker.taken).toBe(2);
    const seen: string[] = [];
    while (seen.length < 4) seen.push(...(await texts('narrow')));
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
    await waitFor(() => worker.taken === 4);
    worker.socket.close();
  });

  test('what is held is forgotten when its worker goes, so that it can send it again', async () => {
    const first = await connect('narrow?acks=true');
    for (const word of ['a', 'b', 'c']) first.send(word);
    await waitFor(() => first.taken === 2);
    first.socket.terminate();
    await world.app.untilState('narrow', 'lost');
    expect(await texts('narrow')).toEqual(['a', 'b']);
    expect(await texts('narrow')).toEqual([]);
    const second = await connect('narrow?acks=true');
    second.send('c');
    await waitFor(() => second.taken === 1);
    expect(await texts('narrow')).toEqual(['c']);
    second.socket.close();
  });

  test('raw bytes reach all of a task, as text where they are text', async () => {
    const task = fresh();
    const workers = await Promise.all([connect(task), connect(task), connect(task)]);
    await world.app.untilStat(task, ({ channels }) => channels.length === 3);
    for (const bytes of [Buffer.from('grüße'), Buffer.of(0xff, 0x00)]) {
      const response = await fetch(`${world.node.httpUrl}/m/cmd/${task}`, { method: 'POST', body: bytes });
      expect(await response.json()).toEqual({ status: 'ok', data: { channels: 3 } });
    }
    for (const worker of workers) {
      await waitFor(() => worker.messages.length === 2);
      expect(worker.messages.map(({ isBinary }) => isBinary)).toEqual([false, true]);
      expect(worker.messages[0]?.text).toBe('grüße');
    }
    for (const { socket } of workers) socket.close();
    await world.app.untilState(task, 'sleeping');
  });

  test('of several, a goodbye of one changes nothing but their number', async () => {
    const task = fresh();
    const [first, second] = await Promise.all([connect(task), connect(task)]);
    await world.app.untilStat(task, ({ channels }) => channels.length === 2);
    first.socket.terminate();
    expect((await world.app.untilStat(task, ({ channels }) => channels.length === 1)).state).toBe('ready');
    second.socket.close();
    await world.app.untilState(task, 'sleeping');
  });

  test('a call is a message, and its answer another', async () => {
    const task = fresh();
    const worker = await connect(task);
    const answer = call(task, { payload: { question: '2+2' } });
    const { id, payload } = await worker.call();
    expect(payload).toBe('{"question":"2+2"}');
    worker.send({ reply: id, payload: '4', last: true });
    expect(await answer).toMatchObject({ status: 'ok', data: { payload: '4', last: true } });
    // An answer is no entry.
    expect((await stat(task)).queue.length).toBe(0);
    worker.socket.close();
  });

  test('parts of an answer come together over REST, with the last one', async () => {
    const task = fresh();
    const worker = await connect(task);
    const answer = call(task, { payload: 'count' });
    const { id } = await worker.call();
    for (const payload of ['1', '2']) worker.send({ reply: id, payload });
    worker.send({ reply: id, payload: '3', last: true });
    const { data } = await answer;
    expect(data).toMatchObject({ payload: '3', parts: [{ payload: '1' }, { payload: '2' }] });
    worker.socket.close();
  });

  test('an error fails the call, a late answer is nobody’s, and neither is an entry', async () => {
    const task = fresh();
    const worker = await connect(`${task}?acks=true`);
    const answer = call(task, { payload: 'divide by zero' });
    const { id } = await worker.call();
    worker.send({ reply: id, error: 'cannot' });
    expect(await answer).toMatchObject({ code: 'SN_ERR_CALL_FAILED', error: expect.stringMatching(/cannot/) });
    worker.send({ reply: id, payload: 'late', last: true });
    worker.send('an entry');
    await waitFor(() => worker.taken === 1);
    expect(await texts(task)).toEqual(['an entry']);
    worker.socket.close();
  });

  test('a caller that goes cancels its call', async () => {
    const task = fresh();
    const worker = await connect(task);
    const abort = new AbortController();
    const asked = fetch(`${world.node.httpUrl}/m/cmd`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ cmd: 'call', task_id: task, payload: 'slow' }),
      signal: abort.signal,
    }).catch(() => 'aborted');
    const { id } = await worker.call();
    abort.abort();
    expect(await asked).toBe('aborted');
    expect(await waitFor(() => worker.having('cancel')[0])).toEqual({ cancel: id });
    worker.socket.close();
  });

  test('a worker that goes fails its calls', async () => {
    const task = fresh();
    const worker = await connect(task);
    const answer = call(task, { payload: 'go' });
    await worker.call();
    worker.socket.terminate();
    expect(await answer).toMatchObject({ code: 'SN_ERR_WORKER_GONE' });
  });

  test('a call goes to one of several', async () => {
    const task = fresh();
    const workers = await Promise.all([connect(task), connect(task)]);
    await world.app.untilStat(task, ({ channels }) => channels.length === 2);
    const answers = [call(task, { payload: 'a' }), call(task, { payload: 'b' })];
    for (const worker of workers) {
      const { id, payload } = await worker.call();
      worker.send({ reply: id, payload, last: true });
    }
    expect((await Promise.all(answers)).map(({ data }) => data.payload)).toEqual(['a', 'b']);
    for (const { socket } of workers) socket.close();
  });

  test('one that answers no ping is lost after 1.5 of its heartbeats, one that does is not', async () => {
    const silent = await connect('quick', undefined, false);
    await world.app.untilState('quick', 'ready');
    expect(await silent.closed()).toBe(1006);
    await world.app.untilState('quick', 'lost');
    const alive = await connect('quick');
    await world.app.untilState('quick', 'ready');
    const pings = await new Promise((resolve) => {
      let count = 0;
      // A third of the longest silence each: more than it may be silent for.
      alive.socket.on('ping', () => ++count === 5 && resolve(count));
    });
    expect(pings).toBe(5);
    expect((await stat('quick')).state).toBe('ready');
    alive.socket.close();
  });

  test('a task that is removed closes them', async () => {
    const task = fresh();
    const worker = await connect(task);
    await world.app.untilState(task, 'ready');
    expect((await world.cmd('remove', task)).status).toBe('ok');
    expect(await worker.closed()).toBe(1001);
  });

  describe('of a task with a process', () => {
    test('one with its token is its channel, a stranger puts and is none', async () => {
      const task = await world.run('exec sleep 1000', { ready: 'connect' });
      const stranger = await connect(`${task}?acks=true`);
      stranger.send('from outside');
      await waitFor(() => stranger.taken === 1);
      expect((await stat(task)).channels).toEqual([]);
      const worker = await connect(task, `${task}:${await tokenOf(task)}`);
      expect((await world.app.untilState(task, 'ready')).channels).toHaveLength(1);
      const response = await fetch(`${world.node.httpUrl}/m/cmd/${task}`, { method: 'POST', body: 'x' });
      expect(await response.json()).toMatchObject({ data: { channels: 1 } });
      await waitFor(() => worker.messages.length === 1);
      expect(stranger.having('call')).toEqual([]);
      stranger.socket.close();
      await world.cmd('remove', task);
    });

    test('a token opens no channel of another task, and none of an old generation', async () => {
      const task = await world.run('exec sleep 1000');
      const token = await tokenOf(task);
      const worker = await connect(task, `${task}:${token}`);
      expect(await refusal('another', `${task}:${token}`)).toBe(403);
      expect(await refusal('another', `another:${token}`)).toBe(401);
      expect(await refusal(task, `${task}:snw_nobody`)).toBe(401);
      expect((await world.cmd('restart', task)).status).toBe('ok');
      expect(await worker.closed()).toBe(1001);
      expect(await refusal(task, `${task}:${token}`)).toBe(401);
      expect(await refusal(task, `${task}:${await tokenOf(task)}`)).toBe(101);
      await world.cmd('remove', task);
    });
  });
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { environmentOf } from '../../src/adapters/proc.js';
import { LIMITS } from '../../src/core/limits.js';
import { type App, connectApp, NODE_KINDS, type ReplyBody, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { frame, head, post, RawHttp, upgrade } from '../fixtures/raw-http.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';

/** How requests over HTTP end when they do not end well: what is nobody's comes back, and who asks hears how far it got. */

const LINES = 'Content-Type: application/x-ndjson';
const MIB = 1_048_576;

describe.each(NODE_KINDS)('requests over HTTP to a node as %s', (kind) => {
  let node: TestNode;
  let app: App;
  let tasks = 0;

  beforeAll(async () => {
    node = await startTestNode(kind, { queue: { length: 1_000, bytes: 64 * MIB } });
    app = await connectApp(node.port);
  });
  afterAll(() => node.close());

  const fresh = () => `ending-${++tasks}`;
  const connect = () => RawHttp.connect(node.httpUrl);
  const put = (task: string, body: string | Buffer) => app.client.publish(`w/ch/${task}`, body, { qos: 1 });
  const stat = async (task: string): Promise<ReplyBody['data']> => (await app.ask(`m/stat/${task}`)).data;
  const entries = async (task: string, fields: Record<string, unknown> = {}): Promise<ReplyBody['data'][]> =>
    (await app.ask(`m/fetch/${task}`, { max: 100, ...fields })).data.entries;
  const texts = async (task: string): Promise<string[]> => (await entries(task)).map(({ payload }) => payload);
  /** A task that is there and has nothing. */
  const empty = async () => {
    const task = fresh();
    await put(task, 'x');
    await entries(task);
    return task;
  };
  const isTaken = (task: string) => waitFor(async () => (await stat(task)).queue.ready === 0);
  const isBack = (task: string, count: number) => waitFor(async () => (await stat(task)).queue.ready === count);
  const lines = async (task: string, body: string | Buffer, ...headers: string[]) => {
    const web = await connect();
    web.write(post(`/w/ch/${task}`, body, LINES, ...headers));
    const answer = await web.answer();
    web.kill();
    return { ...answer, reply: JSON.parse(answer.body) };
  };

  describe('what was fetched and not read', () => {
    /** More than the buffers of a connection hold, so that it cannot all have been written. */
    const BIG = Array.from({ length: 14 }, (_, at) => Buffer.alloc(MIB - 100, `${at % 10}`));
    const FETCH = '?max=100&max_bytes=16777216';

    test.each([
      ['as JSON', head('GET', `/m/fetch/TASK${FETCH}`)],
      ['as lines', head('GET', `/m/fetch/TASK${FETCH}`, 'Accept: application/x-ndjson')],
      ['on a connection that ends with it', head('GET', `/m/fetch/TASK${FETCH}`, 'Connection: close')],
      ['in HTTP/1.0', head('GET', `/m/fetch/TASK${FETCH}`).replace('HTTP/1.1', 'HTTP/1.0')],
    ])('%s comes back when the connection breaks off, and goes to the next', async (_name, request) => {
      const task = fresh();
      for (const one of BIG) await put(task, one);
      const reader = await connect();
      reader.socket.pause();
      reader.write(request.replace('TASK', task));
      await isTaken(task);
      reader.kill();
      await isBack(task, BIG.length);
      expect(await entries(task, { max: 1 })).toMatchObject([{ seq: 1, attempts: 2 }]);
    });

    test('comes back when its reader is half way through', async () => {
      const task = fresh();
      for (const one of BIG) await put(task, one);
      const reader = await connect();
      reader.socket.pause();
      reader.write(head('GET', `/m/fetch/${task}${FETCH}`));
      await isTaken(task);
      reader.socket.read(1_000);
      reader.kill();
      await isBack(task, BIG.length);
    });

    test('by a WebSocket comes back likewise', async () => {
      const task = fresh();
      for (const one of BIG) await put(task, one);
      const reader = await connect();
      reader.write(upgrade(`/m/fetch/${task}`));
      expect((await reader.answer()).status).toBe(101);
      reader.socket.pause();
      reader.write(frame(1, '{"max":100,"max_bytes":16777216}'));
      await isTaken(task);
      reader.kill();
      await isBack(task, BIG.length);
    });

    test('behind another request of its connection comes back as well', async () => {
      const [polled, task] = [await empty(), fresh()];
      await put(task, 'waits');
      const reader = await connect();
      reader.write(head('GET', `/m/fetch/${polled}?wait_ms=600000`) + head('GET', `/m/fetch/${task}`));
      await isTaken(task);
      reader.kill();
      await isBack(task, 1);
    });

    test('is settled once it is written, whoever goes then', async () => {
      const task = fresh();
      await put(task, 'read');
      const reader = await connect();
      reader.write(head('GET', `/m/fetch/${task}`));
      expect((await reader.answer()).status).toBe(200);
      reader.kill();
      await waitFor(async () => (await stat(task)).queue.length === 0);
    });
  });

  test('a fetch whose client went while its body was unpacked takes nothing', async () => {
    const task = await empty();
    for (let count = 0; count < 10; count++) await put(task, 'kept');
    const body = gzipSync(JSON.stringify({ transaction: 'x'.repeat(500_000) }));
    for (let count = 0; count < 10; count++) {
      const web = await connect();
      web.write(post(`/m/fetch/${task}`, body, 'Content-Type: application/json', 'Content-Encoding: gzip'));
      web.socket.resetAndDestroy();
      await web.closed();
    }
    await waitFor(async () => (await stat(task)).queue.ready === undefined || (await stat(task)).queue.ready === 10);
    expect(await texts(task)).toHaveLength(10);
  });

  test('polls whose connection broke off take nothing, those behind others neither', async () => {
    const task = await empty();
    const reader = await connect();
    reader.write(head('GET', `/m/fetch/${task}?wait_ms=600000`).repeat(3));
    // Its last request is answered at once, so that all before it wait by now.
    const other = await connect();
    other.write(head('GET', '/health'));
    await other.answer();
    reader.kill();
    other.write(head('GET', '/health'));
    await other.answer();
    other.kill();
    await put(task, 'for the living');
    await waitFor(async () => (await texts(task))[0] === 'for the living');
  });

  test('one raw entry is a body with what belongs to it in headers, and none is 204', async () => {
    const task = await empty();
    const web = await connect();
    const fetchRaw = head('GET', `/m/fetch/${task}`, 'Accept: application/octet-stream');
    web.write(fetchRaw);
    expect((await web.answer()).status).toBe(204);
    await put(task, Buffer.of(0, 255));
    web.write(fetchRaw);
    const { status, headers } = await web.answer();
    expect([status, headers['content-length'], headers['sn-seq'], headers['sn-task']]).toEqual([200, '2', '2', task]);
    web.kill();
  });

  describe('a put by lines', () => {
    test('that breaks off leaves the lines that were whole', async () => {
      const task = fresh();
      const web = await connect();
      web.write(`${head('POST', `/w/ch/${task}`, LINES, 'Content-Length: 100')}one\ntwo\nthr`);
      await waitFor(async () => (await stat(task))?.queue.length === 2);
      web.kill();
      await app.client.ping();
      expect(await texts(task)).toEqual(['one', 'two']);
    });

    test('with a line over the cap hears how many were taken before it', async () => {
      const task = fresh();
      const { status, reply } = await lines(task, `one\ntwo\n${'x'.repeat(MIB + 1)}\nthree\n`);
      expect([status, reply]).toMatchObject([413, { code: 'SN_ERR_TOO_LARGE', data: { entries: 2 } }]);
      expect(await texts(task)).toEqual(['one', 'two']);
    });

    test('of too many lines ends at the bound, however small they are', async () => {
      const task = fresh();
      const body = gzipSync('x\n'.repeat(LIMITS.httpLinesMax + 1));
      const { status, reply } = await lines(task, body, 'Content-Encoding: gzip');
      expect(status).toBe(413);
      expect(reply).toMatchObject({ code: 'SN_ERR_TOO_LARGE', data: { entries: LIMITS.httpLinesMax } });
    });

    test('of gzip that breaks off likewise', async () => {
      const task = fresh();
      const { status, reply } = await lines(task, gzipSync('one\ntwo\n').subarray(0, -4), 'Content-Encoding: gzip');
      expect([status, reply]).toMatchObject([400, { code: 'SN_ERR_HTTP', data: { entries: 2 } }]);
      expect(await texts(task)).toEqual(['one', 'two']);
    });

    test('takes lines that end in CRLF, leaves out the empty ones, and needs no end after the last', async () => {
      const task = fresh();
      const { status, reply } = await lines(task, '\n\none\r\n\r\n\ntwo\n\n\nthree');
      expect([status, reply]).toEqual([200, { status: 'ok', data: { entries: 3 } }]);
      expect(await texts(task)).toEqual(['one', 'two', 'three']);
    });

    test('of many small pieces is put together', async () => {
      const task = fresh();
      const web = await connect();
      const long = 'ab'.repeat(5_000);
      const body = [...`${long}\nshort\n`].map((character) => `1\r\n${character}\r\n`).join('');
      web.write(`${head('POST', `/w/ch/${task}`, LINES, 'Transfer-Encoding: chunked')}${body}0\r\n\r\n`);
      expect(JSON.parse((await web.answer()).body)).toMatchObject({ data: { entries: 2 } });
      expect(await texts(task)).toEqual([long, 'short']);
      web.kill();
    });
  });

  test('half a body puts nothing, and its budget comes back', async () => {
    const task = await empty();
    // Together more than all bodies on their way in may be, one after the other.
    for (let round = 0; round < 3; round++) {
      const half = await Promise.all(Array.from({ length: 40 }, connect));
      for (const one of half) {
        one.write(head('POST', `/w/ch/${task}`, `Content-Length: ${MIB}`));
        one.write(Buffer.alloc(MIB - 1));
      }
      await Promise.all(half.map((one) => waitFor(() => one.socket.writableLength === 0)));
      for (const one of half) one.kill();
    }
    await waitFor(async () => {
      const web = await connect();
      web.write(post(`/w/ch/${task}`, Buffer.alloc(MIB)));
      const { status } = await web.answer();
      web.kill();
      return status === 200;
    });
    expect((await stat(task)).queue.length).toBe(1);
  });
});

describe('a queue that blocks', () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode('daemon', { tasks: [{ task_id: 'narrow', queue: { length: 2, overflow: 'block' } }] });
  });
  afterAll(() => node.close());

  test('lets nobody wait over HTTP: 429 says when to come again, and what was taken before', async () => {
    const web = await RawHttp.connect(node.httpUrl);
    web.write(post('/w/ch/narrow', 'one\ntwo\nthree\n', LINES));
    const first = await web.answer();
    expect([first.status, first.headers['retry-after']]).toEqual([429, '1']);
    expect(JSON.parse(first.body)).toMatchObject({ code: 'SN_ERR_QUEUE_FULL', data: { entries: 2 } });
    web.write(post('/w/ch/narrow', 'three'));
    const second = await web.answer();
    expect([second.status, second.headers['retry-after']]).toEqual([429, '1']);
    expect(JSON.parse(second.body)).toMatchObject({ code: 'SN_ERR_QUEUE_FULL' });
    web.write(head('GET', '/m/fetch/narrow?max=10'));
    const { entries } = JSON.parse((await web.answer()).body).data;
    expect(entries.map(({ payload }: { payload: string }) => payload)).toEqual(['one', 'two']);
    web.write(post('/w/ch/narrow', 'three'));
    expect((await web.answer()).status).toBe(200);
    web.kill();
  });
});

describe('a disk that cannot be written', () => {
  test('is 507 with the reason, for one entry and for lines, and nothing is put', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sn-http-disk-'));
    mkdirSync(join(dir, 'queues'), { recursive: true });
    writeFileSync(join(dir, 'queues', 'data.mdb'), 'not a database at all');
    const node = await startTestNode('daemon', {
      data_dir: dir,
      tasks: [{ task_id: 'kept' }, { task_id: 'quick', queue: { storage: 'memory' } }],
    });
    const app = await connectApp(node.port);
    await app.untilStat('kept', ({ queue }) => typeof queue.storage_error === 'string');
    const web = await RawHttp.connect(node.httpUrl);
    for (const [body, ...headers] of [['one'], ['one\ntwo\n', LINES]] as const) {
      web.write(post('/w/ch/kept', body, ...headers));
      const answer = await web.answer();
      expect([answer.status, answer.headers['retry-after']]).toEqual([507, '1']);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'SN_ERR_STORAGE', error: expect.stringMatching(/disk/) });
      if (headers.length > 0) expect(JSON.parse(answer.body).data).toEqual({ entries: 0 });
    }
    web.write(post('/w/ch/quick', 'in memory'));
    expect((await web.answer()).status).toBe(200);
    web.kill();
    await node.close();
    rmSync(dir, { recursive: true, force: true });
  });
});

describe.each(NODE_KINDS)('the token of a worker of a node as %s', (kind) => {
  let world: ShellWorld;
  beforeAll(async () => {
    world = await ShellWorld.open(kind);
  });
  afterAll(() => world.close());

  const tokenOf = async (task: string): Promise<string> => {
    const { pid } = await world.app.untilStat(task, (stat) => stat.pid !== undefined);
    const token = await waitFor(() => {
      const found = environmentOf(pid, 'SN_TOKEN');
      return typeof found === 'object' && found;
    });
    return token.value;
  };
  const ask = async (path: string, user: string, token: string) => {
    const authorization = `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`;
    const response = await fetch(`${world.node.httpUrl}${path}`, {
      method: 'POST',
      body: 'x',
      headers: { authorization },
    });
    return [response.status, JSON.parse(await response.text())];
  };

  test('says whose queue a bare put is for, and opens no other', async () => {
    const task = await world.run('exec sleep 1000');
    const token = await tokenOf(task);
    expect(await ask('/w/ch', task, token)).toEqual([200, { status: 'ok', data: { entries: 1 } }]);
    expect(await ask(`/w/ch/${task}`, task, token)).toMatchObject([200, {}]);
    expect(await ask('/w/ch/another', task, token)).toMatchObject([403, { code: 'SN_ERR_FORBIDDEN' }]);
    expect((await world.stat(task)).queue.length).toBe(2);
    expect(await ask('/w/ch', 'another', token)).toMatchObject([401, { code: 'SN_ERR_UNAUTHORIZED' }]);
    await world.cmd('remove', task);
  });

  test('is worth nothing once its generation is over', async () => {
    const task = await world.run('exec sleep 1000');
    const token = await tokenOf(task);
    expect((await world.cmd('restart', task)).status).toBe('ok');
    expect(await ask(`/w/ch/${task}`, task, token)).toMatchObject([401, { code: 'SN_ERR_UNAUTHORIZED' }]);
    expect(await ask('/w/ch', task, await tokenOf(task))).toMatchObject([200, {}]);
    await world.cmd('remove', task);
  });
});

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import { fine, type HttpRequest, httpNodeThat, refusal } from '../../fixtures/fake-http-node.js';

const entry = (seq: number, payload: string) => ({ task_id: 'cam1', seq, ts: 1, attempts: 1, payload });
const taken = { entries: [entry(1, 'one'), entry(2, 'two')], dropped: 0, lease: 'L1' };

/** A fetch that gives two entries on a lease. */
const giving = ({ line }: HttpRequest) => fine(line.startsWith('POST /m/fetch') ? taken : {});
const acks = (requests: readonly HttpRequest[]) =>
  requests.filter(({ line }) => line === 'POST /m/ack').map(({ body }) => body);

async function run(url: string, ...argv: string[]) {
  const { ended, stdout, stderr } = cli([...argv, '--url', url]);
  return { code: await ended, out: stdout(), err: stderr() };
}

describe('what is asked over HTTP', () => {
  test('the path of a thing is its topic, whatever the prefix of topics', async () => {
    const { url, lines } = await httpNodeThat(() => fine());
    const env = { SN_TOPIC_PREFIX: 'site7/' };
    for (const argv of [
      ['stat'],
      ['stat', 'cam1'],
      ['stop', 'cam1'],
      ['fetch'],
      ['fetch', 'cam1', '--from', '3'],
      ['send', 'cam1', 'x'],
    ]) {
      expect(await cli([...argv, '--url', url], { env }).ended).toBe(0);
    }
    expect(lines()).toEqual([
      'GET /m/stat',
      'GET /m/stat/cam1',
      'POST /m/cmd',
      'POST /m/fetch',
      'POST /m/fetch/cam1',
      'POST /m/cmd/cam1',
    ]);
  });

  test('a URL with a path stands before it, as behind a proxy', async () => {
    const { url, lines } = await httpNodeThat(() => fine());
    expect(await run(`${url}/edge-1/`, 'stat')).toMatchObject({ code: 0 });
    expect(lines()).toEqual(['GET /edge-1/m/stat']);
  });

  test('requests are JSON, what is sent to a worker is bytes', async () => {
    const { url, requests } = await httpNodeThat(() => fine({ channels: 1 }));
    await run(url, 'start', 'cam1', '-w', 'camera');
    await run(url, 'send', 'cam1', '{"zoom": 2}');
    expect(requests.map(({ headers, payload }) => [headers['content-type'], `${payload}`])).toEqual([
      ['application/json', '{"cmd":"start","task_id":"cam1","worker":"camera"}'],
      ['application/octet-stream', '{"zoom": 2}'],
    ]);
  });

  test('user name and password become Basic, from options, environment or URL', async () => {
    const { url, requests } = await httpNodeThat(() => fine());
    const env = { SN_USERNAME: 'app1', SN_PASSWORD: 'pä:ss' };
    await cli(['stat', '--url', url], { env }).ended;
    await run(url.replace('//', '//me:se%40cret@'), 'stat');
    await run(url, 'stat');
    const decoded = requests.map(({ headers }) =>
      Buffer.from(headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString(),
    );
    expect(decoded).toEqual(['app1:pä:ss', 'me:se@cret', '']);
  });
});

describe('a fetch over HTTP', () => {
  test('is on a lease, settled once its entries are written', async () => {
    const steps: string[] = [];
    const { url, requests } = await httpNodeThat((request) => {
      steps.push(request.line);
      return giving(request);
    });
    const fetching = cli(['fetch', 'cam1', '-n', '2', '--url', url], { writeError: () => void steps.push('written') });
    expect(await fetching.ended).toBe(0);
    expect(fetching.stdout()).toBe('one\ntwo\n');
    expect(steps).toEqual(['POST /m/fetch/cam1', 'written', 'written', 'POST /m/ack']);
    expect(requests[0]?.body).toMatchObject({ max: 2, lease_ms: 30_000 });
    expect(acks(requests)).toEqual([{ lease: 'L1', ok: true }]);
  });

  test('that cannot be written goes back', async () => {
    const { url, requests } = await httpNodeThat(giving);
    const fetching = cli(['fetch', 'cam1', '--url', url], { writeError: () => new Error('ENOSPC') });
    expect(await fetching.ended).toBe(1);
    expect(acks(requests)).toEqual([{ lease: 'L1', ok: false }]);
  });

  test('keeps its lease while a slow reader takes the entries', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const { url, requests } = await httpNodeThat(giving);
    const stalled = vi.fn();
    const fetching = cli(['fetch', 'cam1', '--url', url], { stdoutStalls: stalled });
    await vi.waitFor(() => expect(stalled).toHaveBeenCalled());
    vi.advanceTimersByTime(20_000);
    await vi.waitFor(() => expect(acks(requests)).toHaveLength(2));
    fetching.interrupt();
    expect(await fetching.ended).toBe(130);
    const extended = { lease: 'L1', lease_ms: 30_000 };
    expect(acks(requests)).toEqual([extended, extended, { lease: 'L1', ok: false }]);
  });

  test('whose entries left the queue meanwhile is no error', async () => {
    const { url } = await httpNodeThat((request) =>
      request.line === 'POST /m/ack' ? refusal(409, 'SN_ERR_LEASE_UNKNOWN') : giving(request),
    );
    expect(await run(url, 'fetch', 'cam1')).toEqual({ code: 0, out: 'one\ntwo\n', err: '' });
  });

  test('that looks only, or finds nothing, has nothing to settle', async () => {
    const { url, requests } = await httpNodeThat(() => fine({ entries: [], dropped: 0 }));
    await run(url, 'fetch', 'cam1');
    await run(url, 'fetch', 'cam1', '--from', '0');
    expect(requests.map(({ line, body }) => [line, body.lease_ms])).toEqual([
      ['POST /m/fetch/cam1', 30_000],
      ['POST /m/fetch/cam1', undefined],
    ]);
  });
});

describe('a call over HTTP', () => {
  const part = (payload: string, last: boolean) => `${JSON.stringify({ status: 'ok', data: { payload, last } })}\n`;
  const begin = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/x-ndjson' });

  test('prints each part as it comes', async () => {
    const responses: ServerResponse[] = [];
    const { url, requests } = await httpNodeThat((_request, response) => {
      responses.push(begin(response));
      response.write(part('one ', false));
      return undefined;
    });
    const calling = cli(['call', 'llm', 'why?', '--url', url]);
    await vi.waitFor(() => expect(calling.stdout()).toBe('one '));
    responses[0]?.end(part('two', true));
    expect(await calling.ended).toBe(0);
    expect(calling.stdout()).toBe('one two');
    expect(requests[0]?.headers.accept).toBe('application/x-ndjson');
  });

  test('an error ends it, at once or after parts', async () => {
    const { url } = await httpNodeThat(() => refusal(409, 'SN_ERR_NO_CHANNEL'));
    const error = 'super-node: it says no (SN_ERR_NO_CHANNEL)\n';
    expect(await run(url, 'call', 'llm', 'x')).toEqual({ code: 1, out: '', err: error });
    const later = await httpNodeThat((_request, response) => {
      begin(response).end(part('one', false) + JSON.stringify(refusal(502, 'SN_ERR_NO_CHANNEL').body));
      return undefined;
    });
    expect(await run(later.url, 'call', 'llm', 'x')).toEqual({ code: 1, out: 'one', err: error });
  });

  test('Ctrl-C breaks it off; one that breaks off by itself is 3', async () => {
    const closed = vi.fn();
    const { url } = await httpNodeThat((_request, response) => {
      response.once('close', closed);
      begin(response).write(part('one', false));
      return undefined;
    });
    const calling = cli(['call', 'llm', 'x', '--url', url]);
    await vi.waitFor(() => expect(calling.stdout()).toBe('one'));
    calling.interrupt();
    expect(await calling.ended).toBe(130);
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
    for (const end of [(one: ServerResponse) => one.destroy(), (one: ServerResponse) => one.end()]) {
      const broken = await httpNodeThat((_request, response) => {
        begin(response).write(part('one', false), () => end(response));
        return undefined;
      });
      const failed = await run(broken.url, 'call', 'llm', 'x');
      expect(failed).toEqual({ code: 3, out: 'one', err: `super-node: the connection to ${broken.url} was lost\n` });
    }
  });
});

describe('what follows over HTTP', () => {
  const stream = (response: ServerResponse, text = '') => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`: hello\n\n${text}`);
    return response;
  };
  const told = (data: object) => `data: ${JSON.stringify(data)}\n\n`;

  test('tail prints bytes as they were put', async () => {
    const { url, lines } = await httpNodeThat((_request, response) => {
      stream(response, told({ ts: 1, payload: 'a' }) + told({ ts: 2, payload_base64: '/wA=' }));
      return undefined;
    });
    const tailing = cli(['tail', 'cam1', '--url', url]);
    await vi.waitFor(() => expect(tailing.stdoutBytes()).toEqual(Buffer.from([0x61, 10, 0xff, 0, 10])));
    tailing.interrupt();
    expect(await tailing.ended).toBe(130);
    expect(lines()).toEqual(['GET /m/data/cam1']);
  });

  test('logs of all tasks is one stream, whose messages name their task', async () => {
    const { url, lines } = await httpNodeThat((_request, response) => {
      stream(
        response,
        told({ task_id: 'cam1', ts: 1, line: 'here' }) + told({ task_id: 'cam2', ts: 2, line: 'there' }),
      );
      return undefined;
    });
    const following = cli(['logs', '--url', url]);
    await vi.waitFor(() => expect(following.stdout()).toBe('cam1  here\ncam2  there\n'));
    following.interrupt();
    expect(await following.ended).toBe(130);
    expect(lines()).toEqual(['GET /m/log']);
  });

  test('logs -f prints what was written between the answer of the node and its way here', async () => {
    const past = ['one', 'two'].map((line) => ({ ts: 5, stream: 'stdout', line }));
    const streams: ServerResponse[] = [];
    const { url } = await httpNodeThat(({ line }, response) => {
      if (line !== 'POST /m/cmd') {
        streams.push(stream(response));
        return undefined;
      }
      // Both are on their way before the answer.
      streams[0]?.write('data: two\n\ndata: three\n\n', () => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(fine({ lines: past }).body));
      });
      return undefined;
    });
    const following = cli(['logs', 'cam1', '-f', '--url', url]);
    await vi.waitFor(() => expect(following.stdout()).toBe('one\ntwo\nthree\n'));
    streams[0]?.write('data: a\ndata: b\n\n');
    await vi.waitFor(() => expect(following.stdout()).toContain('three\nab\n'));
    following.interrupt();
    await following.ended;
  });

  test('a gap is told on stderr', async () => {
    const { url } = await httpNodeThat((_request, response) => {
      stream(response, `event: gap\ndata: {"missed":7}\n\n${told({ type: 'ready' })}`);
      return undefined;
    });
    const following = cli(['events', '--url', url]);
    await vi.waitFor(() => expect(following.stdout()).toBe('ready\n'));
    expect(following.stderr()).toMatch(/^super-node: 7 messages missed/);
    following.interrupt();
    await following.ended;
  });

  test('the end of a stream is the end of the command', async () => {
    const { url } = await httpNodeThat((_request, response) => {
      stream(response).end();
      return undefined;
    });
    const ended = await run(url, 'events');
    expect(ended).toEqual({ code: 3, out: '', err: `super-node: the connection to ${url} was lost\n` });
  });

  test('a node that takes no more listeners says so', async () => {
    const { url } = await httpNodeThat(() => refusal(429, 'SN_ERR_LIMIT'));
    expect(await run(url, 'events')).toMatchObject({ code: 1, err: 'super-node: it says no (SN_ERR_LIMIT)\n' });
  });
});

describe('whom it cannot speak to, all with exit code 3', () => {
  test('nobody listens; a node is meant where the URL names no port', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { code, err } = await run(`http://me:secret@127.0.0.1:${port}`, 'stat');
    expect(code).toBe(3);
    expect(err).toBe(
      `super-node: cannot connect to http://127.0.0.1:${port}: nobody listens there (ECONNREFUSED); is the node running?\n`,
    );
    const { err: shown } = await run('http://[::1]', 'stat', '--timeout', '1');
    expect(shown).toContain('http://[::1]:8080');
  });

  test.each([
    [
      'a web server',
      { status: 404, body: '<html>', headers: { 'content-type': 'text/html' } },
      '404 Not Found, text/html',
    ],
    ['another API', { status: 404, body: { status: 404, error: 'Not Found' } }, '404 Not Found, application/json'],
    [
      'what sends elsewhere',
      { status: 301, headers: { location: 'https://x.example/' } },
      '301 Moved Permanently, https://x.example/',
    ],
    ['what says ok to everything', { body: 'ok' }, '200 OK, text/plain'],
  ])('%s is no node', async (_name, answer, shown) => {
    const { url } = await httpNodeThat(() => answer);
    const err = `super-node: cannot connect to ${url}: what answers there is no node (/m/stat: ${shown})\n`;
    expect(await run(url, 'stat')).toEqual({ code: 3, out: '', err });
  });

  test.each([
    ['closes at once', (socket: Socket) => socket.end(), 'closed without an answer; is it an http listener?'],
    ['speaks no HTTP', (socket: Socket) => socket.end('220 ready\r\n'), 'speaks no HTTP'],
  ])('who %s', async (_name, answer, shown) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', () => answer(socket));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { code, err } = await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'stat');
    expect(code).toBe(3);
    expect(err).toContain(shown);
  });

  test('TLS where there is none', async () => {
    const { url } = await httpNodeThat(() => fine());
    const { code, err } = await run(url.replace('http', 'https'), 'stat');
    expect(code).toBe(3);
    expect(err).toMatch(/speaks no TLS/);
  });

  test('no answer in time', async () => {
    const { url } = await httpNodeThat(() => undefined);
    const err = `super-node: ${url} did not answer on /m/stat within 50 ms\n`;
    expect(await run(url, 'stat', '--timeout', '50')).toEqual({ code: 3, out: '', err });
  });

  test('an answer that breaks off', async () => {
    const { url } = await httpNodeThat((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"status"', () => response.destroy());
      return undefined;
    });
    expect(await run(url, 'stat')).toMatchObject({ code: 3, err: `super-node: the connection to ${url} was lost\n` });
  });

  test('a node that wants a user name, or another one', async () => {
    const { url } = await httpNodeThat(() => refusal(401, 'SN_ERR_UNAUTHORIZED'));
    expect((await run(url, 'stat')).err).toContain('the node wants a user name and a password');
    const { code, err } = await run(url, 'stat', '--username', 'x', '--password', 'y');
    expect(code).toBe(3);
    expect(err).toContain('the node does not accept this user name and password');
  });

  test('a node that is shutting down', async () => {
    const { url } = await httpNodeThat(() => refusal(503, 'SN_ERR_CLOSING'));
    expect(await run(url, 'stat')).toMatchObject({ code: 3, out: '' });
  });

  test('but a connection that the node closed between two looks is no loss', async () => {
    const { url, requests } = await httpNodeThat((_request, response) => {
      if (requests.length !== 2) return fine();
      response.socket?.destroy();
      return undefined;
    });
    const looking = cli(['top', '--json', '--interval', '0.2', '--url', url]);
    await vi.waitFor(() => expect(requests).toHaveLength(3));
    await vi.waitFor(() => expect(looking.stdout().split('\n').length).toBeGreaterThan(2));
    looking.interrupt();
    expect(await looking.ended).toBe(130);
  });

  test('a user name that Basic cannot carry is wrong usage, 2', async () => {
    expect(await run('http://127.0.0.1:1', 'stat', '--username', 'a:b')).toMatchObject({ code: 2 });
    const { code, err } = await run('http://me:100%@127.0.0.1:1', 'stat');
    expect([code, err.includes('100%')]).toEqual([2, false]);
  });
});

import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ERROR_TABLE, type ErrorCode } from '../../src/core/errors.js';
import { LIMITS } from '../../src/core/limits.js';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { closeCodeIn, frame, head, post, RawHttp, upgrade } from '../fixtures/raw-http.js';
import { waitFor } from '../fixtures/wait-for.js';

/** What is no good request over HTTP: each is answered as documented, and nobody else notices. */

const JSON_BODY = 'Content-Type: application/json';
const LINES_BODY = 'Content-Type: application/x-ndjson';
const GZIP = 'Content-Encoding: gzip';
const CHUNKED = 'Transfer-Encoding: chunked';
const MIB = 1_048_576;

const command = (text: string | Buffer) => post('/m/cmd', text, JSON_BODY);
const chunked = (path: string, body: string, ...headers: string[]) =>
  `${head('POST', path, CHUNKED, ...headers)}${body}`;
const token = (user: string, password: string) =>
  `Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

/** Requests, and the code of the envelope each gets; its status is that of the table. */
const REFUSED: [string, string | Buffer, ErrorCode][] = [
  ['an unknown path', head('GET', '/nothing'), 'SN_ERR_ROUTE_UNKNOWN'],
  ['a path with a slash too many', head('GET', '//m/stat'), 'SN_ERR_ROUTE_UNKNOWN'],
  ['a path with dots', head('GET', '/m/stat/../cmd'), 'SN_ERR_ROUTE_UNKNOWN'],
  ['an asterisk for a target', head('OPTIONS', '*'), 'SN_ERR_METHOD'],
  ['a path that is not well encoded', head('GET', '/m/stat/%zz'), 'SN_ERR_HTTP'],
  ['a path that is no UTF-8 once decoded', head('GET', '/m/stat/%c3%28'), 'SN_ERR_HTTP'],
  ['a segment of 300 characters', head('GET', `/m/stat/${'a'.repeat(300)}`), 'SN_ERR_HTTP'],
  ['GET where there is POST', head('GET', '/m/cmd'), 'SN_ERR_METHOD'],
  ['DELETE', head('DELETE', '/m/cmd'), 'SN_ERR_METHOD'],
  ['PUT of an entry', head('PUT', '/w/ch/wrong'), 'SN_ERR_METHOD'],
  ['OPTIONS', head('OPTIONS', '/m/cmd'), 'SN_ERR_METHOD'],
  ['TRACE', head('TRACE', '/m/cmd'), 'SN_ERR_METHOD'],
  ['a plain request where there are WebSockets alone', head('GET', '/mqtt'), 'SN_ERR_UPGRADE'],
  ['a name that was rebound', 'GET /m/stat HTTP/1.1\r\nHost: evil.example\r\n\r\n', 'SN_ERR_FORBIDDEN'],
  ['no name at all', 'GET /m/stat HTTP/1.1\r\n\r\n', 'SN_ERR_FORBIDDEN'],
  ['no name in HTTP/1.0', 'GET /m/stat HTTP/1.0\r\n\r\n', 'SN_ERR_FORBIDDEN'],
  ['a page of another site', head('GET', '/m/stat', 'Origin: https://evil.example'), 'SN_ERR_FORBIDDEN'],
  ['a page of no site', head('GET', '/m/stat', 'Origin: null'), 'SN_ERR_FORBIDDEN'],
  ['events for a page of another site', head('GET', '/m/event', 'Origin: https://evil.example'), 'SN_ERR_FORBIDDEN'],
  ['a WebSocket for a page of another site', upgrade('/m/cmd', 'Origin: https://evil.example'), 'SN_ERR_FORBIDDEN'],
  ['a fetch ahead of its use', head('GET', '/m/fetch/wrong', 'Sec-Purpose: prefetch'), 'SN_ERR_FORBIDDEN'],
  ['a token of nobody', head('GET', '/m/stat', token('wrong', 'snw_nobody')), 'SN_ERR_UNAUTHORIZED'],
  ['a WebSocket with a token of nobody', upgrade('/w/ch/wrong', token('wrong', 'snw_nobody')), 'SN_ERR_UNAUTHORIZED'],
  ['a WebSocket on an unknown path', upgrade('/nothing'), 'SN_ERR_ROUTE_UNKNOWN'],
  ['a WebSocket on a path that has none', upgrade('/m/event'), 'SN_ERR_ROUTE_UNKNOWN'],
  ['a WebSocket by POST', upgrade('/m/cmd').replace('GET', 'POST'), 'SN_ERR_ROUTE_UNKNOWN'],
  ['a WebSocket on a path that is not well encoded', upgrade('/w/ch/%zz'), 'SN_ERR_HTTP'],
  ['a WebSocket of a bad task id', upgrade('/w/ch/.hidden'), 'SN_ERR_TASK_ID'],

  ['a command as text', post('/m/cmd', '{}', 'Content-Type: text/plain'), 'SN_ERR_MEDIA_TYPE'],
  ['a command of no type', post('/m/cmd', '{}'), 'SN_ERR_MEDIA_TYPE'],
  ['a type that is none', post('/m/cmd', '{}', 'Content-Type: ;;;'), 'SN_ERR_MEDIA_TYPE'],
  ['an encoding that is not known', post('/w/ch/wrong', 'x', 'Content-Encoding: br'), 'SN_ERR_MEDIA_TYPE'],
  [
    'a coding below the chunks',
    `${head('POST', '/w/ch/wrong', 'Transfer-Encoding: gzip, chunked')}0\r\n\r\n`,
    'SN_ERR_MEDIA_TYPE',
  ],
  ['broken JSON', command('{'), 'SN_ERR_JSON'],
  ['a list instead of an object', command('[1]'), 'SN_ERR_JSON'],
  ['bytes that are no text', command(Buffer.of(0x7b, 0xff)), 'SN_ERR_JSON'],
  ['JSON that is 2 000 levels deep', command('{"a":'.repeat(2_000) + '1'.padEnd(2_001, '}')), 'SN_ERR_JSON'],
  ['a command named like a prototype', command('{"cmd":"__proto__"}'), 'SN_ERR_COMMAND_UNKNOWN'],
  ['a command in a prototype', command('{"__proto__":{"cmd":"workers"}}'), 'SN_ERR_COMMAND_UNKNOWN'],
  ['any command from afar', command('{"cmd":"start","task_id":"x1","command":["sh"]}'), 'SN_ERR_FORBIDDEN'],
  ['an unknown task', head('GET', '/m/stat/nobody'), 'SN_ERR_TASK_UNKNOWN'],
  ['an id with an encoded slash', head('GET', '/m/stat/a%2fb'), 'SN_ERR_TASK_ID'],
  ['an id of encoded dots', head('GET', '/m/stat/%2e%2e'), 'SN_ERR_TASK_ID'],
  ['an id with an encoded NUL', head('GET', '/m/stat/%00'), 'SN_ERR_TASK_ID'],
  ['an id named like a prototype', head('GET', '/m/stat/__proto__'), 'SN_ERR_TASK_ID'],
  ['no id', head('GET', '/m/stat/'), 'SN_ERR_TASK_ID'],
  ['events of a bad id', head('GET', '/m/data/.hidden'), 'SN_ERR_TASK_ID'],
  ['a put for a bad id', post('/w/ch/.hidden', 'x'), 'SN_ERR_TASK_ID'],
  ['a put for no task, by nobody', post('/w/ch', 'x'), 'SN_ERR_REQUEST'],
  ['a query with an unknown name', head('GET', '/m/fetch/wrong?maximum=1'), 'SN_ERR_REQUEST'],
  ['a query with a name twice', head('GET', '/m/fetch/wrong?max=1&max=2'), 'SN_ERR_REQUEST'],
  ['a query with a name 3 000 times', head('GET', `/m/fetch/wrong?${'a=1&'.repeat(3_000)}`), 'SN_ERR_REQUEST'],
  ['a query with a number that is none', head('GET', '/m/fetch/wrong?max=-1'), 'SN_ERR_REQUEST'],
  ['__proto__ in a query', head('GET', '/m/fetch/wrong?__proto__=1'), 'SN_ERR_REQUEST'],
  ['constructor in a query', head('GET', '/m/fetch/wrong?constructor=1'), 'SN_ERR_REQUEST'],
  [
    'several raw entries in one body',
    head('GET', '/m/fetch/wrong?max=2', 'Accept: application/octet-stream'),
    'SN_ERR_REQUEST',
  ],
  [
    'an acknowledgement of no lease',
    post('/m/ack', '{"lease":"none","lease_ms":1000}', JSON_BODY),
    'SN_ERR_LEASE_UNKNOWN',
  ],
  ['raw bytes for an unknown task', post('/m/cmd/nobody', 'x'), 'SN_ERR_TASK_UNKNOWN'],

  ['a body over the cap', post('/w/ch/wrong', Buffer.alloc(MIB + 1)), 'SN_ERR_TOO_LARGE'],
  ['a body that says it is over the cap', head('POST', '/w/ch/wrong', 'Content-Length: 20000000'), 'SN_ERR_TOO_LARGE'],
  [
    'chunks over the cap',
    chunked('/w/ch/wrong', `${(MIB + 1).toString(16)}\r\n${'x'.repeat(MIB + 1)}\r\n`),
    'SN_ERR_TOO_LARGE',
  ],
  ['a line over the cap', post('/w/ch/wrong', 'x'.repeat(MIB + 2), LINES_BODY), 'SN_ERR_TOO_LARGE'],
  ['a gzip bomb', post('/w/ch/wrong', gzipSync(Buffer.alloc(50 * MIB)), GZIP), 'SN_ERR_TOO_LARGE'],
  [
    'a gzip bomb of lines',
    post('/w/ch/wrong', gzipSync(Buffer.alloc(80 * MIB, '\n')), GZIP, LINES_BODY),
    'SN_ERR_TOO_LARGE',
  ],
  ['gzip that is none', post('/w/ch/wrong', 'plain', GZIP), 'SN_ERR_HTTP'],
  ['gzip that is cut off', post('/w/ch/wrong', gzipSync('whole').subarray(0, -4), GZIP), 'SN_ERR_HTTP'],
  [
    'gzip with more behind it',
    post('/w/ch/wrong', Buffer.concat([gzipSync('whole'), Buffer.from('more')]), GZIP),
    'SN_ERR_HTTP',
  ],
];

/** Bytes that are no request: answered, and the connection is closed. */
const BROKEN: [string, string | Buffer, ErrorCode][] = [
  ['a TLS greeting', Buffer.from('16030100c8010000c40303', 'hex'), 'SN_ERR_HTTP'],
  ['a CONNECT packet of MQTT', Buffer.from('101000044d51545404020000000461626364', 'hex'), 'SN_ERR_HTTP'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'SN_ERR_HTTP'],
  ['a method of nobody', head('BREW', '/m/cmd'), 'SN_ERR_HTTP'],
  ['both lengths', `${head('POST', '/w/ch/wrong', 'Content-Length: 3', CHUNKED)}0\r\n\r\n`, 'SN_ERR_HTTP'],
  ['two lengths', `${head('POST', '/w/ch/wrong', 'Content-Length: 1', 'Content-Length: 2')}xy`, 'SN_ERR_HTTP'],
  ['a negative length', head('POST', '/w/ch/wrong', 'Content-Length: -1'), 'SN_ERR_HTTP'],
  ['a length with a sign', `${head('POST', '/w/ch/wrong', 'Content-Length: +1')}x`, 'SN_ERR_HTTP'],
  ['chunks that are not the last coding', head('POST', '/w/ch/wrong', 'Transfer-Encoding: chunked, x'), 'SN_ERR_HTTP'],
  ['a chunk whose size is no number', chunked('/w/ch/wrong', 'zz\r\n'), 'SN_ERR_HTTP'],
  ['a folded header', head('GET', '/m/stat', 'X: a\r\n b'), 'SN_ERR_HTTP'],
  ['a space before the colon', 'GET /m/stat HTTP/1.1\r\nHost : localhost\r\n\r\n', 'SN_ERR_HTTP'],
  ['lines that end in LF alone', 'GET /m/stat HTTP/1.1\nHost: localhost\n\n', 'SN_ERR_HTTP'],
  ['a header of 20 kB', head('GET', '/m/stat', `X: ${'y'.repeat(20_000)}`), 'SN_ERR_HEADERS'],
  ['a query of 20 kB', head('GET', `/m/fetch?${'a'.repeat(20_000)}`), 'SN_ERR_HEADERS'],
];

/** What WebSockets must not send, and the code that closes them (RFC 6455 §7.4.1). */
const FRAMES: [string, string, Buffer[], number][] = [
  ['a frame over the cap, before its payload comes', '/m/cmd', [frame(1, '', { length: 3 * MIB })], 1009],
  ['an entry over the cap', '/w/ch/wrong', [frame(2, Buffer.alloc(MIB + 1))], 1009],
  ['a text that is no UTF-8', '/m/cmd', [frame(1, Buffer.of(0xff, 0xfe))], 1007],
  [
    'a text that is no UTF-8, in parts',
    '/w/ch/wrong',
    [frame(1, Buffer.of(0xe2), { fin: false }), frame(0, 'x')],
    1007,
  ],
  ['a frame without a mask', '/m/cmd', [frame(1, '{}', { masked: false })], 1002],
  ['a compressed frame', '/m/cmd', [frame(1, '{}', { rsv: 4 })], 1002],
  ['a reserved opcode', '/m/cmd', [frame(3)], 1002],
  ['a continuation of nothing', '/m/cmd', [frame(0, 'x')], 1002],
  ['a message within another', '/m/cmd', [frame(1, '{', { fin: false }), frame(1, '{}')], 1002],
  ['a ping of 126 bytes', '/m/cmd', [frame(9, Buffer.alloc(126))], 1002],
  ['a ping in parts', '/m/cmd', [frame(9, 'x', { fin: false })], 1002],
  ['a close code that may not be sent', '/m/cmd', [frame(8, Buffer.of(3, 0xed))], 1002],
  ['half a close code', '/m/cmd', [frame(8, Buffer.of(3))], 1002],
  ['a reason that is no UTF-8', '/m/cmd', [frame(8, Buffer.of(3, 0xe8, 0xff))], 1007],
  [
    'a message of 20 000 parts',
    '/m/cmd',
    [frame(1, '', { fin: false }), ...Array(20_000).fill(frame(0, 'x', { fin: false }))],
    1008,
  ],
];

/** Odd, and yet good. */
const GOOD: [string, string | Buffer][] = [
  ['a target with the scheme and the host', head('GET', 'http://localhost/m/stat')],
  ['HTTP/1.0', head('GET', '/m/stat').replace('HTTP/1.1', 'HTTP/1.0')],
  ['a path with encoded letters', head('GET', '/m/%73tat')],
  ['a body with GET', `${head('GET', '/m/stat', 'Content-Length: 4')}body`],
  [
    'who offers HTTP/2 with a GET',
    head('GET', '/m/stat', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAEA'),
  ],
  [
    'who offers HTTP/2 with a POST',
    post('/w/ch/odd', 'x', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAEA'),
  ],
  ['who expects what nobody knows', post('/w/ch/odd', 'x', 'Expect: 200-maybe')],
  ['a put that says it is a form', post('/w/ch/odd', 'x', 'Content-Type: multipart/form-data; boundary=x')],
  ['a body in chunks of one byte', chunked('/w/ch/odd', `${'1\r\nx\r\n'.repeat(2_000)}0\r\n\r\n`)],
  [
    'lines in chunks of one byte',
    chunked('/w/ch/odd', `${'1\r\nx\r\n'.repeat(2_000)}1\r\n\n\r\n0\r\n\r\n`, LINES_BODY),
  ],
  ['no lines', post('/w/ch/odd', '\n\r\n\n', LINES_BODY)],
];

describe.each(NODE_KINDS)('a node as %s, given wrong input over HTTP', (kind) => {
  let node: TestNode;
  let bystander: App;
  let web: RawHttp;
  let probe: RawHttp;

  beforeAll(async () => {
    node = await startTestNode(kind);
    bystander = await connectApp(node.port);
    web = await RawHttp.connect(node.httpUrl);
    for (const task of ['wrong', 'odd']) await bystander.client.publish(`w/ch/${task}`, 'x', { qos: 1 });
  });
  beforeEach(async () => {
    probe = await RawHttp.connect(node.httpUrl);
  });
  afterEach(async () => {
    probe.kill();
    // Nothing else is disturbed: the same connections still get their answers.
    web.write(head('GET', '/health'));
    const [{ status }, stat] = await Promise.all([web.answer(), bystander.ask('m/stat')]);
    expect([status, stat.status]).toEqual([200, 'ok']);
  });
  afterAll(async () => {
    web.kill();
    await node.close();
  });

  const ask = async (bytes: string | Buffer) => {
    probe.write(bytes);
    return probe.answer();
  };
  const length = async (task: string): Promise<number> => (await bystander.ask(`m/stat/${task}`)).data.queue.length;

  test.each(REFUSED)('%s is refused with its code', async (_title, bytes, code) => {
    const before = await length('wrong');
    const { status, headers, body } = await ask(bytes);
    expect(JSON.parse(body)).toMatchObject({ status: 'error', code, error: expect.any(String) });
    expect(body.length).toBeLessThan(1_000);
    expect(status).toBe(ERROR_TABLE[code].status);
    expect(headers['content-type']).toMatch('application/json');
    expect(headers['cache-control']).toBe('no-store');
    if (status === 405) expect(headers.allow).toMatch(/^(GET|POST|GET, POST)$/);
    if (status === 401) expect(headers['www-authenticate']).toMatch('Basic');
    expect(await length('wrong')).toBe(before);
  });

  test.each(BROKEN)('%s is answered, and the connection closed', async (_title, bytes, code) => {
    const { status, headers, body } = await ask(bytes);
    expect(JSON.parse(body)).toMatchObject({ status: 'error', code, error: expect.any(String) });
    expect(status).toBe(ERROR_TABLE[code].status);
    expect(headers.connection).toBe('close');
    await probe.closed();
  });

  test.each(FRAMES)('%s closes its WebSocket', async (_title, path, frames, code) => {
    expect((await ask(upgrade(path))).status).toBe(101);
    probe.write(Buffer.concat(frames));
    expect(await waitFor(() => closeCodeIn(probe.received))).toBe(code);
    probe.write(frame(8));
    await probe.closed();
  });

  test.each(GOOD)('%s is served', async (_title, bytes) => {
    const { status, body } = await ask(bytes);
    expect(JSON.parse(body)).toMatchObject({ status: 'ok' });
    expect(status).toBe(200);
  });

  test('HEAD is refused without a body', async () => {
    probe.write(head('HEAD', '/m/fetch/odd'));
    await waitFor(() => probe.received.includes('\r\n\r\n'));
    expect(probe.received.toString()).toMatch(/^HTTP\/1.1 405 /);
    expect(probe.received.toString()).toMatch(/\r\n\r\n$/);
  });

  test('CONNECT closes the connection', async () => {
    probe.write(head('CONNECT', 'localhost:80'));
    await probe.closed();
  });

  test('a client that expects 100-continue is told to go on', async () => {
    expect((await ask(head('POST', '/w/ch/odd', 'Expect: 100-continue', 'Content-Length: 1'))).status).toBe(100);
    expect((await ask('x')).status).toBe(200);
  });

  test('a refused upgrade closes its connection', async () => {
    expect((await ask(upgrade('/w/ch/%zz'))).status).toBe(400);
    await probe.closed();
  });

  test('the connection of a refused body serves what comes behind it', async () => {
    probe.write(Buffer.concat([post('/w/ch/wrong', Buffer.alloc(2 * MIB)), Buffer.from(head('GET', '/health'))]));
    expect((await probe.answer()).status).toBe(413);
    expect((await probe.answer()).status).toBe(200);
  });

  test('a body that ends before its length puts nothing', async () => {
    const before = await length('wrong');
    probe.write(`${head('POST', '/w/ch/wrong', 'Content-Length: 200')}half`);
    probe.socket.end();
    expect((await probe.answer()).status).toBe(400);
    await probe.closed();
    expect(await length('wrong')).toBe(before);
  });

  test('of what a connection sends without waiting, so many wait behind the first, and one more is refused', async () => {
    await bystander.ask('m/fetch/odd', { max: 1_000 });
    const poll = head('GET', '/m/fetch/odd?wait_ms=600000');
    probe.write(poll.repeat(LIMITS.httpPipelinedMax) + post('/w/ch/arrived', 'all of them are there'));
    await waitFor(async () => (await bystander.ask('m/stat/arrived')).status === 'ok');
    probe.write(poll);
    // What is written to another connection later is read no earlier.
    web.write(head('GET', '/health'));
    expect((await web.answer()).status).toBe(200);
    const words = Array.from({ length: LIMITS.httpPipelinedMax }, (_, n) => `${n}`);
    web.write(post('/w/ch/odd', words.join('\n'), LINES_BODY));
    expect((await web.answer()).status).toBe(200);
    for (const payload of words) {
      const { status, body } = await probe.answer();
      expect([status, JSON.parse(body).data?.entries]).toMatchObject([200, [{ payload }]]);
    }
    expect((await probe.answer()).status).toBe(200);
    const { status, headers, body } = await probe.answer();
    expect(JSON.parse(body)).toMatchObject({ code: 'SN_ERR_LIMIT' });
    expect([status, headers['retry-after']]).toEqual([429, '1']);
  });

  test('500 requests that come at once are all served, in order', async () => {
    probe.write(Buffer.concat(Array.from({ length: 500 }, (_, n) => post('/w/ch/odd', `at once ${n}`))));
    for (let n = 0; n < 500; n++) expect((await probe.answer()).status).toBe(200);
    const { data } = await bystander.ask('m/fetch/odd', { max: 500 });
    expect(data.entries.map(({ payload }: { payload: string }) => payload)).toEqual(
      Array.from({ length: 500 }, (_, n) => `at once ${n}`),
    );
  });

  test('200 half requests at a time keep nobody waiting', async () => {
    const half = await Promise.all(Array.from({ length: 200 }, () => RawHttp.connect(node.httpUrl)));
    for (const [at, one] of half.entries()) {
      one.write(
        at % 2 === 0 ? 'GET /m/stat HTTP/1.1\r\nX: y' : `${head('POST', '/w/ch/odd', 'Content-Length: 9', GZIP)}x`,
      );
    }
    expect((await ask(post('/w/ch/odd', 'x'))).status).toBe(200);
    for (const one of half) one.kill();
  });

  test('who pings and reads no pong is closed', async () => {
    expect((await ask(upgrade('/m/cmd'))).status).toBe(101);
    probe.socket.pause();
    const pings = Buffer.concat(Array(1_000).fill(frame(9, Buffer.alloc(125))));
    await waitFor(() => {
      if (probe.socket.writableLength < MIB) probe.write(pings);
      return probe.socket.destroyed || probe.socket.errored !== null;
    });
  });

  test('who asks much and reads late gets each answer, in the end', async () => {
    expect((await ask(upgrade('/m/fetch/odd'))).status).toBe(101);
    await bystander.ask('m/fetch/odd', { max: 1_000 });
    for (let n = 0; n < 64; n++) probe.write(frame(1, '{"wait_ms":600000,"transaction":"waits"}'));
    probe.socket.pause();
    const asked = 300;
    for (let n = 0; n < asked; n++) probe.write(frame(1, JSON.stringify({ transaction: 'x'.repeat(60_000) })));
    // Somebody else is served meanwhile.
    for (let n = 0; n < 10; n++) expect((await bystander.ask('m/stat')).status).toBe('ok');
    probe.socket.resume();
    const refused = () => probe.received.toString('latin1').split('"SN_ERR_LIMIT"').length - 1;
    await waitFor(() => probe.received.length > asked * 50_000 && refused() === asked);
  });
});

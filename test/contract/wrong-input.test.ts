import { request as httpRequest } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { encodeField, encodePacket, encodePublish, encodeSubscribe } from '../../src/transport/encode.js';
import { type App, connectApp, NODE_KINDS, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { encodeConnect, RawClient } from '../fixtures/raw-client.js';

const utf8 = (text: string) => Buffer.from(text);
const packet = (header: number, ...parts: Uint8Array[]) => encodePacket(header, parts);
const id = (value: number) => Buffer.of(value >> 8, value & 255);

/** What MQTT 3.1.1 forbids: the connection is closed, and nobody else notices. */
const CLOSING: [string, Buffer][] = [
  ['a second CONNECT [MQTT-3.1.0-2]', encodeConnect({ clientId: 'again' })],
  ['QoS 3 [MQTT-3.3.1-4]', packet(0x36, encodeField('t/x'), id(1), utf8('p'))],
  ['DUP with QoS 0 [MQTT-3.3.1-2]', packet(0x38, encodeField('t/x'))],
  ['packet id 0 [MQTT-2.3.1-1]', packet(0x32, encodeField('t/x'), id(0))],
  ['an empty topic [MQTT-4.7.3-1]', packet(0x30, encodeField(''))],
  ['a wildcard in a topic [MQTT-3.3.2-2]', packet(0x30, encodeField('t/#'))],
  ['a plus in a topic of ours [MQTT-3.3.2-2]', packet(0x30, encodeField('w/ch/a+b'))],
  ['U+0000 in a topic [MQTT-1.5.3-2]', packet(0x30, encodeField('t/\u0000'))],
  ['a control character in a topic', packet(0x30, encodeField('t/\u0007'))],
  ['ill-formed UTF-8 in a topic [MQTT-1.5.3-1]', packet(0x30, encodeField(Buffer.of(0x74, 0xc3, 0x28)))],
  ['a topic longer than its packet', packet(0x30, id(500), utf8('t'))],
  ['reserved flags of SUBSCRIBE [MQTT-3.8.1-1]', packet(0x80, id(1), encodeField('t'), Buffer.of(0))],
  ['an empty SUBSCRIBE [MQTT-3.8.3-3]', packet(0x82, id(1))],
  ['SUBSCRIBE at QoS 3 [MQTT-3.8.3-4]', packet(0x82, id(1), encodeField('t'), Buffer.of(3))],
  ['SUBSCRIBE cut short', packet(0x82, id(1), encodeField('t'))],
  ['a filter with a misplaced # [MQTT-4.7.1-2]', encodeSubscribe(1, [{ filter: 't/#/x', qos: 0 }])],
  ['a filter with half a + [MQTT-4.7.1-3]', encodeSubscribe(1, [{ filter: 't/a+', qos: 0 }])],
  ['an empty UNSUBSCRIBE [MQTT-3.10.3-2]', packet(0xa2, id(1))],
  ['a PUBACK that is too long', packet(0x40, id(1), Buffer.of(0))],
  ['a PUBREL without its reserved flag [MQTT-3.6.1-1]', packet(0x60, id(1))],
  ['a PINGREQ with a body', packet(0xc0, Buffer.of(0))],
  ['a packet only a server sends', packet(0x20, Buffer.of(0, 0))],
  ['a packet of type 0', packet(0x00)],
  ['a packet of type 15', packet(0xf0)],
  ['a remaining length of five bytes [MQTT-2.2.3]', Buffer.of(0x30, 0xff, 0xff, 0xff, 0xff, 0x01)],
  ['a 20 MiB packet, before its body comes', Buffer.of(0x30, 0x80, 0x80, 0x80, 0x0a)],
];

/** First packets, and the CONNACK they get; undefined: closed without one. */
const CONNECTS: [string, Buffer, number | undefined][] = [
  [
    'no CONNECT first [MQTT-3.1.0-1]',
    encodePublish({ topic: 't', payload: utf8(''), qos: 0, retain: false, dup: false, packetId: 0 }),
    undefined,
  ],
  ['another protocol name [MQTT-3.1.2-1]', encodeConnect({ clientId: 'x', protocolName: 'HTTP' }), undefined],
  ['protocol level 9 [MQTT-3.1.2-2]', encodeConnect({ clientId: 'x', protocolLevel: 9 }), 1],
  ['a bridge’s protocol level', encodeConnect({ clientId: 'x', protocolLevel: 0x84 }), 1],
  ['an empty client id with clean=false [MQTT-3.1.3-8]', encodeConnect({ clientId: '', clean: false }), 2],
  [
    'will QoS 3 [MQTT-3.1.2-14]',
    encodeConnect({ clientId: 'x', will: { topic: 't', payload: '', qos: 3 as 2 } }),
    undefined,
  ],
  ['a password without a user name [MQTT-3.1.2-22]', encodeConnect({ clientId: 'x', password: 'p' }), undefined],
  ['a token of nobody', encodeConnect({ clientId: 'x', username: 'host', password: 'snw_nobody' }), 4],
  ['a first packet of 1 MiB', Buffer.of(0x10, 0x80, 0x80, 0x40), undefined],
];

describe.each(NODE_KINDS)('a node as %s, given wrong input', (kind) => {
  let node: TestNode;
  let bystander: App;
  let probe: App;

  beforeAll(async () => {
    node = await startTestNode(kind);
    bystander = await connectApp(node.port);
  });
  beforeEach(async () => {
    probe = await connectApp(node.port);
  });
  afterEach(async () => {
    probe.client.kill();
    // Nothing else is disturbed: the same connection still gets its answers.
    expect((await bystander.ask('m/stat')).status).toBe('ok');
  });
  afterAll(() => node.close());

  test.each(CLOSING)('%s closes the connection', async (_title, bytes) => {
    probe.client.write(bytes);
    await probe.client.closed;
  });

  test.each(CONNECTS)('%s is refused as the standard says', async (_title, bytes, code) => {
    const client = await RawClient.connect(node.port, { clientId: '', sendConnect: false });
    client.write(bytes);
    await client.closed;
    expect(client.connack?.code).toBe(code);
  });

  test('an MQTT 5 client is told in its own language to choose 3.1.1', async () => {
    const client = await RawClient.connect(node.port, { clientId: '', sendConnect: false });
    client.write(packet(0x10, encodeField('MQTT'), Buffer.of(5, 2, 0, 60, 0), encodeField('five')));
    await client.closed;
    const [connack] = client.frames;
    expect([connack?.bytes[0], connack?.bytes[3]]).toEqual([0x20, 0x84]);
    expect(connack?.bytes.includes('3.1.1')).toBe(true);
  });

  const REQUESTS: [string, string, string | Buffer, string][] = [
    ['bad JSON', 'm/cmd', '{', 'SN_ERR_JSON'],
    ['a list instead of an object', 'm/cmd', '[1]', 'SN_ERR_JSON'],
    ['bytes that are no text', 'm/cmd', Buffer.of(0x7b, 0xff), 'SN_ERR_JSON'],
    ['no command', 'm/cmd', '{}', 'SN_ERR_COMMAND_UNKNOWN'],
    ['an unknown command', 'm/cmd', '{"cmd":"__proto__"}', 'SN_ERR_COMMAND_UNKNOWN'],
    ['a command that is a number', 'm/cmd', '{"cmd":7}', 'SN_ERR_COMMAND_UNKNOWN'],
    ['no task id', 'm/cmd', '{"cmd":"stop"}', 'SN_ERR_TASK_ID'],
    ['an id with a slash', 'm/cmd', '{"cmd":"start","task_id":"a/b"}', 'SN_ERR_TASK_ID'],
    ['an id with a plus', 'm/cmd', '{"cmd":"start","task_id":"a+"}', 'SN_ERR_TASK_ID'],
    ['an id with a hash', 'm/cmd', '{"cmd":"start","task_id":"#"}', 'SN_ERR_TASK_ID'],
    ['an id with a control character', 'm/cmd', '{"cmd":"start","task_id":"a\\u0007"}', 'SN_ERR_TASK_ID'],
    ['an id that is a path', 'm/cmd', '{"cmd":"start","task_id":".."}', 'SN_ERR_TASK_ID'],
    ['an id of 65 characters', 'm/cmd', `{"cmd":"start","task_id":"${'a'.repeat(65)}"}`, 'SN_ERR_TASK_ID'],
    ['an unknown task', 'm/cmd', '{"cmd":"stop","task_id":"nobody"}', 'SN_ERR_TASK_UNKNOWN'],
    ['an unknown template', 'm/cmd', '{"cmd":"start","task_id":"x1","worker":"none"}', 'SN_ERR_WORKER_UNKNOWN'],
    [
      'a template named like a prototype member',
      'm/cmd',
      '{"cmd":"start","task_id":"x1","worker":"constructor"}',
      'SN_ERR_WORKER_UNKNOWN',
    ],
    ['any command from afar', 'm/cmd', '{"cmd":"start","task_id":"x1","command":["sh"]}', 'SN_ERR_FORBIDDEN'],
    [
      'an environment from afar',
      'm/cmd',
      '{"cmd":"start","task_id":"x1","worker":"worker","env":{"LD_PRELOAD":"x"}}',
      'SN_ERR_FORBIDDEN',
    ],
    ['an unknown field', 'm/cmd', '{"cmd":"start","task_id":"x1","worker":"worker","heartbeet":1}', 'SN_ERR_REQUEST'],
    ['a field of the wrong type', 'm/cmd', '{"cmd":"start","task_id":"x1","start_params":{}}', 'SN_ERR_REQUEST'],
    [
      'a NUL in the parameters',
      'm/cmd',
      '{"cmd":"start","task_id":"x1","worker":"worker","start_params":"a\\u0000b"}',
      'SN_ERR_REQUEST',
    ],
    [
      'a heartbeat under a second',
      'm/cmd',
      '{"cmd":"start","task_id":"x1","heartbeat_interval":500}',
      'SN_ERR_REQUEST',
    ],
    ['a number out of range', 'm/cmd', '{"cmd":"start","task_id":"x1","queue":{"length":0}}', 'SN_ERR_REQUEST'],
    ['an unknown signal', 'm/cmd', '{"cmd":"signal","task_id":"bystander","sig":"SIGNOPE"}', 'SN_ERR_REQUEST'],
    ['a reply_to elsewhere', 'm/cmd', '{"cmd":"workers","reply_to":"m/data/x"}', 'SN_ERR_REQUEST'],
    ['a fetch of nothing', 'm/fetch/bystander', '{"max":0}', 'SN_ERR_REQUEST'],
    ['a fetch of an unknown task', 'm/fetch/nobody', '', 'SN_ERR_TASK_UNKNOWN'],
    ['a fetch with an unknown field', 'm/fetch', '{"maximum":1}', 'SN_ERR_REQUEST'],
    ['a status of an unknown task', 'm/stat/nobody', '', 'SN_ERR_TASK_UNKNOWN'],
    ['raw bytes for an unknown task', 'm/cmd/nobody', 'x', 'SN_ERR_TASK_UNKNOWN'],
    ['raw bytes for a task without channel', 'm/cmd/bystander', 'x', 'SN_ERR_NO_CHANNEL'],
    [
      'a signal without a process',
      'm/cmd',
      '{"cmd":"signal","task_id":"bystander","sig":"SIGTERM"}',
      'SN_ERR_NOT_RUNNING',
    ],
    ['a topic of the node', 'm/state/bystander', 'ready', 'SN_ERR_FORBIDDEN'],
    ['the replies of others', 'm/reply/x', '{}', 'SN_ERR_FORBIDDEN'],
    ['the commands of a worker', 'w/ch/bystander/cmd', 'x', 'SN_ERR_FORBIDDEN'],
    ['the broker’s own topics', '$SYS/broker/x', 'x', 'SN_ERR_FORBIDDEN'],
    ['an unknown topic below m/', 'm/nothing', 'x', 'SN_ERR_TOPIC'],
    ['a put with a bad id', 'w/ch/.hidden', 'x', 'SN_ERR_TOPIC'],
    ['an unknown level below a worker', 'w/ch/bystander/x/y', 'x', 'SN_ERR_TOPIC'],
    ['a report of no known word', 'w/ch/bystander/state', 'fine', 'SN_ERR_REQUEST'],
    ['a topic 200 levels deep', Array(200).fill('a').join('/'), 'x', 'SN_ERR_TOPIC'],
    ['a topic of ours 200 levels deep', `w/ch/${Array(198).fill('a').join('/')}`, 'x', 'SN_ERR_TOPIC'],
  ];

  test.each(REQUESTS)('%s is answered, and the connection stays', async (_title, topic, payload, code) => {
    await bystander.client.publish('w/ch/bystander', 'x', { qos: 1 });
    expect(await probe.askRaw(topic, payload)).toMatchObject({ status: 'error', code, error: expect.any(String) });
    expect((await probe.ask('m/stat')).status).toBe('ok');
  });

  test('refused filters get 128, the others are granted', async () => {
    const deep = Array(200).fill('a').join('/');
    const { codes } = await probe.client.subscribe('ok/#', '$share/g/x', { filter: 'm/take/#', qos: 1 }, deep, {
      filter: 'ok/2',
      qos: 2,
    });
    expect(codes).toEqual([0, 128, 128, 128, 2]);
    await probe.client.unsubscribe(deep, 'ok/#');
  });

  test('more filters than the limit get 128', async () => {
    for (let round = 0; round < 10; round++) {
      await probe.client.subscribe(...Array.from({ length: 100 }, (_, n) => `many/${round}/${n}`));
    }
    expect((await probe.client.subscribe('one/more')).codes).toEqual([128]);
  });

  test('65 waiting requests of a client are one too many', async () => {
    await bystander.client.publish('w/ch/bystander', 'x', { qos: 1 });
    await bystander.ask('m/fetch/bystander', { max: 10_000 });
    const waiting = Array.from({ length: 64 }, () => probe.ask('m/fetch/bystander', { wait_ms: 60_000 }));
    expect(await probe.ask('m/fetch/bystander', { wait_ms: 60_000 })).toMatchObject({ code: 'SN_ERR_LIMIT' });
    for (const one of waiting) one.catch(() => undefined);
  });

  test('a client id named __proto__ is a client like others', async () => {
    const client = await RawClient.connect(node.port, { clientId: '__proto__', clean: false });
    await client.subscribe({ filter: 'p/#', qos: 1 });
    await bystander.client.publish('p/x', 'hello', { qos: 1 });
    await client.waitForPublishes(1);
    client.kill();
  });

  test('a last will on a topic of the node reaches nobody', async () => {
    await bystander.client.subscribe('m/state/#', 'm/event');
    const will = { topic: 'm/state/forged', payload: '{"state":"ready"}', retain: true };
    const told = () => bystander.client.publishes.some(({ payload }) => payload.includes('last will'));
    // Of refusals only so many a second are told, and the tests before this one made many.
    for (let tries = 0; tries < 30 && !told(); tries++) {
      const forger = await RawClient.connect(node.port, { clientId: 'forger', will });
      forger.kill();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(told()).toBe(true);
    expect(bystander.client.publishes.filter(({ topic }) => topic === 'm/state/forged')).toEqual([]);
  });
});

describe('the web', () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode('daemon');
  });
  afterAll(() => node.close());

  const open = (headers: Record<string, string>, path = '/mqtt') =>
    new Promise<number>((resolve, reject) => {
      const socket = new WebSocket(node.wsUrl.replace('/mqtt', path), 'mqtt', { headers });
      socket.on('open', () => {
        socket.close();
        resolve(101);
      });
      socket.on('unexpected-response', (_request, response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      socket.on('error', reject);
    });

  test('a program without Origin may connect', async () => {
    expect(await open({})).toBe(101);
  });

  test('a page of another site, of another port, and one that rebound a name may not', async () => {
    const { host } = new URL(node.wsUrl);
    expect(await open({ origin: 'https://evil.example' })).toBe(403);
    expect(await open({ origin: 'http://127.0.0.1:1' })).toBe(403);
    expect(await open({ origin: 'http://evil.example', host: 'evil.example' })).toBe(403);
    expect(await open({ origin: 'null' })).toBe(403);
    expect(await open({ origin: `http://${host}` })).toBe(101);
  });

  test('another path is not there', async () => {
    expect(await open({}, '/other')).toBe(404);
    const { hostname, port } = new URL(node.wsUrl);
    const status = await new Promise((resolve) => {
      httpRequest({ hostname, port, path: '/mqtt' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).end();
    });
    expect(status).toBe(426);
  });

  test('a text frame closes the connection [MQTT-6.0.0-1]', async () => {
    const socket = new WebSocket(node.wsUrl, 'mqtt');
    await new Promise((resolve) => socket.on('open', resolve));
    socket.send(encodeConnect({ clientId: 'texter' }));
    await new Promise((resolve) => socket.on('message', resolve));
    const put = { topic: 'w/ch/texted', payload: utf8('x'), qos: 0, retain: false, dup: false, packetId: 0 } as const;
    socket.send(encodePublish(put).toString('latin1'));
    expect(await new Promise((resolve) => socket.on('close', resolve))).toBe(1003);
    const app = await connectApp(node.port);
    expect((await app.ask('m/stat/texted')).code).toBe('SN_ERR_TASK_UNKNOWN');
    app.client.kill();
  });
});

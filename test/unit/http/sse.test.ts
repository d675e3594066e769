import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { Feeds } from '../../../src/http/feeds.js';
import { EventStreams } from '../../../src/http/sse.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';
import { waitFor } from '../../fixtures/wait-for.js';

/** The epoch of `m/event`, and of the first other topic. */
const EVENT = 'secret1';
const OTHER = 'secret2';
const OPENING = `retry: 2000\n: m/event\n\nid: ${EVENT}-0\n\n`;

let clock: VirtualClock;
let feeds: Feeds;
let streams: EventStreams;
let server: Server;
let responses: ServerResponse[];
let clients: Socket[];
/** What the route does. */
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  clock = new VirtualClock();
  feeds = new Feeds({ clock, random: new SeededRandom(1) });
  streams = new EventStreams({ clock, feeds });
  responses = [];
  clients = [];
  answer = open;
  server = createServer((request, response) => {
    responses.push(response);
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  for (const client of clients) client.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function open(request: IncomingMessage, response: ServerResponse, headers: OutgoingHttpHeaders = {}): void {
  const lastEventId = request.headers['last-event-id'];
  const topic = request.url?.slice(1) ?? '';
  const id = typeof lastEventId === 'string' ? lastEventId : undefined;
  streams.open({ topic, lastEventId: id, request, response, headers });
}

interface Client {
  readonly socket: Socket;
  /** All that came. */
  text(): string;
  body(): string;
  readonly closed: Promise<unknown>;
}

/** A client that has asked; it reads unless told otherwise. */
function ask(topic: string, header = ''): Client {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  clients.push(socket);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.write(`GET /${topic} HTTP/1.1\r\nHost: x\r\n${header}\r\n`);
  const body = () => text.slice(text.indexOf('\r\n\r\n') + 4);
  return { socket, text: () => text, body, closed: once(socket, 'close') };
}

async function listener(topic = 'm/event', header = ''): Promise<Client> {
  const before = streams.listeners;
  const client = ask(topic, header);
  await waitFor(() => streams.listeners > before && client.body().includes('retry: 2000'));
  return client;
}

function tell(topic: string, payload: string): void {
  feeds.tell(topic, payload);
  clock.advance(0);
}

const LARGE = 'x'.repeat(100_000);

/** Tells until what this client does not read waits in the node; how many that took. */
async function fill(response: ServerResponse | undefined, from = 1): Promise<number> {
  let told = from - 1;
  while (response?.writableLength === 0) {
    tell('m/log/a', `${++told} ${LARGE}`);
    await turn();
  }
  return told;
}

describe('a stream', () => {
  test('begins at once, and its body is nothing but events', async () => {
    const client = await listener();
    await waitFor(() => client.body() === OPENING);
    tell('m/event', '{"type":"x"}');
    await waitFor(() => client.body() === `${OPENING}id: ${EVENT}-1\ndata: {"type":"x"}\n\n`);
    const [head = ''] = client.text().split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const headers = head.toLowerCase().split('\r\n');
    expect(headers).toEqual(
      expect.arrayContaining([
        'content-type: text/event-stream',
        'cache-control: no-store',
        'x-accel-buffering: no',
        'connection: close',
      ]),
    );
    expect(headers.filter((line) => /^(transfer-encoding|content-length)/.test(line))).toEqual([]);
  });

  test('carries the headers of the app, but its own are its own', async () => {
    const headers = { 'access-control-allow-origin': '*', 'Content-Type': 'text/plain', 'content-length': undefined };
    answer = (request, response) => open(request, response, headers);
    const { text } = await listener();
    expect(text().toLowerCase()).toContain('\r\naccess-control-allow-origin: *\r\n');
    expect(text().match(/content-type: .*/gi)).toEqual(['content-type: text/event-stream']);
    expect(text().toLowerCase()).not.toContain('content-length');
  });

  test('goes on after the last id that its client had', async () => {
    for (const n of [1, 2, 3]) tell('m/event', `${n}`);
    const { body } = await listener('m/event', `Last-Event-ID: ${EVENT}-1\r\n`);
    await waitFor(() => body().endsWith(`\n\nid: ${EVENT}-2\ndata: 2\n\nid: ${EVENT}-3\ndata: 3\n\n`));
    expect(body()).not.toContain('event: gap');
  });

  test('says first that something is missing when the id is unknown', async () => {
    tell('m/event', '1');
    const { body } = await listener('m/event', 'Last-Event-ID: of-another-node\r\n');
    await waitFor(() => body().endsWith('data: 1\n\n'));
    expect(body()).toContain(`: m/event\n\nevent: gap\nid: ${EVENT}-0\ndata: {"missed":null}\n\nid: ${EVENT}-1\n`);
  });

  test('takes an empty last id for none', async () => {
    tell('m/event', '1');
    const { body } = await listener('m/event', 'Last-Event-ID: \r\n');
    await waitFor(() => body().endsWith(`id: ${EVENT}-1\n\n`));
    expect(body()).not.toContain('event: gap');
  });

  test('says each 15 s that it is alive', async () => {
    const { body } = await listener();
    clock.advance(LIMITS.sseHeartbeatMs - 1);
    tell('m/event', '1');
    await waitFor(() => body().endsWith('data: 1\n\n'));
    clock.advance(1);
    await waitFor(() => body().endsWith('data: 1\n\n:\n\n'));
    clock.advance(LIMITS.sseHeartbeatMs);
    await waitFor(() => body().endsWith(':\n\n:\n\n'));
  });
});

describe('a burst', () => {
  test('of more in one turn than is kept reaches whole who reads', async () => {
    const { body } = await listener('m/log/a');
    const many = 2 * LIMITS.feedMessages;
    for (let n = 1; n <= many; n++) feeds.tell('m/log/a', `${n}`);
    clock.advance(0);
    await waitFor(() => body().includes(`\ndata: ${many}\n\n`));
    expect(body()).not.toContain('event: gap');
    expect(body().match(/^data: /gm)).toHaveLength(many);
  });
});

describe('listeners', () => {
  test('are counted, and forgotten with their connection', async () => {
    const [one, two] = [await listener(), await listener('m/log/a')];
    expect(streams.listeners).toBe(2);
    one?.socket.destroy();
    await waitFor(() => streams.listeners === 1);
    two?.socket.end();
    await waitFor(() => streams.listeners === 0);
    // Only the ring of m/log/a waits for its end.
    expect(clock.pending).toBe(1);
  });

  test('are bounded: one more is refused before anything is written', async () => {
    streams = new EventStreams({ clock, feeds, listenersMax: 1 });
    await listener();
    const refused = new Promise((resolve) => {
      answer = (request, response) => {
        try {
          open(request, response);
        } catch (error) {
          resolve({ error, headersSent: response.headersSent });
        }
      };
    });
    ask('m/event');
    expect(await refused).toMatchObject({ error: { code: 'SN_ERR_LIMIT' }, headersSent: false });
    expect(streams.listeners).toBe(1);
  });

  test('that were gone before they were answered are none', async () => {
    const asked = new Promise<void>((resolve) => {
      answer = async (request, response) => {
        client.socket.destroy();
        await once(request.socket, 'close');
        open(request, response);
        resolve();
      };
    });
    const client = ask('m/event');
    await asked;
    expect(streams.listeners).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test('that wait behind another answer of their connection go with it', async () => {
    answer = (request, response) => {
      if (request.url !== '/never') open(request, response);
    };
    const client = ask('never');
    client.socket.write('GET /m/event HTTP/1.1\r\nHost: x\r\n\r\n');
    await waitFor(() => streams.listeners === 1);
    tell('m/event', '1');
    client.socket.destroy();
    await waitFor(() => streams.listeners === 0);
  });
});

describe('a listener that does not read', () => {
  test('holds up nobody, takes a bounded place, and is told later what it missed', async () => {
    const slow = await listener('m/log/a');
    const quick = await listener('m/log/a');
    const [response] = responses;
    slow.socket.pause();
    let told = await fill(response);
    for (let more = 0; more < 40; more++) {
      tell('m/log/a', `${++told} ${LARGE}`);
      await waitFor(() => quick.body().includes(`\nid: ${OTHER}-${told}\n`));
    }
    expect(response?.writableLength).toBeLessThan(3 * LARGE.length);
    expect(quick.body()).not.toContain('event: gap');
    slow.socket.resume();
    await waitFor(() => slow.body().includes(`\nid: ${OTHER}-${told}\n`));
    const got = slow.body().match(/^data: \d+ x+$/gm)?.length ?? 0;
    const missed = Number(/"missed":(\d+)/.exec(slow.body())?.[1]);
    expect(missed).toBeGreaterThan(0);
    expect(got + missed).toBe(told);
  });

  test('is closed once it has taken nothing for 60 s', async () => {
    const slow = await listener('m/log/a');
    slow.socket.pause();
    await fill(responses[0]);
    clock.advance(LIMITS.sseHeartbeatMs);
    clock.advance(LIMITS.sseStalledMs - 1);
    await turn();
    expect(streams.listeners).toBe(1);
    clock.advance(1);
    await waitFor(() => streams.listeners === 0);
  });

  test('has another 60 s once it has taken something', async () => {
    const slow = await listener('m/log/a');
    const [response] = responses;
    slow.socket.pause();
    const told = await fill(response);
    clock.advance(LIMITS.sseHeartbeatMs + LIMITS.sseStalledMs - 1);
    slow.socket.resume();
    await waitFor(() => response?.writableLength === 0);
    slow.socket.pause();
    await fill(response, told + 1);
    clock.advance(LIMITS.sseStalledMs);
    await turn();
    expect(streams.listeners).toBe(1);
    clock.advance(LIMITS.sseHeartbeatMs);
    await waitFor(() => streams.listeners === 0);
  });
});

describe('the end of the node', () => {
  test('ends every stream after its last message, and lets no other begin', async () => {
    const client = await listener();
    const ended = once(client.socket, 'end');
    feeds.tell('m/event', 'the last');
    streams.stop();
    streams.stop();
    await ended;
    await client.closed;
    expect(client.body()).toBe(`${OPENING}id: ${EVENT}-1\ndata: the last\n\n`);
    clock.advance(0);
    await waitFor(() => clock.pending === 0);
    expect(streams.listeners).toBe(0);
    const refused = new Promise((resolve) => {
      answer = (request, response) => {
        try {
          open(request, response);
        } catch (error) {
          resolve(error);
        }
      };
    });
    ask('m/event');
    expect(await refused).toMatchObject({ code: 'SN_ERR_CLOSING' });
  });

  test('waits for a moment only for one that does not read', async () => {
    const slow = await listener('m/log/a');
    slow.socket.pause();
    await fill(responses[0]);
    const gone = new Promise((resolve) => responses[0]?.socket?.once('close', resolve));
    streams.stop();
    clock.advance(LIMITS.sseEndMs);
    await gone;
    clock.advance(LIMITS.feedKeepMs);
    expect(clock.pending).toBe(0);
  });
});

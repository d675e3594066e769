import { expect, test } from 'vitest';
import { Calls } from '../../../src/calls/calls.js';
import { LIMITS } from '../../../src/core/limits.js';
import { taskIdOf } from '../../../src/core/topics.js';
import { Router } from '../../../src/router/router.js';
import { ACK_HEADER, encodePublish } from '../../../src/transport/encode.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import { publishPayloadStart, publishTopicEnd } from '../../../src/transport/publish-packet.js';
import { channelWorld } from '../../fixtures/channel-world.js';
import { SILENT } from '../../fixtures/nodes.js';
import { encodeConnect } from '../../fixtures/raw-client.js';
import { okReply } from '../../fixtures/replies.js';
import { routerPorts } from '../../fixtures/router-ports.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';

const MEBIBYTE = 1_048_576;
const TASK = taskIdOf('llm');

const publish = (topic: string, payload: string | Buffer, qos: 0 | 1 = 0, packetId = 1) =>
  encodePublish({ topic, payload: Buffer.from(payload), qos, retain: false, dup: false, packetId });

function publishesIn(bytes: Buffer): { topic: string; text: string }[] {
  const reader = new FrameReader(100 * MEBIBYTE);
  reader.feed(bytes);
  const found: { topic: string; text: string }[] = [];
  while (reader.next() === 'frame') {
    const { buffer, header, body, end } = reader;
    if (header >> 4 !== 3) continue;
    const topicEnd = publishTopicEnd(buffer, body);
    const text = buffer.toString('utf8', publishPayloadStart(header, topicEnd), end);
    found.push({ topic: buffer.toString('utf8', body + 2, topicEnd), text });
  }
  return found;
}

/** Packet ids of the PUBACKs, in order. */
function acksIn(bytes: Buffer): number[] {
  const reader = new FrameReader(100 * MEBIBYTE);
  reader.feed(bytes);
  const found: number[] = [];
  while (reader.next() === 'frame') {
    if (reader.header === ACK_HEADER.puback) found.push(reader.buffer.readUInt16BE(reader.body));
  }
  return found;
}

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n + 1);

/** A hub with real calls and a real router behind it: a worker, and a caller. */
async function callWorld() {
  const world = channelWorld({ packetBytesMax: 2 * MEBIBYTE });
  const calls = new Calls({
    clock: world.clock,
    random: new SeededRandom(1),
    seats: (taskId) => world.hub.seats(taskId),
  });
  const router = new Router(routerPorts({ calls }), SILENT);
  world.world.answers = calls;
  world.world.handler = router;

  async function client(clientId: string, filter: string, qos: 0 | 1 = 0) {
    const { socket, channel } = world.open();
    socket.push(encodeConnect({ clientId }));
    await world.accept(channel);
    channel.subscriptions.add(filter, qos);
    socket.written.length = 0;
    return { socket, channel };
  }

  const worker = await client('worker', 'w/ch/llm/cmd/#');
  const caller = await client('caller', 'm/reply/#');
  const send = async (socket: typeof worker.socket, ...packets: Buffer[]) => {
    for (const packet of packets) socket.push(packet);
    await world.settled();
  };
  /** Calls, and returns the id that the worker got. */
  const call = async (fields: Record<string, unknown> = {}) => {
    const command = { cmd: 'call', task_id: 'llm', payload: 'go', ...fields };
    await send(caller.socket, publish('m/cmd', JSON.stringify(command)));
    return publishesIn(worker.socket.output).at(-1)?.topic.split('/').at(-1) ?? 'none';
  };
  const answer = (callId: string, kind: '' | '/end' | '/error', payload: string | Buffer = '') =>
    send(worker.socket, publish(`w/ch/llm/reply/${callId}${kind}`, payload));
  const replies = () =>
    publishesIn(caller.socket.output)
      .filter(({ topic }) => topic.startsWith('m/reply'))
      .map(({ text }) => JSON.parse(text));
  const cancels = () => publishesIn(worker.socket.output).filter(({ topic }) => topic.endsWith('/cancel'));

  return { ...world, calls, worker, caller, client, send, call, answer, replies, cancels };
}

test('the parts of an answer come in order, each with the transaction, and the last one says so', async () => {
  const { call, answer, replies } = await callWorld();
  const callId = await call({ transaction: 7 });
  await answer(callId, '', 'Once ');
  await answer(callId, '', Buffer.of(0xff));
  await answer(callId, '/end', 'upon');
  expect(replies()).toEqual([
    { status: 'ok', data: { part: 1, last: false, payload: 'Once ', worker_id: 'worker' }, transaction: 7 },
    { status: 'ok', data: { part: 2, last: false, payload_base64: '/w==', worker_id: 'worker' }, transaction: 7 },
    { status: 'ok', data: { part: 3, last: true, payload: 'upon', worker_id: 'worker' }, transaction: 7 },
  ]);
});

test('an error ends the answer', async () => {
  const { call, answer, replies } = await callWorld();
  const callId = await call();
  await answer(callId, '', 'a');
  await answer(callId, '/error', 'no\u0000 more');
  await answer(callId, '/end', 'late');
  expect(replies()).toMatchObject([
    { status: 'ok', data: { part: 1 } },
    { status: 'error', code: 'SN_ERR_CALL_FAILED', error: 'worker answered: no  more' },
  ]);
});

test('a deadline that passes is the caller’s error and the worker’s cancel', async () => {
  const { clock, call, replies, cancels, settled } = await callWorld();
  const callId = await call({ timeout_ms: 100 });
  clock.advance(100);
  await settled();
  expect(replies()).toMatchObject([{ status: 'error', code: 'SN_ERR_CALL_TIMEOUT' }]);
  expect(cancels()).toEqual([{ topic: `w/ch/llm/cmd/${callId}/cancel`, text: '' }]);
});

test('a caller that disconnects cancels what it asked for', async () => {
  const { calls, call, caller, cancels, settled } = await callWorld();
  await call();
  await call();
  caller.channel.destroy();
  await settled();
  expect(cancels()).toHaveLength(2);
  expect(calls.figures(TASK)).toMatchObject({ inFlight: 0, failed: 2 });
});

test('a worker that leaves fails the calls it had', async () => {
  const { call, worker, replies, settled } = await callWorld();
  await call();
  worker.channel.destroy();
  await settled();
  expect(replies()).toMatchObject([{ code: 'SN_ERR_WORKER_GONE', error: /its connection closed$/ }].map(withPattern));
});

test('a call to a task without workers says so, and holds nothing', async () => {
  const { calls, call, worker, replies, settled } = await callWorld();
  worker.channel.destroy();
  await settled();
  for (let count = 0; count < 2 * LIMITS.requestsPerClientMax; count++) await call();
  expect(replies()).toHaveLength(2 * LIMITS.requestsPerClientMax);
  expect(new Set(replies().map(({ code }) => code))).toEqual(new Set(['SN_ERR_NO_CHANNEL']));
  expect(calls.figures(TASK)).toMatchObject({ inFlight: 0, total: 0 });
});

test('a call counts as one request of its client until its last reply', async () => {
  const { call, answer, replies } = await callWorld();
  const first = await call();
  for (let count = 1; count < LIMITS.requestsPerClientMax; count++) await call();
  await answer(first, '', 'a part');
  await call({ transaction: 'too many' });
  expect(replies()).toMatchObject([{ data: { part: 1 } }, { code: 'SN_ERR_LIMIT', transaction: 'too many' }]);
  await answer(first, '/end');
  await call({ transaction: 'fits again' });
  expect(replies()).toHaveLength(3);
});

test('a net client that answers the call of another is ignored and counted', async () => {
  const { calls, client, call, send, answer, replies } = await callWorld();
  const thief = await client('thief', 'free/topic');
  const callId = await call();
  await send(thief.socket, publish(`w/ch/llm/reply/${callId}/end`, 'stolen'));
  expect(replies()).toEqual([]);
  expect(calls.late).toBe(1);
  await answer(callId, '/end', 'mine');
  expect(replies()).toMatchObject([{ data: { payload: 'mine' } }]);
});

test('an answer on the topics of another task is ignored and counted, also from the connection that was asked', async () => {
  const { calls, worker, call, send, answer, replies } = await callWorld();
  const callId = await call();
  await send(worker.socket, publish(`w/ch/other/reply/${callId}/end`, 'misplaced'));
  expect(replies()).toEqual([]);
  expect(calls.late).toBe(1);
  await answer(callId, '/end', 'mine');
  expect(replies()).toMatchObject([{ data: { payload: 'mine' } }]);
});

test('a flood of answers to calls that are none leaves nothing behind', async () => {
  const { calls, clock, worker, send } = await callWorld();
  const timers = clock.pending;
  const flood = Array.from({ length: 5_000 }, (_, n) => publish(`w/ch/llm/reply/made-up-${n}/end`, 'x', 1, n + 1));
  await send(worker.socket, Buffer.concat(flood));
  expect(calls.late).toBe(5_000);
  expect(worker.channel.destroyed).toBe(false);
  expect(clock.pending).toBe(timers);
});

test('a part of a mebibyte arrives whole', async () => {
  const { call, answer, replies } = await callWorld();
  const callId = await call();
  await answer(callId, '/end', Buffer.alloc(MEBIBYTE, 0xff));
  const [reply] = replies();
  expect(Buffer.from(reply.data.payload_base64, 'base64').equals(Buffer.alloc(MEBIBYTE, 0xff))).toBe(true);
});

/** A caller whose socket takes nothing until `read`. */
async function deafCallWorld(qos: 0 | 1 = 0) {
  const world = await callWorld();
  world.caller.channel.subscriptions.add('m/reply/#', qos);
  const { socket } = world.caller;
  const taking: (() => void)[] = [];
  socket._write = (chunk, _encoding, done) => {
    socket.written.push(chunk);
    taking.push(done);
  };
  const read = async () => {
    for (let rounds = 0; rounds < 50; rounds++) {
      for (const done of taking.splice(0)) done();
      await world.settled();
    }
  };
  return { ...world, read };
}

test.each([0, 1] as const)(
  'at QoS %s the worker’s acknowledgement waits for a caller that does not read',
  async (qos) => {
    const { call, caller, worker, send, read, replies } = await deafCallWorld(qos);
    const callId = await call();
    worker.socket.written.length = 0;
    const part = Buffer.alloc(200_000, 0x61);
    for (let n = 1; n <= 10; n++) await send(worker.socket, publish(`w/ch/llm/reply/${callId}`, part, 1, n));
    expect(caller.channel.outbound.isFull).toBe(true);
    const acked = worker.socket.output.length / 4;
    expect(acked).toBeGreaterThan(0);
    expect(acked).toBeLessThan(5);
    await send(worker.socket, publish(`w/ch/llm/reply/${callId}/end`, 'z', 1, 11));
    await read();
    expect(acksIn(worker.socket.output)).toEqual(upTo(11));
    expect(replies().map(({ data }) => data.part)).toEqual(upTo(11));
  },
);

test('a caller that never reads holds a worker up for a second, then loses its connection and its calls', async () => {
  const { clock, calls, call, caller, worker, send, settled, cancels } = await deafCallWorld();
  const callIds: string[] = [];
  for (let count = 0; count < LIMITS.requestsPerClientMax; count++) callIds.push(await call());
  worker.socket.written.length = 0;
  const part = Buffer.alloc(50_000, 0x61);
  let packetId = 0;
  for (const callId of callIds) await send(worker.socket, publish(`w/ch/llm/reply/${callId}`, part, 1, ++packetId));
  expect(acksIn(worker.socket.output).length).toBeLessThan(callIds.length);
  clock.advance(LIMITS.slowAfterMs + LIMITS.tickMs);
  await settled();
  for (const callId of callIds) await send(worker.socket, publish(`w/ch/llm/reply/${callId}`, part, 1, ++packetId));
  expect(caller.channel.destroyed).toBe(true);
  expect(worker.channel.destroyed).toBe(false);
  expect(cancels()).toHaveLength(callIds.length);
  expect(calls.figures(TASK)).toMatchObject({ inFlight: 0, total: callIds.length, failed: callIds.length });
});

test('a caller that leaves while its worker waits lets the worker go on', async () => {
  const { call, caller, worker, send, settled } = await deafCallWorld();
  const callId = await call();
  worker.socket.written.length = 0;
  const part = Buffer.alloc(200_000, 0x61);
  for (let n = 1; n <= 10; n++) await send(worker.socket, publish(`w/ch/llm/reply/${callId}`, part, 1, n));
  caller.channel.destroy();
  await settled();
  expect(acksIn(worker.socket.output)).toEqual(upTo(10));
});

test('a reply that comes after its client left full is given up, not kept', async () => {
  const { caller, hub, world, send, settled } = await deafCallWorld();
  const delivered: boolean[] = [];
  let answer: () => void = () => undefined;
  const reply = (payload: string) => okReply(payload, (arrived) => delivered.push(arrived));
  world.handler = {
    handle: async (request) => {
      for (let count = 0; count < 10; count++) {
        void request.more(reply('x'.repeat(200_000)));
        await settled();
      }
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return reply('last');
    },
    refuse: () => reply('no'),
  };
  await send(caller.socket, publish('m/stat', ''));
  for (let rounds = 0; rounds < 20; rounds++) await settled();
  expect(caller.channel.outbound.isFull).toBe(true);
  caller.channel.destroy();
  answer();
  await settled();
  expect(delivered).toHaveLength(11);
  expect(delivered.at(-1)).toBe(false);
  expect(hub.connections).toBe(1);
});

test('a worker that floods a caller faster than it reads loses the call, not the node its memory', async () => {
  const { call, caller, worker, send, cancels, replies, read } = await deafCallWorld();
  const callId = await call();
  const part = publish(`w/ch/llm/reply/${callId}`, Buffer.alloc(MEBIBYTE, 0x61));
  for (let n = 0; n < 30; n++) await send(worker.socket, part);
  expect(cancels()).toHaveLength(1);
  expect(caller.channel.destroyed).toBe(false);
  await read();
  expect(replies().at(-1)).toMatchObject({ status: 'error', code: 'SN_ERR_LIMIT' });
});

function withPattern<T extends { error: RegExp }>(expected: T) {
  return { ...expected, error: expect.stringMatching(expected.error) };
}

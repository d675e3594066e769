import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { taskIdOf } from '../../../src/core/topics.js';
import { encodePublish } from '../../../src/transport/encode.js';
import { channelWorld } from '../../fixtures/channel-world.js';
import { encodeConnect } from '../../fixtures/raw-client.js';

const CHILD = taskIdOf('child');
const NET = taskIdOf('net');

const publish = (topic: string, payload: string, qos: 0 | 1 = 1, packetId = 1) =>
  encodePublish({ topic, payload: Buffer.from(payload), qos, retain: false, dup: false, packetId });

function linesWorld() {
  const world = channelWorld();

  /** A connection that holds these filters, of a worker of `child` where an instance is given. */
  async function client(clientId: string, filters: Record<string, 0 | 1 | 2>, instance?: number, generation = 1) {
    const { socket, channel } = world.open();
    if (instance !== undefined) {
      channel.identity = { role: 'worker', taskId: CHILD, instance, generation, heartbeatMs: 0 };
    }
    socket.push(encodeConnect({ clientId }));
    await world.accept(channel);
    for (const [filter, qos] of Object.entries(filters)) channel.subscriptions.add(filter, qos);
    socket.written.length = 0;
    return { socket, channel };
  }

  return { ...world, client };
}

test('a worker takes calls where it subscribed to them, and commands where it subscribed to those', async () => {
  const { hub, client } = linesWorld();
  await client('both', { 'w/ch/child/cmd/#': 1 }, 1);
  await client('commands', { 'w/ch/child/cmd': 1 }, 2);
  await client('calls', { 'w/ch/child/cmd/+': 1 }, 3);
  expect(hub.send(CHILD, Buffer.from('x'))).toBe(2);
  expect(hub.seats(CHILD).map(({ id }) => id)).toEqual(['channel:1', 'channel:3']);
});

test('what is for a process reaches nobody without its token', async () => {
  const { hub, client } = linesWorld();
  await client('stranger', { 'w/ch/child/cmd/#': 1, '#': 1 });
  expect(hub.seats(CHILD)).toEqual([]);
  expect(hub.send(CHILD, Buffer.from('x'))).toBe(0);
});

test('each net client is a worker of its own, and a wide filter takes no calls', async () => {
  const { hub, client } = linesWorld();
  await client('phone', { 'w/ch/net/cmd/#': 1 });
  await client('tablet', { 'w/ch/net/cmd/#': 0 });
  await client('monitor', { '#': 1, 'w/#': 1 });
  expect(hub.seats(NET)).toMatchObject([
    { id: 'channel:1', worker: 'channel:1', name: 'phone' },
    { id: 'channel:2', worker: 'channel:2', name: 'tablet' },
  ]);
});

test('connections of one worker share its name and its burden', async () => {
  const { hub, client, world } = linesWorld();
  world.instances = 2;
  await client('a', { 'w/ch/child/cmd/#': 1 }, 2, 7);
  await client('b', { 'w/ch/child/cmd/#': 1 }, 2, 7);
  expect(hub.seats(CHILD)).toMatchObject([
    { worker: 'child~2:7', name: 'child~2' },
    { worker: 'child~2:7', name: 'child~2' },
  ]);
});

test('a task that refuses commands takes no calls', async () => {
  const { hub, client, world } = linesWorld();
  await client('a', { 'w/ch/child/cmd/#': 1 }, 1);
  world.refusesCommands = true;
  expect(hub.seats(CHILD)).toEqual([]);
  expect(hub.send(CHILD, Buffer.from('x'))).toBe(0);
});

test.each([0, 1, 2] as const)(
  'a call and its cancel go out at the QoS of the subscription %s, at most 1',
  async (qos) => {
    const { hub, client, settled } = linesWorld();
    const { socket } = await client('a', { 'w/ch/child/cmd/#': qos }, 1);
    const [seat] = hub.seats(CHILD);
    expect(seat?.call('k3', Buffer.from('2+2'))).toBe(true);
    seat?.cancel('k3');
    await settled();
    const written = qos === 0 ? 0 : 1;
    expect(socket.output).toEqual(
      Buffer.concat([
        publish('w/ch/child/cmd/k3', '2+2', written, 1),
        publish('w/ch/child/cmd/k3/cancel', '', written, 2),
      ]),
    );
  },
);

test('who listens one level down only is told of no cancel', async () => {
  const { hub, client, settled } = linesWorld();
  const { socket } = await client('a', { 'w/ch/child/cmd/+': 0 }, 1);
  const [seat] = hub.seats(CHILD);
  seat?.cancel('k3');
  await settled();
  expect(socket.output).toHaveLength(0);
});

test('a worker that does not read takes no further call', async () => {
  const { hub, client, settled } = linesWorld();
  const { socket, channel } = await client('a', { 'w/ch/child/cmd/#': 0 }, 1);
  socket._write = () => undefined;
  const [seat] = hub.seats(CHILD);
  const payload = Buffer.alloc(LIMITS.writeSoftBytes);
  let taken = 0;
  while (taken < 20 && seat?.call(`k${taken}`, payload)) taken++;
  await settled();
  expect(channel.outbound.isFull).toBe(true);
  expect(taken).toBeLessThan(20);
  expect(hub.seats(CHILD)).toEqual([]);
});

test('a connection that is over takes no call, and a cancel to it goes nowhere', async () => {
  const { hub, client } = linesWorld();
  const { channel } = await client('a', { 'w/ch/child/cmd/#': 1 }, 1);
  const [seat] = hub.seats(CHILD);
  channel.destroy();
  expect(seat?.call('k3', Buffer.of())).toBe(false);
  seat?.cancel('k3');
  expect(hub.seats(CHILD)).toEqual([]);
});

test('closing what a start of a worker has open leaves its successors and its siblings alone', async () => {
  const { hub, client } = linesWorld();
  const [old, next, sibling] = [
    await client('old', {}, 1, 1),
    await client('next', {}, 1, 2),
    await client('sibling', {}, 2, 1),
  ];
  hub.closeChannels({ taskId: CHILD, instance: 1, generation: 1 });
  expect([old, next, sibling].map(({ channel }) => channel.destroyed)).toEqual([true, false, false]);
});

test('a worker that is accepted but not ready yet is closed as well', async () => {
  const { hub, open } = linesWorld();
  const { channel } = open();
  channel.identity = { role: 'worker', taskId: CHILD, instance: 1, generation: 1, heartbeatMs: 0 };
  hub.closeChannels({ taskId: CHILD, instance: 1, generation: 1 });
  expect(channel.destroyed).toBe(true);
});

test.each([
  ['part', 'w/ch/child/reply/k3'],
  ['end', 'w/ch/child/reply/k3/end'],
  ['error', 'w/ch/child/reply/k3/error'],
])('an answer comes in with its connection: %s', async (kind, topic) => {
  const { client, settled, told } = linesWorld();
  const { socket } = await client('a', {}, 1);
  socket.push(publish(topic, '4'));
  await settled();
  expect(told).toContainEqual({ what: 'answer', detail: ['channel:1', 'k3', kind, '4'] });
});

test('a worker answers for its own task alone', async () => {
  const { client, settled, told } = linesWorld();
  const { socket } = await client('a', {}, 1);
  socket.push(publish('w/ch/other/reply/k3/end', '4'));
  await settled();
  expect(told.filter(({ what }) => what === 'answer')).toEqual([]);
  expect(told).toContainEqual({ what: 'refused', detail: expect.objectContaining({ code: 'SN_ERR_FORBIDDEN' }) });
});

test('a last will answers no call', async () => {
  const { hub, client, told } = linesWorld();
  const { channel } = await client('a', {}, 1);
  expect(hub.will(channel, 'w/ch/child/reply/k3/end', Buffer.from('4'), 1)).toBe(false);
  expect(told.map(({ what }) => what)).not.toContain('answer');
});

test('the acknowledgement of an answer waits as long as its caller has no room', async () => {
  const { client, settled, world } = linesWorld();
  const { socket } = await client('a', {}, 1);
  let room: () => void = () => undefined;
  world.answers = {
    answer: () =>
      new Promise((resolve) => {
        room = resolve;
      }),
    seatGone: () => undefined,
  };
  socket.push(publish('w/ch/child/reply/k3', '4', 1, 9));
  await settled();
  expect(socket.output).toHaveLength(0);
  room();
  await settled();
  expect(socket.output).toEqual(Buffer.of(0x40, 2, 0, 9));
});

test.each([
  [
    'disconnects',
    'its client disconnected',
    (socket: { push(bytes: Buffer): unknown }) => socket.push(Buffer.of(0xe0, 0)),
  ],
  ['loses its connection', 'its connection closed', () => undefined],
])('a worker that %s is a seat that is gone', async (_title, why, leave) => {
  const { client, settled, told } = linesWorld();
  const [worker, phone] = [await client('a', {}, 1), await client('phone', {})];
  for (const { socket, channel } of [worker, phone]) {
    leave(socket);
    await settled();
    channel.destroy();
  }
  await settled();
  const gone = told.filter(({ what }) => what === 'seatGone').map(({ detail }) => detail);
  expect(gone).toEqual([
    ['channel:1', { processBehind: true, why }],
    ['channel:2', { processBehind: false, why }],
  ]);
});

test('the supervisor hears of an end before the callers do', async () => {
  const { client, told } = linesWorld();
  const { channel } = await client('a', {}, 1);
  channel.destroy();
  expect(told.map(({ what }) => what).slice(-2)).toEqual(['down', 'seatGone']);
});

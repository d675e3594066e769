import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { ACK_HEADER, encodeAcks, encodePublish, encodeSubscribe } from '../../../src/transport/encode.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import { channelWorld } from '../../fixtures/channel-world.js';
import { encodeConnect } from '../../fixtures/raw-client.js';

const publish = (topic: string, payload: string, qos: 0 | 1 | 2, packetId: number) =>
  encodePublish({ topic, payload: Buffer.from(payload), qos, retain: false, dup: false, packetId });
const PINGREQ = Buffer.of(0xc0, 0);
const DISCONNECT = Buffer.of(0xe0, 0);

function frameTypes(bytes: Buffer): number[] {
  const reader = new FrameReader(1_000_000);
  reader.feed(bytes);
  const types: number[] = [];
  while (reader.next() === 'frame') types.push(reader.header >> 4);
  expect(reader.pendingBytes).toBe(0);
  return types;
}

async function connected(fields: Partial<Parameters<typeof encodeConnect>[0]> = {}) {
  const world = channelWorld();
  const connection = world.open();
  connection.socket.push(encodeConnect({ clientId: 'c', ...fields }));
  await world.accept(connection.channel);
  connection.toBroker.length = 0;
  connection.socket.written.length = 0;
  return { ...world, ...connection };
}

test('nothing behind CONNECT is acted on before the broker accepted it', async () => {
  const { open, accept, settled, puts } = channelWorld();
  const { socket, channel, toBroker } = open();
  const connect = encodeConnect({ clientId: 'eager' });
  socket.push(Buffer.concat([connect, publish('w/ch/a', 'early', 1, 1), publish('t/x', 'free', 0, 0)]));
  await settled();
  expect(puts).toEqual([]);
  expect(Buffer.concat(toBroker)).toEqual(connect);
  await accept(channel);
  expect(puts).toEqual(['a:early']);
  expect(Buffer.concat(toBroker)).toEqual(Buffer.concat([connect, publish('t/x', 'free', 0, 0)]));
});

test('a live message for a restored session waits behind CONNACK [MQTT-3.2.0-1]', async () => {
  const { open, settled } = channelWorld();
  const { socket, channel } = open();
  socket.push(encodeConnect({ clientId: 'restored', clean: false }));
  await settled();
  channel.write(publish('t/x', 'live', 1, 1));
  channel.write(Buffer.of(0x20, 2, 1, 0));
  await settled();
  expect(frameTypes(socket.output)).toEqual([2, 3]);
});

test('what is ours never reaches the broker, what is free does, byte for byte', async () => {
  const { socket, toBroker, settled, puts, told } = await connected();
  socket.push(publish('w/ch/a', 'one', 1, 1));
  socket.push(publish('m/stat', '{}', 1, 2));
  socket.push(publish('t/x', 'free', 1, 3));
  await settled();
  expect(puts).toEqual(['a:one']);
  expect(told).toContainEqual({ what: 'request', detail: ['stat', '{}'] });
  expect(Buffer.concat(toBroker)).toEqual(publish('t/x', 'free', 1, 3));
});

test('acknowledgements keep the order of the publishes, across commits of ours and answers of the broker', async () => {
  const { socket, channel, settled, commits, world } = await connected();
  world.commitLater = true;
  socket.push(Buffer.concat([publish('w/ch/a', '1', 1, 1), publish('t/x', '2', 1, 2), publish('m/stat', '{}', 1, 3)]));
  await settled();
  channel.write(encodeAcks(ACK_HEADER.puback, [2]));
  await settled();
  expect(socket.output).toHaveLength(0);
  commits[0]?.();
  await settled();
  expect(socket.output).toEqual(encodeAcks(ACK_HEADER.puback, [1, 2, 3]));
});

test('however the bytes are cut, the same is done in the same order', async () => {
  const conversation = Buffer.concat([
    encodeConnect({ clientId: 'cut' }),
    encodeSubscribe(1, [
      { filter: 't/#', qos: 1 },
      { filter: '$share/g/x', qos: 0 },
    ]),
    publish('w/ch/a', 'x'.repeat(300), 1, 2),
    publish('t/x', 'free', 1, 3),
    publish('w/ch/a', 'again', 2, 4),
    encodeAcks(ACK_HEADER.pubrel, [4]),
    PINGREQ,
    publish('w/ch/b', 'last', 0, 0),
    publish('t/y', 'free', 0, 0),
    DISCONNECT,
  ]);
  const run = async (cuts: readonly number[]) => {
    const { open, accept, settled, puts } = channelWorld();
    const { socket, channel, toBroker } = open();
    let from = 0;
    for (const to of [...cuts, conversation.length]) {
      if (to > from) socket.push(conversation.subarray(from, to));
      from = Math.max(from, to);
      if (channel.connect && channel.phase === 'connecting') await accept(channel);
      await settled();
    }
    if (channel.phase === 'connecting') await accept(channel);
    channel.write(encodeAcks(ACK_HEADER.puback, [3]));
    await settled();
    return { puts, toBroker: Buffer.concat(toBroker).toString('hex'), acks: frameTypes(socket.output).sort() };
  };
  const whole = await run([]);
  expect(whole.puts).toHaveLength(3);
  const cuts = fc.array(fc.integer({ min: 1, max: conversation.length - 1 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(cuts, async (at) => {
      expect(await run([...at].sort((a, b) => a - b))).toEqual(whole);
    }),
    { numRuns: 40 },
  );
});

test('a client that does not read is not read from, once a mebibyte of answers waits', async () => {
  const { socket, channel, settled, puts } = await connected();
  // A socket that takes nothing: every write stays.
  socket._write = () => undefined;
  const batch = Buffer.concat(Array.from({ length: 500 }, (_, n) => publish('w/ch/a', 'x', 1, n + 1)));
  for (let round = 0; round < 1_500 && !channel.paused; round++) {
    socket.push(batch);
    await settled();
  }
  expect(channel.paused).toBe(true);
  const taken = puts.length;
  expect(taken * 4).toBeGreaterThan(LIMITS.writeHardBytes);
  expect(taken * 4).toBeLessThan(2 * LIMITS.writeHardBytes);
});

test('a connection too many is closed, and told', async () => {
  const { hub, open, told } = channelWorld();
  for (let count = 0; count < 3; count++) open();
  const { FakeSocket } = await import('../../fixtures/channel-world.js');
  const socket = new FakeSocket();
  expect(hub.open(socket, undefined)).toBeUndefined();
  expect(socket.destroyed).toBe(true);
  expect(told).toMatchObject([{ what: 'refused', detail: { code: 'SN_ERR_LIMIT' } }]);
});

test('silence over 1.5 × its keepalive ends a connection, any packet postpones it [MQTT-3.1.2-24]', async () => {
  const { clock, socket, channel, settled } = await connected({ keepalive: 10 });
  clock.advance(14_900);
  expect(channel.destroyed).toBe(false);
  socket.push(PINGREQ);
  await settled();
  clock.advance(14_900);
  expect(channel.destroyed).toBe(false);
  clock.advance(200);
  expect(channel.destroyed).toBe(true);
});

test('a client that neither reads nor is read from any more is judged silent all the same', async () => {
  const { clock, socket, channel, settled } = await connected({ keepalive: 10 });
  socket._write = () => undefined;
  const batch = Buffer.concat(Array.from({ length: 500 }, (_, n) => publish('w/ch/a', 'x', 1, n + 1)));
  for (let round = 0; round < 1_500 && !channel.paused; round++) {
    socket.push(batch);
    await settled();
  }
  expect(channel.paused).toBe(true);
  clock.advance(15_200);
  expect(channel.destroyed).toBe(true);
});

test('a put alone keeps a connection alive, without the broker knowing', async () => {
  const { clock, socket, channel, settled } = await connected({ keepalive: 1 });
  for (let round = 0; round < 5; round++) {
    clock.advance(1_400);
    socket.push(publish('w/ch/a', 'x', 0, 0));
    await settled();
  }
  expect(channel.destroyed).toBe(false);
});

test('a worker is held to its heartbeat, whatever keepalive it asked for, and told of', async () => {
  const { open, accept, clock, told, worker } = channelWorld();
  const { socket, channel } = open();
  worker(channel, 2_000);
  socket.push(encodeConnect({ clientId: 'w', keepalive: 60 }));
  await accept(channel);
  expect(told).toMatchObject([
    { what: 'up', detail: ['child', '1', { instance: 1, generation: 1 }] },
    { what: 'keepalive_too_long' },
  ]);
  clock.advance(3_200);
  expect(told).toContainEqual({ what: 'down', detail: ['child', '1', 'silent'] });
});

test('when the node itself stood still, silence is forgiven by as much', async () => {
  const { clock, channel } = await connected({ keepalive: 10 });
  clock.advance(14_000);
  // The clock jumps, and one late tick runs: what came meanwhile is still unread in the socket.
  const standstill = 60_000;
  const { now } = clock;
  clock.now = () => now.call(clock) + standstill;
  clock.advance(LIMITS.tickMs);
  expect(channel.destroyed).toBe(false);
  clock.advance(1_200);
  expect(channel.destroyed).toBe(true);
});

test.each([
  ['DISCONNECT', 'lost', 'disconnect', true],
  ['no DISCONNECT', 'lost', 'closed', false],
  ['no DISCONNECT, but a will that says it sleeps', 'sleeping', 'disconnect', false],
])('a net client that ends with %s, will %s, is %s', async (_title, payload, how, polite) => {
  const { socket, channel, told, settled } = await connected({ will: { topic: 'w/ch/net/state', payload } });
  if (polite) socket.push(DISCONNECT);
  await settled();
  channel.destroy();
  await settled();
  expect(told.filter(({ what }) => what === 'up' || what === 'down')).toEqual([
    { what: 'up', detail: ['net', '1', undefined] },
    { what: 'down', detail: ['net', '1', how] },
  ]);
});

test('an acknowledgement out of its flow ends the connection, an unknown one does not', async () => {
  const { socket, channel, settled } = await connected();
  socket.push(encodeAcks(ACK_HEADER.puback, [99]));
  socket.push(encodeAcks(ACK_HEADER.pubcomp, [98]));
  await settled();
  expect(channel.destroyed).toBe(false);
  channel.write(publish('t/x', 'two', 2, 1));
  await settled();
  socket.push(encodeAcks(ACK_HEADER.puback, [1]));
  await settled();
  expect(channel.destroyed).toBe(true);
});

test('a PUBREC for what we do not know is released, so that the client gets its id back', async () => {
  const { socket, settled } = await connected();
  socket.push(encodeAcks(ACK_HEADER.pubrec, [77]));
  await settled();
  expect(socket.output).toEqual(encodeAcks(ACK_HEADER.pubrel, [77]));
});

test('QoS 2 publishes without PUBREL are bounded', async () => {
  const { socket, channel, settled, puts } = await connected();
  for (let id = 1; id <= LIMITS.qos2InFlightMax + 1; id++) socket.push(publish('w/ch/a', 'x', 2, id));
  await settled();
  expect(puts).toHaveLength(LIMITS.qos2InFlightMax);
  expect(channel.destroyed).toBe(true);
});

test('a QoS 2 publish is remembered across connections of one session, and forgotten by a clean one', async () => {
  const { open, accept, settled, puts } = channelWorld();
  const session = async (clean: boolean) => {
    const { socket, channel } = open();
    socket.push(encodeConnect({ clientId: 'stored', clean }));
    await accept(channel);
    socket.push(publish('w/ch/a', 'once', 2, 5));
    await settled();
    channel.destroy();
    await settled();
  };
  await session(false);
  await session(false);
  expect(puts).toHaveLength(1);
  await session(true);
  expect(puts).toHaveLength(2);
});

import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import type { Channel } from '../../../src/transport/channel.js';
import { ACK_HEADER, encodeAcks, encodePublish, encodeSubscribe, PINGRESP } from '../../../src/transport/encode.js';
import { type ChannelWorldOptions, channelWorld } from '../../fixtures/channel-world.js';
import { type ConnectFields, encodeConnect } from '../../fixtures/raw-client.js';

/** Puts that their queue has no room for, and what the client sees of it. */

const PINGREQ = Buffer.of(0xc0, 0);
const DISCONNECT = Buffer.of(0xe0, 0);
const TO_FULL = 'w/ch/full';

const publish = (topic: string, payload: string, qos: 0 | 1 | 2, packetId: number) =>
  encodePublish({ topic, payload: Buffer.from(payload), qos, retain: false, dup: false, packetId });
const puback = (...ids: number[]) => encodeAcks(ACK_HEADER.puback, ids);
const pubrec = (...ids: number[]) => encodeAcks(ACK_HEADER.pubrec, ids);
const idsUpTo = (count: number) => Array.from({ length: count }, (_, at) => at + 1);
/** Puts to the full queue, named by their packet ids. */
const puts = (...ids: number[]) => Buffer.concat(ids.map((id) => publish(TO_FULL, String(id), 1, id)));

function blockedWorld(options: ChannelWorldOptions = {}) {
  const world = channelWorld({ packetBytesMax: LIMITS.packetBytes, ...options });
  world.world.blockedTask = 'full';
  /** @param before Is done with the channel before its CONNECT */
  const connect = async (fields: Partial<ConnectFields> = {}, before?: (channel: Channel) => void) => {
    const connection = world.open();
    before?.(connection.channel);
    connection.socket.push(encodeConnect({ clientId: 'c', ...fields }));
    await world.accept(connection.channel);
    connection.toBroker.length = 0;
    connection.socket.written.length = 0;
    const send = async (bytes: Buffer) => {
      connection.socket.push(bytes);
      await world.settled();
    };
    return { ...connection, send };
  };
  return { ...world, connect, waiting: () => world.line.map(({ name }) => name.slice('full:'.length)) };
}

test.each([
  [1, puback],
  [2, pubrec],
] as const)('a held put at QoS %s is acknowledged when there is room, those behind it after it', async (qos, acks) => {
  const { connect, settled, line, waiting, puts: stored } = blockedWorld();
  const { socket, send } = await connect();
  await send(Buffer.concat([publish(TO_FULL, 'held', qos, 1), publish('w/ch/free', 'taken', qos, 2)]));
  expect(stored).toEqual(['free:taken']);
  expect(waiting()).toEqual(['held']);
  expect(socket.output).toHaveLength(0);
  line[0]?.letIn();
  await settled();
  expect(stored).toEqual(['free:taken', 'full:held']);
  expect(socket.output).toEqual(acks(1, 2));
});

test('what is behind a held put is served: PINGREQ, SUBSCRIBE, PUBACK, DISCONNECT', async () => {
  const { connect, settled } = blockedWorld();
  const { socket, channel, toBroker, send } = await connect();
  let arrived: boolean | undefined;
  channel.publish('m/reply', Buffer.from('x'), 1, (yes) => {
    arrived = yes;
  });
  await settled();
  socket.written.length = 0;
  const subscribe = encodeSubscribe(9, [{ filter: 't', qos: 0 }]);
  await send(Buffer.concat([puts(1), PINGREQ, subscribe, puback(1), DISCONNECT]));
  expect(socket.output).toEqual(PINGRESP);
  expect(arrived).toBe(true);
  expect(Buffer.concat(toBroker)).toEqual(Buffer.concat([subscribe, DISCONNECT]));
});

test('at QoS 0 nothing is held', async () => {
  const { connect, waiting } = blockedWorld();
  const { send, channel } = await connect();
  await send(Buffer.concat(idsUpTo(LIMITS.heldPutsMax + 1).map(() => publish(TO_FULL, 'x', 0, 0))));
  expect(waiting()).toEqual([]);
  expect(channel.paused).toBe(false);
});

test('so many puts are held, then the client is not read from until one of them is done', async () => {
  const { connect, settled, line, waiting } = blockedWorld();
  const { socket, channel, send } = await connect();
  await send(puts(...idsUpTo(LIMITS.heldPutsMax - 1)));
  expect(channel.paused).toBe(false);
  await send(puts(...idsUpTo(LIMITS.heldPutsMax + 2).slice(LIMITS.heldPutsMax - 1)));
  expect(channel.paused).toBe(true);
  expect(waiting()).toEqual(idsUpTo(LIMITS.heldPutsMax).map(String));
  // Not the first one: its acknowledgement must wait, the reading need not.
  line[1]?.letIn();
  await settled();
  expect(socket.output).toHaveLength(0);
  expect(waiting().at(-1)).toBe(String(LIMITS.heldPutsMax + 1));
  expect(channel.paused).toBe(true);
  for (let at = 0; at < 2; at++) line[0]?.letIn();
  await settled();
  expect(channel.paused).toBe(false);
  expect(socket.output).toEqual(puback(1, 2, 3));
});

test('so many bytes are held, then the client is not read from', async () => {
  const { connect, settled, line, waiting } = blockedWorld();
  const { channel, send } = await connect();
  const half = 'x'.repeat(LIMITS.heldPutBytesMax / 2);
  await send(publish(TO_FULL, half, 1, 1));
  expect(channel.paused).toBe(false);
  await send(publish(TO_FULL, half, 1, 2));
  expect(channel.paused).toBe(true);
  await send(puts(3));
  expect(waiting()).toHaveLength(2);
  line[0]?.letIn();
  await settled();
  expect(channel.paused).toBe(false);
  expect(waiting()).toHaveLength(2);
});

test('a client that is not read from hears at each half of its keepalive that we live, and is not judged silent', async () => {
  const { connect, clock, settled, line } = blockedWorld();
  const { socket, channel, send } = await connect({ keepalive: 10 });
  clock.advance(14_000);
  await send(puts(...idsUpTo(LIMITS.heldPutsMax)));
  expect(channel.paused).toBe(true);
  const pings = () => socket.output.length / PINGRESP.length;
  clock.advance(4_900);
  expect(pings()).toBe(0);
  clock.advance(200);
  expect(pings()).toBe(1);
  clock.advance(100_000);
  expect(pings()).toBe(21);
  expect(socket.output).toEqual(Buffer.concat(Array.from({ length: 21 }, () => PINGRESP)));
  expect(channel.destroyed).toBe(false);
  // Once it is read from, its silence counts, from then on.
  socket.written.length = 0;
  line[0]?.letIn();
  await settled();
  expect(channel.paused).toBe(false);
  clock.advance(14_900);
  expect(socket.output).toEqual(puback(1));
  expect(channel.destroyed).toBe(false);
  clock.advance(200);
  expect(channel.destroyed).toBe(true);
});

test('a shortest keepalive is halved as well', async () => {
  const { connect, clock } = blockedWorld();
  const { socket, send } = await connect({ keepalive: 1 });
  clock.advance(LIMITS.idleTickMs / 2);
  await send(puts(...idsUpTo(LIMITS.heldPutsMax)));
  for (let ping = 1; ping <= 10; ping++) {
    clock.advance(500 + LIMITS.leastTickMs);
    expect(socket.output).toHaveLength(ping * PINGRESP.length);
  }
});

test('without a keepalive nobody waits to hear that we live', async () => {
  const { connect, clock } = blockedWorld();
  const { socket, channel, send } = await connect();
  await send(puts(...idsUpTo(LIMITS.heldPutsMax)));
  clock.advance(3_600_000);
  expect(channel.paused).toBe(true);
  expect(socket.output).toHaveLength(0);
});

test('a client with held puts that is read from is told nothing, and is held to its keepalive', async () => {
  const { connect, clock } = blockedWorld();
  const { socket, channel, send } = await connect({ keepalive: 10 });
  await send(puts(1, 2));
  clock.advance(14_900);
  expect(socket.output).toHaveLength(0);
  expect(channel.destroyed).toBe(false);
  clock.advance(200);
  expect(channel.destroyed).toBe(true);
});

test('a worker that is not read from has no heartbeat failure, also when we close it', async () => {
  const { connect, clock, settled, worker, told, world, hub } = blockedWorld();
  world.blockedTask = 'child';
  const { channel, send } = await connect({ keepalive: 60 }, (one) => worker(one, 2_000));
  const batch = idsUpTo(LIMITS.heldPutsMax).map((id) => publish('w/ch/child', 'x', 1, id));
  await send(Buffer.concat(batch));
  expect(channel.paused).toBe(true);
  clock.advance(60_000);
  expect(channel.destroyed).toBe(false);
  hub.stop();
  await settled();
  expect(told).toContainEqual({ what: 'down', detail: ['child', '1', 'disconnect'] });
});

test('a peer that is gone is found by what it is told', async () => {
  const { connect, clock, settled, waiting } = blockedWorld();
  const { socket, channel, send } = await connect({ keepalive: 10 });
  await send(puts(...idsUpTo(LIMITS.heldPutsMax)));
  socket._write = (_chunk, _encoding, done: (error?: Error) => void) => done(new Error('connection reset'));
  clock.advance(5_100);
  await settled();
  expect(channel.destroyed).toBe(true);
  expect(waiting()).toEqual([]);
});

test('the end of a connection gives up what was held, the last first; a QoS 2 one is acted on when it comes again', async () => {
  const { connect, settled, told, line, waiting, puts: stored } = blockedWorld();
  const stores = { clientId: 'stores', clean: false };
  const before = await connect(stores);
  await before.send(Buffer.concat([5, 6, 7].map((id) => publish(TO_FULL, String(id), 2, id))));
  line[0]?.letIn();
  before.channel.destroy();
  await settled();
  expect(told.filter(({ what }) => what === 'givenUp').map(({ detail }) => detail)).toEqual(['full:7', 'full:6']);
  const after = await connect(stores);
  await after.send(Buffer.concat([5, 6, 7].map((id) => publish(TO_FULL, String(id), 2, id))));
  expect(stored).toEqual(['full:5']);
  expect(waiting()).toEqual(['6', '7']);
  while (line.length > 0) line[0]?.letIn();
  await settled();
  expect(stored).toEqual(['full:5', 'full:6', 'full:7']);
  expect(after.socket.output).toEqual(pubrec(5, 6, 7));
});

test('a session that is taken over takes nothing twice: its old connection gives up first', async () => {
  const { connect, line, settled, puts: stored } = blockedWorld();
  const stores = { clientId: 'stores', clean: false };
  await (await connect(stores)).send(publish(TO_FULL, 'once', 2, 5));
  const after = await connect(stores);
  await after.send(publish(TO_FULL, 'once', 2, 5));
  expect(line).toHaveLength(1);
  line[0]?.letIn();
  await settled();
  expect(stored).toEqual(['full:once']);
  expect(after.socket.output).toEqual(pubrec(5));
});

test('a QoS 2 put that comes again on another connection is not acknowledged before its flush', async () => {
  const { connect, settled, world, commits, puts: stored } = blockedWorld();
  world.commitLater = true;
  const stores = { clientId: 'stores', clean: false };
  await (await connect(stores)).send(publish('w/ch/disk', 'once', 2, 5));
  const after = await connect(stores);
  await after.send(publish('w/ch/disk', 'once', 2, 5));
  expect(stored).toEqual(['disk:once']);
  expect(after.socket.output).toHaveLength(0);
  commits[0]?.();
  await settled();
  expect(after.socket.output).toEqual(pubrec(5));
});

test('a QoS 2 publish whose routed copies are not flushed is not acknowledged to another connection either', async () => {
  const {
    connect,
    settled,
    world,
    commits,
    puts: stored,
  } = blockedWorld({ routes: [{ from: 'tele/+', taskId: 'plain' }] });
  world.commitLater = true;
  const stores = { clientId: 'stores', clean: false };
  await (await connect(stores)).send(publish('tele/x', 'once', 2, 5));
  const after = await connect(stores);
  await after.send(publish('tele/x', 'once', 2, 5));
  after.channel.write(pubrec(5));
  await settled();
  expect(stored).toEqual(['plain:once']);
  expect(after.socket.output).toHaveLength(0);
  commits[0]?.();
  await settled();
  expect(after.socket.output).toEqual(pubrec(5));
});

test('a QoS 2 put that comes again while it is held is not put again', async () => {
  const { connect, line, settled, waiting } = blockedWorld();
  const { socket, send } = await connect();
  await send(Buffer.concat([publish(TO_FULL, 'x', 2, 1), publish(TO_FULL, 'x', 2, 1)]));
  expect(waiting()).toEqual(['x']);
  expect(socket.output).toHaveLength(0);
  line[0]?.letIn();
  await settled();
  expect(socket.output).toEqual(pubrec(1, 1));
});

test('after the peer’s end what was read is still worked off, and then what could not get in is given up', async () => {
  const { connect, settled, line, waiting, puts: stored } = blockedWorld();
  const { socket, channel } = await connect();
  let endSeen = false;
  channel.on('end', () => {
    endSeen = true;
  });
  const ids = idsUpTo(LIMITS.heldPutsMax + 2);
  socket.push(Buffer.concat([puts(...ids), publish('w/ch/free', 'last', 1, 100)]));
  socket.push(null);
  await settled();
  expect(waiting()).toHaveLength(LIMITS.heldPutsMax);
  expect(endSeen).toBe(false);
  for (let count = 0; count < 3; count++) line[0]?.letIn();
  await settled();
  expect(stored).toEqual(['full:1', 'full:2', 'full:3', 'free:last']);
  expect(endSeen).toBe(true);
  channel.destroy();
  await settled();
  expect(waiting()).toEqual([]);
});

test('a commit that fails ends the connection, at QoS 0 too', async () => {
  for (const qos of [0, 1, 2] as const) {
    const { connect, settled, world, failures } = blockedWorld();
    world.commitLater = true;
    const { socket, channel, send } = await connect();
    await send(publish('w/ch/disk', 'x', qos, qos));
    failures[0]?.();
    await settled();
    expect(channel.destroyed).toBe(true);
    expect(socket.output).toHaveLength(0);
  }
});

// ------------------------------------------------------------------ routes and last wills

const ROUTES = [
  { from: 'tele/+', taskId: 'full' },
  { from: 'tele/+', taskId: 'plain' },
];

test.each([
  [1, puback],
  [2, pubrec],
] as const)(
  'a routed QoS %s publish is acknowledged when the broker has it and its copies are in',
  async (qos, acks) => {
    const { connect, settled, line, puts: stored } = blockedWorld({ routes: ROUTES });
    const { socket, channel, toBroker, send } = await connect();
    const frame = publish('tele/a', 'x', qos, 1);
    await send(Buffer.concat([frame, publish('w/ch/free', 'y', qos, 2)]));
    expect(Buffer.concat(toBroker)).toEqual(frame);
    expect(stored).toEqual(['plain:x', 'free:y']);
    channel.write(acks(1));
    await settled();
    expect(socket.output).toHaveLength(0);
    line[0]?.letIn();
    await settled();
    expect(socket.output).toEqual(acks(1, 2));
  },
);

test('copies that are in do not make up for the broker, and commits count as well', async () => {
  const { connect, settled, world, commits, puts: stored } = blockedWorld({ routes: ROUTES });
  world.blockedTask = undefined;
  world.commitLater = true;
  const { socket, channel, send } = await connect();
  await send(Buffer.concat([publish('tele/a', 'x', 1, 1), publish('tele/b', 'x', 1, 2)]));
  expect(stored).toHaveLength(4);
  for (const commit of commits) commit();
  channel.write(puback(2));
  await settled();
  expect(socket.output).toHaveLength(0);
  channel.write(puback(1));
  await settled();
  expect(socket.output).toEqual(puback(1, 2));
});

test('held copies count to the bound of the channel, at QoS 0 none is held, and each carries its own QoS', async () => {
  const { connect, told, waiting } = blockedWorld({ routes: ROUTES });
  const { channel, send } = await connect();
  for (const qos of [0, 1, 2] as const) await send(publish('tele/a', 'x', qos, 100 + qos));
  expect(waiting()).toHaveLength(2);
  const copied = told.filter(({ what }) => what === 'put').map(({ detail }) => detail);
  expect(copied).toEqual([0, 1, 2].flatMap((qos) => ['full', 'plain'].map((task) => [`${task}:x`, qos, 'tele/a'])));
  await send(puts(...idsUpTo(LIMITS.heldPutsMax - 2)));
  expect(channel.paused).toBe(true);
});

test('a copy that was given up with its connection is made when the QoS 2 publish comes again', async () => {
  const { connect, settled, line, waiting } = blockedWorld({ routes: [{ from: 'tele/+', taskId: 'full' }] });
  const stores = { clientId: 'stores', clean: false };
  const before = await connect(stores);
  await before.send(Buffer.concat([publish('tele/a', 'in', 2, 1), publish('tele/a', 'out', 2, 2)]));
  line[0]?.letIn();
  await settled();
  before.channel.destroy();
  await settled();
  const after = await connect(stores);
  await after.send(Buffer.concat([publish('tele/a', 'in', 2, 1), publish('tele/a', 'out', 2, 2)]));
  expect(waiting()).toEqual(['out']);
});

test('a last will waits for room like any other put, but not with too many', async () => {
  const { connect, hub, told, line, waiting, settled, puts: stored } = blockedWorld();
  const { channel } = await connect();
  channel.destroy();
  for (let count = 0; count < LIMITS.heldWillsMax + 1; count++) {
    expect(hub.will(channel, TO_FULL, Buffer.from('bye'), 1)).toBe(false);
  }
  expect(waiting()).toHaveLength(LIMITS.heldWillsMax);
  expect(told).toContainEqual({ what: 'refused', detail: expect.objectContaining({ code: 'SN_ERR_LIMIT' }) });
  line[0]?.letIn();
  await settled();
  expect(stored).toEqual(['full:bye']);
  hub.will(channel, TO_FULL, Buffer.from('bye'), 1);
  expect(waiting()).toHaveLength(LIMITS.heldWillsMax);
});

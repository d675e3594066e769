import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { taskIdOf } from '../../../src/core/topics.js';
import { ACK_HEADER, encodeAcks, encodeSubscribe, encodeUnsubscribe } from '../../../src/transport/encode.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import type { EntrySource } from '../../../src/transport/ports.js';
import {
  publishDup,
  publishPacketId,
  publishPayloadStart,
  publishQos,
  publishTopicEnd,
} from '../../../src/transport/publish-packet.js';
import { channelWorld, TAKE_PREFETCH } from '../../fixtures/channel-world.js';
import { type ConnectFields, encodeConnect } from '../../fixtures/raw-client.js';

/** What a client that takes by subscription keeps across its connections. */

const FILTER = 'm/take/q';
const STORED = { clientId: 'stored', clean: false } as const;
const ALL = TAKE_PREFETCH + 2;

/** A queue that gives what it has, and writes down what becomes of it. */
class Entries implements EntrySource {
  readonly ready: string[];
  readonly settled: string[] = [];
  readonly givenBack: string[] = [];
  /** Of all who were ever given entries. */
  readonly #serve: (() => void)[] = [];

  constructor(...payloads: string[]) {
    this.ready = payloads;
  }

  consume({ prefetch, push }: Parameters<EntrySource['consume']>[0]) {
    let inFlight = 0;
    let state: 'on' | 'paused' | 'ended' = 'on';
    const serve = () => {
      while (state === 'on' && inFlight < prefetch) {
        const payload = this.ready.shift();
        if (payload === undefined) return;
        inFlight += 1;
        push({ taskId: taskIdOf('q'), payload: Buffer.from(payload) }, (arrived) => {
          inFlight -= 1;
          (arrived ? this.settled : this.givenBack).push(payload);
          serve();
        });
      }
    };
    this.#serve.push(serve);
    serve();
    return {
      pause: () => {
        state = 'paused';
      },
      goOn: () => {
        state = 'on';
        serve();
      },
      end: () => {
        state = 'ended';
      },
    };
  }

  /** What was given back can be taken again. */
  returned(): void {
    this.ready.unshift(...this.givenBack.splice(0));
    for (const serve of this.#serve) serve();
  }
}

interface Taken {
  readonly payload: string;
  readonly packetId: number;
  readonly dup: boolean;
  readonly qos: number;
}

function takenIn(bytes: Buffer): Taken[] {
  const reader = new FrameReader(1_000_000);
  reader.feed(bytes);
  const taken: Taken[] = [];
  while (reader.next() === 'frame') {
    const { buffer, header, body, end } = reader;
    if (header >> 4 !== 3) continue;
    const topicEnd = publishTopicEnd(buffer, body);
    expect(buffer.toString('utf8', body + 2, topicEnd)).toMatch(/^m\/take\/q/);
    const payload = buffer.toString('utf8', publishPayloadStart(header, topicEnd), end);
    const packetId = publishPacketId(buffer, header, topicEnd);
    taken.push({ payload, packetId, dup: publishDup(header), qos: publishQos(header) });
  }
  return taken;
}

function takesWorld(entries = new Entries(...Array.from({ length: ALL }, (_, at) => String(at + 1)))) {
  const world = channelWorld();
  world.world.entries = entries;
  const connect = async (fields: ConnectFields = STORED) => {
    const connection = world.open();
    const send = async (bytes: Buffer) => {
      connection.socket.push(bytes);
      await world.settled();
    };
    await send(encodeConnect(fields));
    await world.accept(connection.channel);
    return {
      ...connection,
      send,
      taken: () => takenIn(connection.socket.output),
      payloads: () => takenIn(connection.socket.output).map(({ payload }) => payload),
      subscribe: (qos: 0 | 1 = 1) => send(encodeSubscribe(1, [{ filter: FILTER, qos }])),
      ack: (...ids: number[]) => send(encodeAcks(ACK_HEADER.puback, ids)),
      drop: async () => {
        connection.channel.destroy();
        await world.settled();
      },
    };
  };
  /** A client that took its fill and acknowledged the second of it, so that it has 1, 3, 4, 5. */
  const dropped = async (fields: ConnectFields = STORED) => {
    const client = await connect(fields);
    await client.subscribe();
    expect(client.payloads()).toEqual(['1', '2', '3', '4']);
    await client.ack(2);
    expect(client.payloads()).toEqual(['1', '2', '3', '4', '5']);
    await client.drop();
    return client;
  };
  return { ...world, entries, connect, dropped };
}

const again = (payload: string, packetId: number) => ({ payload, packetId, dup: true, qos: 1 });
const anew = (payload: string, packetId: number) => ({ payload, packetId, dup: false, qos: 1 });
const UNSETTLED = ['1', '3', '4', '5'];

test('a stored session that comes back in time gets what it had again: in order, same ids, DUP [MQTT-4.4.0-1]', async () => {
  const { connect, dropped, clock, entries } = takesWorld();
  await dropped();
  clock.advance(LIMITS.takeResumeMs - 1);
  expect(entries.givenBack).toEqual([]);
  const { taken, ack } = await connect();
  // Nothing new: it has its fill.
  expect(taken()).toEqual([again('1', 1), again('3', 3), again('4', 4), again('5', 5)]);
  await ack(1, 4);
  expect(entries.settled).toEqual(['2', '1', '4']);
  expect(taken().slice(4)).toEqual([anew('6', 6)]);
  clock.advance(LIMITS.takeResumeMs);
  expect(entries.givenBack).toEqual([]);
});

test('a repeated SUBSCRIBE after it is no second fill, and may change the QoS of what is to come', async () => {
  const { connect, dropped } = takesWorld();
  await dropped();
  const { taken, ack, subscribe } = await connect();
  await subscribe(0);
  expect(taken()).toHaveLength(4);
  await ack(1);
  expect(taken().slice(4)).toEqual([{ payload: '6', packetId: 0, dup: false, qos: 0 }]);
});

test('one that does not come back in time loses it, in order; later it takes anew', async () => {
  const { connect, dropped, clock, entries, settled } = takesWorld();
  await dropped();
  clock.advance(LIMITS.takeResumeMs);
  expect(entries.givenBack).toEqual(UNSETTLED);
  entries.returned();
  await settled();
  expect(entries.ready).toEqual([...UNSETTLED, '6']);
  const { taken } = await connect();
  expect(taken()).toEqual([anew('1', 6), anew('3', 7), anew('4', 8), anew('5', 9)]);
});

test('an acknowledgement that comes too late does nothing', async () => {
  const { connect, dropped, clock, entries } = takesWorld();
  await dropped();
  clock.advance(LIMITS.takeResumeMs);
  const { channel, ack } = await connect();
  await ack(1, 3);
  expect(entries.settled).toEqual(['2']);
  expect(channel.destroyed).toBe(false);
});

test('without a stored session it is given back at once', async () => {
  const { dropped, entries } = takesWorld();
  await dropped({ clientId: 'clean' });
  expect(entries.givenBack).toEqual(UNSETTLED);
});

test('a second drop has its full time again', async () => {
  const { connect, dropped, clock, entries } = takesWorld();
  await dropped();
  clock.advance(LIMITS.takeResumeMs - 1);
  await (await connect()).drop();
  clock.advance(LIMITS.takeResumeMs - 1);
  expect(entries.givenBack).toEqual([]);
  clock.advance(1);
  expect(entries.givenBack).toEqual(UNSETTLED);
});

test('a connection that never becomes ready neither ends nor prolongs the time', async () => {
  const { open, dropped, clock, entries, settled } = takesWorld();
  await dropped();
  clock.advance(LIMITS.takeResumeMs - 1);
  for (const isAccepted of [false, true]) {
    const { socket, channel } = open();
    socket.push(encodeConnect(STORED));
    await settled();
    if (isAccepted) channel.write(Buffer.of(0x20, 2, 0, 0));
    await settled();
    channel.destroy();
    await settled();
  }
  expect(entries.givenBack).toEqual([]);
  clock.advance(1);
  expect(entries.givenBack).toEqual(UNSETTLED);
});

test('while it is away it is given nothing new', async () => {
  const { connect, entries } = takesWorld(new Entries('1'));
  const { subscribe, drop } = await connect();
  await subscribe();
  await drop();
  entries.ready.push('2');
  entries.returned();
  expect(entries.ready).toEqual(['2']);
  expect((await connect()).taken()).toEqual([again('1', 1), anew('2', 2)]);
});

test('a CONNECT with its client id that is not accepted takes nothing from it', async () => {
  const { connect, open, settled, entries } = takesWorld();
  const { subscribe, ack, payloads } = await connect();
  await subscribe();
  const { socket, channel } = open();
  socket.push(encodeConnect(STORED));
  await settled();
  channel.destroy();
  await settled();
  await ack(1);
  expect(payloads()).toEqual(['1', '2', '3', '4', '5']);
  expect(entries.givenBack).toEqual([]);
});

test('a SUBSCRIBE that comes before the session is restored gives nothing new before what was kept', async () => {
  const { open, dropped, settled } = takesWorld();
  await dropped();
  const { socket, channel } = open();
  socket.push(Buffer.concat([encodeConnect(STORED), encodeSubscribe(1, [{ filter: 'm/take/q/other', qos: 1 }])]));
  await settled();
  channel.write(Buffer.of(0x20, 2, 0, 0));
  await settled();
  channel.resumeAfterConnack();
  await settled();
  expect(takenIn(socket.output)).toEqual([]);
  channel.becomeReady();
  await settled();
  expect(takenIn(socket.output).map(({ payload }) => payload)).toEqual([...UNSETTLED, '6']);
});

test('a client that takes over its own living session goes on with what it had', async () => {
  const { connect, entries } = takesWorld();
  const before = await connect();
  await before.subscribe();
  const after = await connect();
  expect(before.channel.destroyed).toBe(true);
  expect(after.taken()).toEqual([again('1', 1), again('2', 2), again('3', 3), again('4', 4)]);
  expect(entries.givenBack).toEqual([]);
});

test('a clean session in its place gives it back at once, also over a living one', async () => {
  for (const isDropped of [true, false]) {
    const { connect, entries, dropped } = takesWorld();
    if (isDropped) await dropped();
    else await (await connect()).subscribe();
    const { taken } = await connect({ clientId: STORED.clientId });
    expect(entries.givenBack).toEqual(isDropped ? UNSETTLED : ['1', '2', '3', '4']);
    expect(taken()).toEqual([]);
  }
});

test('a session that is pushed out by others gives it back: at once, or with its connection', async () => {
  for (const isDropped of [true, false]) {
    const { connect, entries, dropped, hub } = takesWorld();
    const client = isDropped ? await dropped() : await connect();
    if (!isDropped) await client.subscribe();
    for (let count = 0; count < LIMITS.sessionsMax; count++) {
      const id = `other-${count}`;
      hub.sessions.keep(id, hub.sessions.find(id));
    }
    expect(entries.givenBack).toEqual(isDropped ? UNSETTLED : []);
    await client.drop();
    expect(entries.givenBack).toEqual(isDropped ? UNSETTLED : ['1', '2', '3', '4']);
  }
});

test('what was sent before an UNSUBSCRIBE comes again as well, and nothing new', async () => {
  const { connect, entries } = takesWorld();
  const before = await connect();
  await before.subscribe();
  await before.send(encodeUnsubscribe(2, [FILTER]));
  await before.drop();
  const { taken, ack } = await connect();
  expect(taken()).toEqual([again('1', 1), again('2', 2), again('3', 3), again('4', 4)]);
  await ack(1, 2, 3, 4);
  expect(entries.settled).toEqual(['1', '2', '3', '4']);
  expect(taken()).toHaveLength(4);
});

test('a reply is not resumed', async () => {
  const { connect, settled } = takesWorld();
  const { channel, drop } = await connect();
  const arrived: boolean[] = [];
  channel.publish(FILTER, Buffer.from('reply'), 1, (yes) => arrived.push(yes));
  await settled();
  await drop();
  expect(arrived).toEqual([false]);
  expect((await connect()).taken()).toEqual([]);
});

test('at QoS 0 nothing is kept', async () => {
  const { connect, entries, clock } = takesWorld();
  const { subscribe, drop } = await connect();
  await subscribe(0);
  expect(entries.settled).toHaveLength(ALL);
  await drop();
  expect((await connect()).taken()).toEqual([]);
  clock.advance(LIMITS.takeResumeMs);
  expect(entries.givenBack).toEqual([]);
});

test('a session with nothing unsettled leaves no timer behind, and takes on when it comes back', async () => {
  const { connect, entries, clock } = takesWorld(new Entries('1'));
  const { subscribe, ack, drop } = await connect();
  await subscribe();
  await ack(1);
  const timers = clock.pending;
  await drop();
  expect(clock.pending).toBe(timers);
  entries.ready.push('2');
  expect((await connect()).taken()).toEqual([anew('2', 2)]);
});

test('when the node stops, all is given back', async () => {
  const { dropped, hub, entries, clock } = takesWorld();
  await dropped();
  hub.stop();
  expect(entries.givenBack).toEqual(UNSETTLED);
  expect(clock.pending).toBe(0);
});

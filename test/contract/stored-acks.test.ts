import { Aedes } from 'aedes';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodePublish } from '../../src/transport/encode.js';
import type { Qos } from '../../src/transport/packet-type.js';
import { FakeDisk } from '../fixtures/fake-disk.js';
import { lastingOn } from '../fixtures/lasting.js';
import { startTestPlugin, type TestNode } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';
import { waitFor } from '../fixtures/wait-for.js';

/** What the broker acknowledges is on the disk by then, where it has one. */
describe('a broker that keeps what it acknowledges', () => {
  let disk: FakeDisk;
  let node: TestNode;
  let publisher: RawClient;
  let listener: RawClient;

  beforeEach(async () => {
    disk = new FakeDisk();
    const persistence = await lastingOn(disk);
    node = await startTestPlugin({}, await Aedes.createBroker({ persistence }));
    const stored = await RawClient.connect(node.port, { clientId: 'stored', clean: false });
    await stored.subscribe({ filter: 'kept/#', qos: 2 });
    await stored.disconnect();
    listener = await RawClient.connect(node.port, { clientId: 'listener' });
    await listener.subscribe('kept/#', 'free/#');
    publisher = await RawClient.connect(node.port, { clientId: 'publisher' });
    await persistence.flushed();
    disk.byHand = true;
  });

  afterEach(async () => {
    disk.byHand = false;
    disk.finish();
    await node.close();
  });

  function send(topic: string, packetId: number, options: { qos?: Qos; retain?: boolean; dup?: boolean } = {}): void {
    const { qos = 1, retain = false, dup = false } = options;
    publisher.write(encodePublish({ topic, payload: Buffer.from('x'), qos, retain, dup, packetId }));
  }
  const heard = (topic: string, times = 1) =>
    waitFor(() => listener.publishes.filter((frame) => frame.topic === topic).length === times);
  const acks = () =>
    publisher.frames.flatMap((frame) =>
      'packetId' in frame && frame.type !== 'publish' ? [`${frame.type} ${frame.packetId}`] : [],
    );
  const acknowledged = (ack: string) => waitFor(() => acks().includes(ack));
  const writing = () => waitFor(() => disk.isWriting);

  test.each<[string, string, { qos: Qos; retain?: boolean }, string]>([
    ['kept for a session', 'kept/a', { qos: 1 }, 'puback 1'],
    ['retained', 'free/a', { qos: 1, retain: true }, 'puback 1'],
    ['kept for a session at QoS 2', 'kept/a', { qos: 2 }, 'pubrec 1'],
    ['at QoS 2', 'free/a', { qos: 2 }, 'pubrec 1'],
  ])('what is %s is delivered at once, and acknowledged when it is on the disk', async (_name, topic, options, ack) => {
    send(topic, 1, options);
    await heard(topic);
    await writing();
    await publisher.ping();
    expect(acks()).toEqual([]);
    disk.finish();
    await acknowledged(ack);
  });

  test('what nobody keeps waits for nothing but its place in line', async () => {
    send('free/a', 1);
    await acknowledged('puback 1');
    send('kept/a', 2);
    send('free/b', 3);
    await heard('free/b');
    await writing();
    expect(acks()).toEqual(['puback 1']);
    disk.finish();
    await acknowledged('puback 3');
    expect(acks()).toEqual(['puback 1', 'puback 2', 'puback 3']);
  });

  test('a disk that cannot be written keeps the acknowledgement waiting, nobody else, and is tried again', async () => {
    send('kept/a', 1);
    await writing();
    disk.fail();
    await heard('kept/a');
    send('free/a', 0, { qos: 0 });
    await heard('free/a');
    await writing();
    disk.fail();
    await publisher.ping();
    expect(acks()).toEqual([]);
    disk.byHand = false;
    await acknowledged('puback 1');
    const again = await lastingOn(disk.survivor(false));
    expect(await again.outgoingStream({ id: 'stored' }).toArray()).toMatchObject([{ topic: 'kept/a' }]);
  });

  test('a SUBACK of a stored session comes when it is on the disk, or the disk is in trouble', async () => {
    const late = await RawClient.connect(node.port, { clientId: 'late', clean: false });
    const first = late.subscribe({ filter: 'kept/#', qos: 1 });
    await writing();
    await late.ping();
    expect(late.frames.some(({ type }) => type === 'suback')).toBe(false);
    disk.fail();
    await first;
    await late.subscribe({ filter: 'other', qos: 1 });
    disk.byHand = false;
  });

  test('a repetition at QoS 2 is answered, not published again, and holds up nothing behind it', async () => {
    send('kept/a', 5, { qos: 2 });
    await heard('kept/a');
    send('kept/a', 5, { qos: 2, dup: true });
    send('free/a', 0, { qos: 0 });
    send('free/b', 6);
    await heard('free/b');
    disk.byHand = false;
    disk.finish();
    await acknowledged('puback 6');
    await acknowledged('pubcomp 5');
    expect(listener.publishes.map(({ topic }) => topic)).toEqual(['kept/a', 'free/a', 'free/b']);
    // Released: this id is a new message.
    send('kept/b', 5, { qos: 2 });
    await heard('kept/b');
  });
});

import { expect, test } from 'vitest';
import { encodePublish } from '../../../src/transport/encode.js';
import { channelWorld } from '../../fixtures/channel-world.js';
import { encodeConnect } from '../../fixtures/raw-client.js';

const put = (packetId: number) =>
  encodePublish({ topic: 'w/ch/a', payload: Buffer.from('x'), qos: 1, retain: false, dup: false, packetId });
const PINGREQ = Buffer.of(0xc0, 0);

test('bytes and packets are counted both ways, acknowledgements that leave together one by one', async () => {
  const { hub, open, accept, settled } = channelWorld();
  const { socket, channel } = open();
  const connect = encodeConnect({ clientId: 'c' });
  socket.push(connect);
  await accept(channel);
  const sent = Buffer.concat([put(1), put(2), put(3), PINGREQ]);
  socket.push(sent);
  await settled();
  channel.publish('m/reply', Buffer.from('hi'), 0, () => undefined);
  await settled();
  expect(hub.traffic).toEqual({
    bytesReceived: connect.length + sent.length,
    bytesSent: socket.output.length,
    // CONNECT, three PUBLISH, PINGREQ; CONNACK, three PUBACK, PINGRESP, PUBLISH.
    messagesReceived: 5,
    messagesSent: 6,
    publishesReceived: 3,
    publishesSent: 1,
    connectionsOpened: 1,
    connectionsPeak: 1,
  });
});

test('connections that are gone stay counted, and so does the most there were at a time', async () => {
  const { hub, open, settled } = channelWorld({ connectionsMax: 2 });
  const [first, second] = [open(), open()];
  expect(() => open()).toThrow('too many');
  first.channel.close('ours');
  second.channel.close('ours');
  await settled();
  open();
  expect([hub.connections, hub.traffic.connectionsOpened, hub.traffic.connectionsPeak]).toEqual([1, 3, 2]);
});

test('filters of those who are connected are counted, takes included', async () => {
  const { hub, open } = channelWorld();
  const { channel } = open();
  channel.subscriptions.add('tele/#', 1);
  channel.session.takes.set('m/take/a', { filter: 'm/take/a', qos: 1 });
  expect(hub.subscriptions).toBe(2);
  channel.close('ours');
  expect(hub.subscriptions).toBe(0);
});

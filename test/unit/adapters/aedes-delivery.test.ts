import type { Client } from 'aedes';
import { expect, test } from 'vitest';
import { guardDelivery } from '../../../src/adapters/aedes-delivery.js';
import { channelWorld } from '../../fixtures/channel-world.js';

/** The private parts of an Aedes client, and what it would have written. */
function guarded() {
  const { channel } = channelWorld().open();
  const delivered: string[] = [];
  const deliver = ({ topic, payload }: { topic: string; payload: string }) => delivered.push(`${topic} ${payload}`);
  const client = {
    deliver0: deliver,
    deliverQoS: deliver as (packet: never, done: () => void) => void,
    duplicates: {},
    _nextId: 7,
  };
  const known = guardDelivery(
    client as unknown as Client,
    channel,
    (topic) => topic.startsWith('m/'),
    () => undefined,
  );
  channel.subscriptions.add('#', 1);
  let counter = 0;
  const send = (topic: string, payload: string, stored: boolean) => {
    const source = stored ? { brokerId: null, retain: true } : { brokerId: 'b', retain: false };
    client.deliverQoS({ topic, payload, qos: 0, brokerCounter: ++counter, ...source } as never, () => undefined);
  };
  return { channel, client, delivered, known, send };
}

test('a retained state that a newer live one overtook is not delivered after it', () => {
  const { delivered, known, send } = guarded();
  expect(known).toBe(true);
  send('m/state/a', 'ready', false);
  send('m/state/a', 'starting', true);
  send('m/state/b', 'ready', true);
  expect(delivered).toEqual(['m/state/a ready', 'm/state/b ready']);
});

test('a new SUBSCRIBE gets what is retained again', () => {
  const { channel, delivered, send } = guarded();
  send('m/state/a', 'ready', false);
  channel.heardLive.clear();
  send('m/state/a', 'ready', true);
  expect(delivered).toHaveLength(2);
});

test('on topics of others a live message says nothing about the retained one', () => {
  const { delivered, send } = guarded();
  send('plant/x', 'live', false);
  send('plant/x', 'kept', true);
  expect(delivered).toEqual(['plant/x live', 'plant/x kept']);
});

test('packet ids come from the channel', () => {
  const { channel, client } = guarded();
  expect(client._nextId).toBe(1);
  client._nextId++;
  expect(channel.session.ids.peek()).toBe(2);
});

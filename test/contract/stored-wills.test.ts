import { Aedes } from 'aedes';
import { expect, onTestFinished, test } from 'vitest';
import { FakeDisk } from '../fixtures/fake-disk.js';
import { lastingOn } from '../fixtures/lasting.js';
import { startTestPlugin } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';

/** Aedes looks for wills of brokers that are gone each fourth heartbeat. */
const HEARTBEAT_MS = 25;

async function start(disk: FakeDisk, heartbeatInterval?: number) {
  const persistence = await lastingOn(disk);
  const options = heartbeatInterval === undefined ? {} : { heartbeatInterval };
  const node = await startTestPlugin({}, await Aedes.createBroker({ persistence, ...options }));
  onTestFinished(() => node.close());
  return { node, persistence };
}

test('a last will outlives a killed node, unless its client comes back first', async () => {
  const disk = new FakeDisk();
  const first = await start(disk);
  const will = (name: string) => ({ topic: `wills/${name}`, payload: 'dead' });
  for (const clientId of ['gone', 'back', 'node']) {
    const topic = clientId === 'node' ? 'm/state/x' : `wills/${clientId}`;
    await RawClient.connect(first.node.port, { clientId, will: { ...will(clientId), topic } });
  }
  await first.persistence.flushed();
  const killed = disk.survivor(false);

  const second = await start(killed, HEARTBEAT_MS);
  const back = await RawClient.connect(second.node.port, { clientId: 'back', will: will('back') });
  const watching = await RawClient.connect(second.node.port, { clientId: 'watching' });
  await watching.subscribe('wills/#', 'm/state/x');
  await watching.waitForPublishes(1);
  // The next look finds nothing more.
  await back.ping();
  back.kill();
  await watching.waitForPublishes(2);
  expect(watching.publishes.map(({ topic }) => topic)).toEqual(['wills/gone', 'wills/back']);
});

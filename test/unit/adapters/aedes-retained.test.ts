import { Aedes } from 'aedes';
import { expect, onTestFinished, test } from 'vitest';
import { RetainedCount } from '../../../src/adapters/aedes-retained.js';

async function newBroker() {
  const broker = await Aedes.createBroker();
  onTestFinished(() => new Promise<void>((resolve) => broker.close(resolve)));
  const retain = (topic: string, payload: string) =>
    new Promise<void>((resolve, reject) =>
      broker.publish(
        { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 0, retain: true, dup: false },
        (error?: Error) => (error ? reject(error) : resolve()),
      ),
    );
  return { broker, retain };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('retained messages are counted by topic, those that were there and those that come, until they are cleared', async () => {
  const { broker, retain } = await newBroker();
  await retain('before', 'x');
  const count = new RetainedCount(broker);
  const stop = count.start();
  await turn();
  expect(count.size).toBe(1);
  for (const payload of ['1', '2']) await retain('tele/a', payload);
  await retain('tele/b', '1');
  expect(count.size).toBe(3);
  await retain('before', '');
  await retain('never/there', '');
  expect(count.size).toBe(2);
  stop();
  await retain('tele/c', '1');
  expect(count.size).toBe(2);
});

test('what the broker tells about itself does not count', async () => {
  const { broker, retain } = await newBroker();
  const count = new RetainedCount(broker);
  onTestFinished(count.start());
  await retain('$SYS/broker/uptime', '1 seconds');
  await turn();
  expect(count.size).toBe(0);
});

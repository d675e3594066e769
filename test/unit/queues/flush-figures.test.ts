import { expect, test } from 'vitest';
import { taskIdOf } from '../../../src/core/topics.js';
import { DiskStore } from '../../../src/queues/disk-store.js';
import { Queues } from '../../../src/queues/queues.js';
import { FakeDisk } from '../../fixtures/fake-disk.js';
import { boundsOf } from '../../fixtures/queues.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('each flush tells how many entries it made safe and how long it took; a failed one counts with the next', async () => {
  const clock = new VirtualClock();
  const disk = new FakeDisk();
  disk.byHand = true;
  const flushes: [entries: number, tookMs: number][] = [];
  const queues = new Queues({ clock, random: new SeededRandom(1), bytesMax: 1e6 });
  queues.useDisk(
    DiskStore.open({
      ...{ disk, clock, trouble: () => undefined, recovered: () => undefined },
      flushed: (entries, tookMs) => void flushes.push([entries, tookMs]),
    }),
  );
  const queue = queues.open(taskIdOf('q'), boundsOf({ length: 10, storage: 'disk' }));
  const put = (text: string) => queues.put(queue, Buffer.from(text));
  put('a');
  put('b');
  clock.advance(0);
  clock.advance(7);
  put('c');
  disk.finish();
  await turn();
  expect(flushes).toEqual([[2, 7]]);
  disk.fail();
  await turn();
  clock.advance(60_000);
  await turn();
  clock.advance(3);
  disk.finish();
  await turn();
  expect(flushes).toHaveLength(2);
  expect(flushes[1]?.[0]).toBe(1);
});

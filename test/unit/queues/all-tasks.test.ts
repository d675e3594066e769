import fc from 'fast-check';
import { expect, test } from 'vitest';
import { taskIdOf } from '../../../src/core/topics.js';
import { Queues } from '../../../src/queues/queues.js';
import { boundsOf } from '../../fixtures/queues.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

const TASKS = ['a', 'b', 'c', 'd'].map(taskIdOf);
const GROUPS = ['default', 'one'];

/** What a taker of all tasks gets must not depend on which queues it happens to remember: it is what a look at every
 *  queue would give. */
test('a take of all tasks misses nothing, whatever came, went and came back', async () => {
  const step = fc.record({
    what: fc.constantFrom('put', 'put', 'put', 'fetch', 'fetch', 'fetchOne', 'settle', 'giveBack', 'drop', 'ungroup'),
    task: fc.nat(TASKS.length - 1),
    group: fc.constantFrom(...GROUPS),
    max: fc.integer({ min: 1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const queues = new Queues({ clock: new VirtualClock(), random: new SeededRandom(1), bytesMax: 1_000_000 });
      const fetch = (taskId: (typeof TASKS)[number] | undefined, group: string, max: number) =>
        queues.fetch({ taskId, group, max, maxBytes: 1e6, waitMs: 0, leaseMs: undefined, signal: undefined });
      const held: Awaited<ReturnType<typeof fetch>>[] = [];
      for (const { what, task, group, max } of steps) {
        const [taskId] = TASKS.slice(task);
        if (taskId === undefined) continue;
        if (what === 'put') queues.put(queues.open(taskId, boundsOf({ length: 5 })), Buffer.from('x'));
        else if (what === 'drop') queues.drop(taskId);
        else if (what === 'ungroup') queues.removeGroup(taskId, group);
        else if (what === 'settle') held.pop()?.settle();
        else if (what === 'giveBack') held.shift()?.giveBack();
        else if (what === 'fetchOne') held.push(await fetch(taskId, group, max));
        else {
          const fetched = await fetch(undefined, group, max);
          held.push(fetched);
          // Short of what was asked for, it says that nothing is left.
          if (fetched.entries.length < max) expect(fetched.remaining).toBe(0);
        }
      }
    }),
    { numRuns: 500 },
  );
});

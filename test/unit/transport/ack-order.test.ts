import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { AckOrder } from '../../../src/transport/ack-order.js';

const fail = (error: Error) => {
  throw error;
};

function newBatch() {
  let settle: () => void = () => undefined;
  const commit = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { commit, settle, ids: [] as number[] };
}

function recorder() {
  const written: number[] = [];
  return { written, order: new AckOrder((ids) => written.push(...ids)) };
}

test('acknowledgements that are done leave with one flush', () => {
  const writes: (readonly number[])[] = [];
  const order = new AckOrder((ids) => writes.push(ids));
  order.done(1);
  order.done(2);
  expect(writes).toEqual([]);
  order.flush();
  expect(writes).toEqual([[1, 2]]);
});

test('one that waits holds back those behind it, and only those', () => {
  const { written, order } = recorder();
  order.done(1);
  const commit = order.later(2);
  order.done(3);
  order.flush();
  expect(written).toEqual([1]);
  commit();
  expect(written).toEqual([1, 2, 3]);
});

test('an acknowledgement of the broker that nobody expects passes', () => {
  const { written, order } = recorder();
  order.brokerDone(9);
  expect(written).toEqual([9]);
});

test('puts in a row with one commit share one place, and one look at the promise', async () => {
  const { written, order } = recorder();
  const { commit, settle } = newBatch();
  const then = vi.spyOn(commit, 'then');
  for (let id = 1; id <= 1_000; id++) order.committed(id, commit, fail);
  expect(order.waiting).toBe(1_000);
  expect(then).toHaveBeenCalledTimes(1);
  order.flush();
  expect(written).toEqual([]);
  settle();
  await commit;
  expect(written).toEqual(Array.from({ length: 1_000 }, (_, at) => at + 1));
});

test('a commit that fails is told once, and nothing of it is acknowledged', async () => {
  const { written, order } = recorder();
  const failures: string[] = [];
  const commit = Promise.reject(new Error('disk full'));
  order.committed(1, commit, (error) => failures.push(error.message));
  order.committed(2, commit, (error) => failures.push(error.message));
  order.done(3);
  await expect(commit).rejects.toThrow('disk full');
  order.flush();
  expect(failures).toEqual(['disk full']);
  expect(written).toEqual([]);
  expect(order.waiting).toBe(3);
});

test('one of the broker that needs things of ours as well waits for all of them, whatever comes last', () => {
  const { written, order } = recorder();
  const oneIsDone = order.expect(1, 2);
  const other = order.expect(2, 1);
  oneIsDone();
  order.brokerDone(1);
  expect(written).toEqual([]);
  oneIsDone();
  expect(written).toEqual([1]);
  other();
  expect(written).toEqual([1]);
  order.brokerDone(2);
  expect(written).toEqual([1, 2]);
});

test('behind one that waits the broker may answer many in any order', () => {
  const { written, order } = recorder();
  const first = order.later(1);
  const ids = Array.from({ length: 2_000 }, (_, at) => at + 2);
  for (const id of ids) order.expect(id);
  for (const id of ids.filter((_, at) => at % 2 === 0)) order.brokerDone(id);
  for (const id of ids.filter((_, at) => at % 2 === 1).reverse()) order.brokerDone(id);
  expect(written).toEqual([]);
  first();
  expect(written).toEqual([1, ...ids]);
});

test('the broker may go on answering in any order when many have left the line', () => {
  const { written, order } = recorder();
  const ids = Array.from({ length: 1_200 }, (_, at) => at + 1);
  for (const id of ids) order.expect(id);
  for (const id of ids.slice(0, 600)) order.brokerDone(id);
  for (const id of ids.slice(600).reverse()) order.brokerDone(id);
  expect(written).toEqual(ids);
});

test('whatever settles in whatever order, acknowledgements keep the order of their publishes [MQTT-4.6.0-2]', async () => {
  const kinds = fc.array(fc.constantFrom('done', 'later', 'broker', 'routed', 'put'), { maxLength: 1_000 });
  await fc.assert(
    fc.asyncProperty(kinds, fc.infiniteStream(fc.nat()), async (publishes, chance) => {
      /** How many things each publish still waits for. */
      const owed = new Map<number, number>();
      const written: number[] = [];
      const order = new AckOrder((ids) => {
        for (const id of ids) if (owed.get(id)) throw new Error(`${id}: expected it to wait, got an acknowledgement`);
        written.push(...ids);
      });
      const open: (() => void)[] = [];
      const add = (id: number, count: number) => owed.set(id, (owed.get(id) ?? 0) + count);
      const owe = (id: number, settle: () => void) => {
        add(id, 1);
        open.push(() => {
          add(id, -1);
          settle();
        });
      };
      const happens = (onceIn: number) => (chance.next().value ?? 0) % onceIn === 0;
      const settleOne = () => open.splice((chance.next().value ?? 0) % open.length, 1)[0]?.();
      let batch = newBatch();
      const endBatch = () => {
        const { ids, settle } = batch;
        open.push(() => {
          for (const id of ids) add(id, -1);
          settle();
        });
        batch = newBatch();
      };
      for (const [index, kind] of publishes.entries()) {
        const id = index + 1;
        if (kind === 'done') order.done(id);
        if (kind === 'later') owe(id, order.later(id));
        if (kind === 'broker') order.expect(id);
        if (kind === 'routed') owe(id, order.expect(id, 1));
        if (kind === 'broker' || kind === 'routed') owe(id, () => order.brokerDone(id));
        if (kind === 'put') {
          order.committed(id, batch.commit, fail);
          batch.ids.push(id);
          add(id, 1);
        }
        if (happens(5)) endBatch();
        if (happens(3) && open.length > 0) settleOne();
        if (happens(2)) order.flush();
        if (happens(16)) await undefined;
      }
      endBatch();
      while (open.length > 0) settleOne();
      await new Promise((resolve) => setImmediate(resolve));
      order.flush();
      expect(order.waiting).toBe(0);
      expect(written).toEqual(publishes.map((_, index) => index + 1));
    }),
    { numRuns: 60 },
  );
});

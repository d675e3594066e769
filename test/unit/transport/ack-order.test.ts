import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AckOrder } from '../../../src/transport/ack-order.js';

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

test('whatever settles in whatever order, acknowledgements keep the order of their publishes [MQTT-4.6.0-2]', () => {
  const kinds = fc.array(fc.constantFrom('done', 'later', 'broker'), { maxLength: 2_000 });
  fc.assert(
    fc.property(kinds, fc.infiniteStream(fc.nat()), (publishes, chance) => {
      const { written, order } = recorder();
      const open: (() => void)[] = [];
      const settleOne = () => {
        const at = (chance.next().value ?? 0) % open.length;
        open.splice(at, 1)[0]?.();
      };
      publishes.forEach((kind, index) => {
        const id = index + 1;
        if (kind === 'done') order.done(id);
        if (kind === 'later') open.push(order.later(id));
        if (kind === 'broker') {
          order.expect(id);
          open.push(() => order.brokerDone(id));
        }
        if ((chance.next().value ?? 0) % 3 === 0 && open.length > 0) settleOne();
        if ((chance.next().value ?? 0) % 2 === 0) order.flush();
      });
      while (open.length > 0) settleOne();
      order.flush();
      expect(order.waiting).toBe(0);
      expect(written).toEqual(publishes.map((_, index) => index + 1));
    }),
    { numRuns: 60 },
  );
});

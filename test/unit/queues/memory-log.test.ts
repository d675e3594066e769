import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryLog } from '../../../src/queues/memory-log.js';

const entry = (seq: number, payload: Buffer, topic?: string) => ({
  seq,
  tsMs: 10 * seq,
  arrival: 100 * seq,
  putMs: seq / 2,
  payload,
  topic,
});

test('what was appended is read back whole, and the bytes are copied', () => {
  const log = new MemoryLog();
  const payload = Buffer.from('abc');
  log.append(entry(1, payload, 'a/ü'));
  payload.fill('x');
  expect(log.read(1)).toEqual(entry(1, Buffer.from('abc'), 'a/ü'));
  expect([log.bytes(1), log.arrival(1), log.putMs(1)]).toEqual([3 + 4, 100, 0.5]);
  expect([log.read(2), log.next(2), log.bytes(2)]).toEqual([undefined, undefined, 0]);
});

test('what was read stays as it was, whatever becomes of its neighbours', () => {
  const log = new MemoryLog();
  for (let seq = 1; seq <= 2_000; seq += 1) log.append(entry(seq, Buffer.alloc(200, seq % 251)));
  const read = log.read(777)?.payload;
  for (let seq = 1; seq <= 2_000; seq += 1) if (seq !== 777) log.remove(seq);
  for (let seq = 2_001; seq <= 4_000; seq += 1) log.append(entry(seq, Buffer.alloc(200, 255)));
  expect(read).toEqual(Buffer.alloc(200, 777 % 251));
  expect(log.read(777)?.payload).toEqual(read);
  expect([log.next(1), log.next(778)]).toEqual([777, 2_001]);
});

test('few entries that stay keep little of the memory of the many around them', () => {
  const log = new MemoryLog();
  const count = 20_000;
  for (let seq = 1; seq <= count; seq += 1) log.append(entry(seq, Buffer.alloc(1_000)));
  for (let seq = 1; seq <= count; seq += 1) if (seq % 100 !== 0) log.remove(seq);
  // A hundredth of it is held; at most four times as much may lie around it.
  expect(log.reservedBytes).toBeLessThan(4 * (count / 100) * 1_000);
});

test('one of a thousand that stays does not keep the columns of the thousand', () => {
  const log = new MemoryLog();
  const count = 400_000;
  for (let seq = 1; seq <= count; seq += 1) {
    log.append(entry(seq, Buffer.from('x'), seq % 1_000 === 0 ? 'a/b' : undefined));
    if (seq % 1_000 !== 0) log.remove(seq);
  }
  // The last chunk is not full yet.
  expect(log.reservedBytes).toBeLessThan(100_000);
  expect([log.next(1), log.next(1_001), log.bytes(2_000), log.arrival(2_000), log.putMs(2_000)]).toEqual([
    1_000, 2_000, 4, 200_000, 1_000,
  ]);
  expect(log.read(count)).toEqual(entry(count, Buffer.from('x'), 'a/b'));
});

test('large and small in turns leave nothing behind', () => {
  const log = new MemoryLog();
  let looks = 0;
  for (let seq = 1; seq <= 20_000; seq += 2) {
    log.append(entry(seq, Buffer.alloc(10)));
    log.append(entry(seq + 1, Buffer.alloc(65_536)));
    log.remove(seq + 1);
    log.remove(seq);
    looks += log.next(1) === undefined ? 1 : 0;
  }
  expect([looks, log.reservedBytes]).toEqual([10_000, 0]);
});

test('agrees with a plain map, in any order', () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('append' as const), bytes: fc.oneof(fc.nat(40), fc.nat(30_000)) }),
    fc.record({ what: fc.constantFrom('remove' as const, 'next' as const), at: fc.nat() }),
    fc.record({ what: fc.constant('removeOldest' as const), count: fc.nat(40) }),
    fc.constant({ what: 'clear' as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const log = new MemoryLog();
      const model = new Map<number, Buffer>();
      let seq = 0;
      const oldest = () => model.keys().next().value ?? 1;
      for (const action of steps) {
        if (action.what === 'append') {
          seq += 1;
          const payload = Buffer.alloc(action.bytes, seq % 251);
          log.append(entry(seq, payload));
          model.set(seq, payload);
        } else if (action.what === 'clear') {
          log.clear();
          model.clear();
        } else if (action.what === 'removeOldest') {
          for (const old of [...model.keys()].slice(0, action.count)) {
            log.remove(old);
            model.delete(old);
          }
        } else {
          const at = oldest() + (action.at % (seq + 2));
          if (action.what === 'remove') {
            log.remove(at);
            model.delete(at);
          }
          expect(log.next(at)).toBe([...model.keys()].find((held) => held >= at));
        }
        expect(log.next(1)).toBe(model.keys().next().value);
      }
      for (const [held, payload] of model) expect(log.read(held)).toEqual(entry(held, payload));
      for (let at = 1; at <= seq; at += 1) if (!model.has(at)) expect(log.read(at)).toBeUndefined();
    }),
    { numRuns: 300 },
  );
});

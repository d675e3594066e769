import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { callsWorld, FakeSeat, rest } from '../../fixtures/seats.js';

/** A call whose caller reads when the test says so. */
function slowCaller() {
  const seat = new FakeSeat('channel:1', 'w', 'llm');
  const world = callsWorld(seat);
  const rooms: (() => void)[] = [];
  const got: string[] = [];
  const call = world.begin({
    part: ({ payload }) => {
      got.push(Buffer.from(payload).toString());
      return new Promise((resolve) => rooms.push(resolve));
    },
  });
  /** The caller reads what it was handed last. */
  const read = async () => {
    rooms.shift()?.();
    await rest();
  };
  return { ...world, seat, call, got, read };
}

function settledness(promise: undefined | Promise<void>) {
  const state = { done: promise === undefined };
  void promise?.then(() => {
    state.done = true;
  });
  return state;
}

test('the worker waits while the caller has no room, and each part has its turn', async () => {
  const { seat, call, got, read, say } = slowCaller();
  const waits = ['a', 'b', 'c'].map((word) => settledness(say(seat, 'part', word)));
  const last = settledness(say(seat, 'end', 'd'));
  await rest();
  expect(got).toEqual(['a']);
  expect([...waits, last].map(({ done }) => done)).toEqual([false, false, false, false]);
  await read();
  expect(got).toEqual(['a', 'b']);
  expect([...waits, last].map(({ done }) => done)).toEqual([true, false, false, false]);
  await read();
  await read();
  expect(got).toEqual(['a', 'b', 'c']);
  expect(call).toMatchObject({ last: '4:d', error: undefined });
  expect(last.done).toBe(true);
});

test('an error comes behind the parts that were said before it', async () => {
  const { seat, call, read, say } = slowCaller();
  void say(seat, 'part', 'a');
  void say(seat, 'part', 'b');
  void say(seat, 'error', 'broken');
  await read();
  expect(call.error).toBeUndefined();
  await read();
  expect(call.error).toMatchObject({ message: 'llm answered: broken' });
});

test('a caller that lets too much pile up loses its call, and the worker goes on', async () => {
  const { clock, calls, seat, call, say } = slowCaller();
  const mebibyte = 'x'.repeat(1_048_576);
  const waits = Array.from({ length: 18 }, () => settledness(say(seat, 'part', mebibyte)));
  await rest();
  expect(call.error).toMatchObject({ code: 'SN_ERR_LIMIT' });
  expect(seat.cancelled).toEqual(seat.given);
  expect(waits.every(({ done }) => done)).toBe(true);
  expect(clock.pending).toBe(0);
  expect(calls.late).toBe(1);
});

test('many small parts count for more than their bytes', async () => {
  const { seat, call, say } = slowCaller();
  const most = LIMITS.callPartsBytes / LIMITS.liveOverheadBytes;
  for (let count = 0; count <= most; count++) void say(seat, 'part', '');
  await rest();
  expect(call.error).toBeUndefined();
  void say(seat, 'part', '');
  await rest();
  expect(call.error).toMatchObject({ code: 'SN_ERR_LIMIT' });
});

test('all callers together may let only so much pile up', async () => {
  const seat = new FakeSeat('channel:1');
  const { begin, say } = callsWorld(seat);
  const stuck = () => new Promise<void>(() => undefined);
  const calls = Array.from({ length: 8 }, () => begin({ part: stuck }));
  const mebibyte = 'x'.repeat(1_048_576);
  for (const callId of seat.given) for (let count = 0; count < 12; count++) void say(seat, 'part', mebibyte, callId);
  await rest();
  // 11 MiB each wait, of 64 MiB in all.
  expect(calls.map(({ error }) => error === undefined)).toEqual([true, true, true, true, true, false, false, false]);
});

test('what a lost call let pile up is free for others', async () => {
  const seat = new FakeSeat('channel:1');
  const { calls, begin, say } = callsWorld(seat);
  const mebibyte = 'x'.repeat(1_048_576);
  for (let round = 0; round < 12; round++) {
    const caller = new AbortController();
    const call = begin({ part: () => new Promise(() => undefined), signal: caller.signal });
    for (let count = 0; count < 12; count++) void say(seat, 'part', mebibyte);
    expect(calls.inFlight(seat.worker)).toBe(1);
    caller.abort();
    await rest();
    expect(call.error).toMatchObject({ code: 'SN_ERR_CALL_FAILED' });
  }
});

test('what was read at last is free for more', async () => {
  const { seat, call, got, read, say } = slowCaller();
  const mebibyte = 'x'.repeat(1_048_576);
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < 12; count++) void say(seat, 'part', mebibyte);
    for (let count = 0; count < 12; count++) await read();
  }
  expect(call.error).toBeUndefined();
  expect(got).toHaveLength(36);
});

test.each(['deadline', 'worker gone'])('after the %s no worker waits for the caller any more', async (what) => {
  const { clock, calls, seat, call, say } = slowCaller();
  const waits = ['a', 'b'].map((word) => settledness(say(seat, 'part', word)));
  if (what === 'deadline') clock.advance(1_000);
  else calls.seatGone(seat.id, { processBehind: false, why: 'gone' });
  await rest();
  expect(call.error).toBeDefined();
  expect(waits.map(({ done }) => done)).toEqual([true, true]);
});

test.each([
  [
    'throws',
    () => {
      throw new Error('no');
    },
  ],
  ['rejects', () => Promise.reject(new Error('no'))],
])('a caller whose part %s loses its call, and nobody else notices', async (_title, part) => {
  const seat = new FakeSeat('channel:1');
  const { clock, begin, say } = callsWorld(seat);
  const call = begin({ part });
  await say(seat, 'part', 'a');
  await rest();
  expect(call.error).toMatchObject({ code: 'SN_ERR_INTERNAL', message: 'no' });
  expect(seat.cancelled).toEqual(seat.given);
  expect(clock.pending).toBe(0);
});

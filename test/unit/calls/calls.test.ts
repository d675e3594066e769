import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { taskIdOf } from '../../../src/core/topics.js';
import type { WorkerKey } from '../../../src/core/worker-key.js';
import { seatOwner } from '../../../src/core/worker-key.js';
import { callsWorld, FakeSeat, rest } from '../../fixtures/seats.js';

const ONE = new FakeSeat('channel:1');

function pool(taskId: WorkerKey['taskId']) {
  const keys = [1, 2].map((instance): WorkerKey => ({ taskId, instance, generation: 1 }));
  return keys.map((key) => new FakeSeat(`channel:${key.instance}`, seatOwner(key), `llm~${key.instance}`));
}

test('an answer of one part is the last part of its call', async () => {
  const seat = new FakeSeat('channel:1');
  const { calls, taskId, clock, begin, say } = callsWorld(seat);
  const call = begin();
  expect(calls.figures(taskId)).toEqual({ inFlight: 1, total: 1, failed: 0 });
  expect(say(seat, 'end', '42')).toBeUndefined();
  await rest();
  expect(call).toEqual({ parts: [], last: '1:42', error: undefined });
  expect(calls.figures(taskId)).toEqual({ inFlight: 0, total: 1, failed: 0 });
  expect(clock.pending).toBe(0);
});

test('parts come one by one, in order, and the last one last', async () => {
  const seat = new FakeSeat('channel:1');
  const { begin, say } = callsWorld(seat);
  const call = begin();
  for (const word of ['a', 'b', 'c']) say(seat, 'part', word);
  say(seat, 'end');
  await rest();
  expect(call).toEqual({ parts: ['1:a', '2:b', '3:c'], last: '4:', error: undefined });
});

test('the bytes of an answer are copied before they become somebody else’s', async () => {
  const seat = new FakeSeat('channel:1');
  const { calls, taskId, begin } = callsWorld(seat);
  let freed: () => void = () => undefined;
  const held: Uint8Array[] = [];
  begin({
    part: ({ payload }) => {
      held.push(payload);
      return new Promise((resolve) => {
        freed = resolve;
      });
    },
  });
  const bytes = Buffer.from('first');
  const answer = { taskId, callId: seat.lastCall, kind: 'part', payload: bytes } as const;
  void calls.answer(seat.id, answer);
  bytes.write('XXXXX');
  void calls.answer(seat.id, answer);
  bytes.write('YYYYY');
  freed();
  await rest();
  expect(held.map(String)).toEqual([
    String(Uint8Array.from(Buffer.from('first'))),
    String(Uint8Array.from(Buffer.from('XXXXX'))),
  ]);
});

test('a worker’s error is the caller’s, made safe and short', async () => {
  const seat = new FakeSeat('channel:1', 'w', 'llm');
  const { calls, taskId, begin, say } = callsWorld(seat);
  const [plain, hostile, long, empty] = [begin(), begin(), begin(), begin()];
  const [first = '', second = '', third = '', fourth = ''] = seat.given;
  say(seat, 'error', 'out of memory', first);
  say(seat, 'error', 'a\u0000\u001b[31m\r\n\u202eb\u2028', second);
  say(seat, 'error', 'é'.repeat(100_000), third);
  say(seat, 'error', '', fourth);
  await rest();
  expect(plain.error).toMatchObject({ code: 'SN_ERR_CALL_FAILED', message: 'llm answered: out of memory' });
  expect(hostile.error).toMatchObject({ message: 'llm answered: a [31m b' });
  expect(long.error).toMatchObject({ message: `llm answered: ${'é'.repeat(500)}…` });
  expect(empty.error).toMatchObject({ message: 'llm answered: an error without a text' });
  expect(seat.cancelled).toEqual([]);
  expect(calls.figures(taskId)).toEqual({ inFlight: 0, total: 4, failed: 4 });
});

test('bytes of an error that are no UTF-8 are shown as far as they go', async () => {
  const seat = new FakeSeat('channel:1', 'w', 'llm');
  const { begin, say } = callsWorld(seat);
  const call = begin();
  say(seat, 'error', Buffer.of(0x61, 0xff, 0xfe));
  await rest();
  expect(call.error).toMatchObject({ message: 'llm answered: a\ufffd\ufffd' });
});

test('the deadline ends a call, and its worker is told once', async () => {
  const seat = new FakeSeat('channel:1', 'w', 'llm');
  const { clock, calls, begin, say } = callsWorld(seat);
  const call = begin({ timeoutMs: 500 });
  say(seat, 'part', 'a');
  clock.advance(499);
  await rest();
  expect(call.error).toBeUndefined();
  clock.advance(1);
  await rest();
  expect(call.error).toMatchObject({
    code: 'SN_ERR_CALL_TIMEOUT',
    message: 'call to llm: expected the whole answer within 500 ms, got 1 part of it',
  });
  expect(seat.cancelled).toEqual(seat.given);
  expect(say(seat, 'end', 'too late')).toBeUndefined();
  expect(calls.late).toBe(1);
  expect(clock.pending).toBe(0);
});

test('a caller that goes takes its call back: the worker is told, late parts are ignored', async () => {
  const seat = new FakeSeat('channel:1');
  const { clock, calls, begin, say } = callsWorld(seat);
  const caller = new AbortController();
  const call = begin({ signal: caller.signal });
  caller.abort();
  expect(seat.cancelled).toEqual(seat.given);
  say(seat, 'part', 'late');
  await rest();
  expect(call).toMatchObject({ parts: [], last: undefined, error: { code: 'SN_ERR_CALL_FAILED' } });
  expect(calls.late).toBe(1);
  expect(clock.pending).toBe(0);
});

test('a call that is over does not listen for the end of its caller any more', async () => {
  const seat = new FakeSeat('channel:1');
  const { begin, say } = callsWorld(seat);
  const { signal } = new AbortController();
  begin({ signal });
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  say(seat, 'end');
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
});

test('a caller that is gone already is not called for', async () => {
  const seat = new FakeSeat('channel:1');
  const { begin } = callsWorld(seat);
  const call = begin({ signal: AbortSignal.abort() });
  await rest();
  expect(call.error).toMatchObject({ code: 'SN_ERR_CALL_FAILED' });
  expect(seat.given).toEqual([]);
});

test.each([
  ['another seat', 'channel:2', {}],
  ['another call', 'channel:1', { callId: 'guessed' }],
  ['another task of the same connection', 'channel:1', { taskId: taskIdOf('other') }],
])('an answer from or for %s is ignored and counted', async (_title, seatId, fields) => {
  const seat = new FakeSeat('channel:1');
  const { calls, taskId, begin, say } = callsWorld(seat);
  const call = begin();
  const answer = { taskId, callId: seat.lastCall, kind: 'end', payload: Buffer.from('mine'), ...fields } as const;
  expect(calls.answer(seatId, answer)).toBeUndefined();
  await rest();
  expect(call.last).toBeUndefined();
  expect([calls.late, calls.size]).toEqual([1, 1]);
  say(seat, 'end', 'mine');
  expect([calls.late, calls.size]).toEqual([1, 0]);
});

test('after its last word a worker has nothing more to say', async () => {
  const seat = new FakeSeat('channel:1');
  const { calls, begin, say } = callsWorld(seat);
  const call = begin();
  say(seat, 'end', 'one');
  say(seat, 'end', 'two');
  say(seat, 'error', 'three');
  await rest();
  expect(call).toMatchObject({ last: '1:one', error: undefined });
  expect(calls.late).toBe(2);
});

test('without a worker, or with none that can take a call, there is none', async () => {
  const seat = new FakeSeat('channel:1');
  seat.willing = false;
  const [none, full] = [callsWorld().begin(), callsWorld(seat).begin()];
  await rest();
  expect(none.error).toMatchObject({ code: 'SN_ERR_NO_CHANNEL', message: expect.stringMatching(/got none$/) });
  expect(full.error).toMatchObject({ code: 'SN_ERR_NO_CHANNEL', message: expect.stringMatching(/got 1 that cannot/) });
});

test('calls go to the least busy worker, whichever of its seats, and in turn where all are alike', () => {
  const [a1, a2, b1] = [new FakeSeat('a1', 'A'), new FakeSeat('a2', 'A'), new FakeSeat('b1', 'B')];
  const { calls, begin, say } = callsWorld(a1, a2, b1);
  for (let count = 0; count < 4; count++) begin();
  // A and B have two each, and those of A are spread over its seats.
  expect([a1, a2, b1].map(({ given }) => given.length)).toEqual([1, 1, 2]);
  expect([calls.inFlight('A'), calls.inFlight('B')]).toEqual([2, 2]);
  say(b1, 'end');
  say(b1, 'end', '', b1.given[0]);
  begin();
  expect(b1.given).toHaveLength(3);
  say(b1, 'end');
  for (const seat of [a1, a2]) say(seat, 'end');
  for (let count = 0; count < 3; count++) {
    begin();
    for (const seat of [a1, a2, b1]) say(seat, 'end');
  }
  expect([a1, a2, b1].map(({ given }) => given.length)).toEqual([2, 2, 4]);
});

test('a seat that cannot take one now is passed over', () => {
  const [first, second] = [new FakeSeat('1'), new FakeSeat('2')];
  first.willing = false;
  callsWorld(first, second).begin();
  expect(second.given).toHaveLength(1);
});

test('a connection without a process behind takes its calls with it at once', async () => {
  const [seat, other] = [new FakeSeat('channel:1', 'channel:1', 'phone'), new FakeSeat('channel:2')];
  const { clock, calls, begin, say } = callsWorld(seat, other);
  const [call, onOther] = [begin(), begin()];
  calls.seatGone(seat.id, { processBehind: false, why: 'its connection closed' });
  say(other, 'end', 'fine');
  await rest();
  expect(call.error).toMatchObject({
    code: 'SN_ERR_WORKER_GONE',
    message: 'call to phone: the worker is gone: its connection closed',
  });
  expect(onOther.last).toBe('1:fine');
  expect(seat.cancelled).toEqual([]);
  expect(clock.pending).toBe(0);
});

test('a connection with a process behind waits for the cause, and no longer than it must', async () => {
  const { taskId } = callsWorld();
  const [seat, other] = pool(taskId);
  if (!seat || !other) throw new Error('expected two seats');
  const { clock, calls, begin } = callsWorld(seat, other);
  const [told, untold] = [begin(), begin()];
  for (const { id } of [seat, other]) calls.seatGone(id, { processBehind: true, why: 'its connection closed' });
  await rest();
  expect(told.error).toBeUndefined();
  calls.workerGone({ taskId, instance: 1, generation: 1 }, 'signal SIGKILL');
  await rest();
  expect(told.error).toMatchObject({ message: 'call to llm~1: the worker is gone: signal SIGKILL' });
  expect(untold.error).toBeUndefined();
  clock.advance(LIMITS.callCauseMs);
  await rest();
  expect(untold.error).toMatchObject({ message: 'call to llm~2: the worker is gone: its connection closed' });
  expect(clock.pending).toBe(0);
});

test('the end of a process ends the calls of that start of that worker alone', async () => {
  const { taskId } = callsWorld();
  const [seat, other] = pool(taskId);
  if (!seat || !other) throw new Error('expected two seats');
  const { calls, begin } = callsWorld(seat, other);
  const [mine, foreign] = [begin(), begin()];
  calls.workerGone({ taskId, instance: 1, generation: 2 }, 'exit 1');
  await rest();
  expect(mine.error).toBeUndefined();
  calls.workerGone({ taskId, instance: 1, generation: 1 }, 'exit 1');
  await rest();
  expect(mine.error).toMatchObject({ code: 'SN_ERR_WORKER_GONE' });
  expect(foreign.error).toBeUndefined();
  expect(calls.inFlight({ taskId, instance: 2, generation: 1 })).toBe(1);
});

test('a worker that said its last word may go: the caller still gets it', async () => {
  const seat = new FakeSeat('channel:1');
  const { calls, begin, say } = callsWorld(seat);
  let freed: () => void = () => undefined;
  const call = begin({
    part: () =>
      new Promise((resolve) => {
        freed = resolve;
      }),
  });
  void say(seat, 'part', 'a');
  void say(seat, 'end', 'b');
  expect(calls.inFlight(seat.worker)).toBe(0);
  calls.seatGone(seat.id, { processBehind: false, why: 'its client disconnected' });
  freed();
  await rest();
  expect(call).toMatchObject({ last: '2:b', error: undefined });
});

test('calls under way are bounded', async () => {
  const seat = new FakeSeat('channel:1');
  const { calls, taskId, begin } = callsWorld(seat);
  for (let count = 0; count < LIMITS.callsMax; count++) begin();
  const tooMany = begin();
  await rest();
  expect(tooMany.error).toMatchObject({ code: 'SN_ERR_LIMIT' });
  expect(calls.figures(taskId)).toMatchObject({ inFlight: LIMITS.callsMax, failed: 0 });
});

test('a stop ends every call, tells their workers, and takes no further one', async () => {
  const { clock, calls, begin } = callsWorld(ONE);
  const call = begin();
  calls.stop();
  calls.stop();
  const later = begin();
  await rest();
  expect(call.error).toMatchObject({ code: 'SN_ERR_CLOSING' });
  expect(later.error).toMatchObject({ code: 'SN_ERR_CLOSING' });
  expect(ONE.cancelled).toEqual(ONE.given);
  expect(clock.pending).toBe(0);
});

test('the figures of a task end with it', () => {
  const { calls, taskId, begin } = callsWorld(new FakeSeat('channel:1'));
  begin();
  calls.forget(taskId);
  expect(calls.figures(taskId)).toEqual({ inFlight: 0, total: 0, failed: 0 });
  expect(calls.totals).toEqual({ inFlight: 0, total: 1, failed: 1 });
});

import { EventEmitter, on } from 'node:events';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { Topics } from '../../src/core/topics.js';
import { CALLS_MAX, Calls, type OnCall, WINDOW_PARTS } from '../../src/worker/calls.js';

interface Sent {
  readonly topic: string;
  readonly payload: Buffer;
  readonly acknowledge: () => void;
  readonly forget: () => void;
}

/** The calls of a task `llm`, whose answers go into a list instead of a connection. */
function callsWith(onCall: OnCall | undefined, { acknowledging = true } = {}) {
  const sent: Sent[] = [];
  const tell = vi.fn();
  const calls = new Calls({
    topics: new Topics('site7/'),
    taskId: 'llm',
    send: (topic, payload, acknowledge) => {
      const forget = vi.fn();
      sent.push({ topic, payload, acknowledge, forget });
      if (acknowledging) queueMicrotask(acknowledge);
      return forget;
    },
    tell,
    onCall,
  });
  return {
    calls,
    sent,
    tell,
    call: (id: string, payload = '') => calls.receive(`site7/w/ch/llm/cmd/${id}`, Buffer.from(payload)),
    cancel: (id: string) => calls.receive(`site7/w/ch/llm/cmd/${id}/cancel`, Buffer.alloc(0)),
    /** Topic below the reply topic, and payload. */
    answers: () => sent.map(({ topic, payload }) => [topic.replace('site7/w/ch/llm/reply/', ''), payload.toString()]),
  };
}

/** Hands out 1, 2, 3 … without end; what was drawn and whether it was ended can be looked at. */
function counter(part: (n: number) => string | object = String) {
  const state = { drawn: 0, ended: false };
  async function* count() {
    try {
      for (;;) {
        state.drawn += 1;
        yield part(state.drawn);
      }
    } finally {
      state.ended = true;
    }
  }
  return { state, count };
}

test.each([
  ['text', 'grüß', 'grüß'],
  ['bytes', new Uint8Array([104, 105]), 'hi'],
  ['an object', { a: 1 }, '{"a":1}'],
  ['an array', ['a', 'b'], '["a","b"]'],
  ['a number', 42, '42'],
  ['null', null, 'null'],
  ['nothing', undefined, ''],
] as const)('%s is the one answer', async (_what, value, payload) => {
  const { call, answers } = callsWith(() => value as string);
  call('c1');
  await turn();
  expect(answers()).toEqual([['c1/end', payload]]);
});

test.each<[string, OnCall]>([
  [
    'an async generator',
    async function* (payload) {
      yield `${payload}1`;
      yield { n: 2 };
    },
  ],
  [
    'a promise of an async generator',
    async (payload) =>
      (async function* () {
        yield `${payload}1`;
        yield { n: 2 };
      })(),
  ],
  [
    'a generator',
    function* (payload) {
      yield `${payload}1`;
      yield { n: 2 };
    },
  ],
  ['a readable', (payload) => Readable.from([Buffer.from(`${payload}1`), '{"n":2}'])],
])('%s is a stream of parts, then an empty end', async (_what, onCall) => {
  const { call, answers } = callsWith(onCall);
  call('c1', 'n');
  await vi.waitFor(() => expect(answers()).toHaveLength(3));
  expect(answers()).toEqual([
    ['c1', 'n1'],
    ['c1', '{"n":2}'],
    ['c1/end', ''],
  ]);
});

test.each<[string, OnCall, string]>([
  [
    'thrown at once',
    () => {
      throw new Error('no model');
    },
    'no model',
  ],
  ['rejected', async () => Promise.reject(new Error('no model')), 'no model'],
  ['an error without a message', async () => Promise.reject(new TypeError()), 'TypeError'],
  ['something that is no error', async () => Promise.reject({ why: 'no model' }), '{"why":"no model"}'],
  ['an answer that JSON cannot hold', () => ({ n: 1n }), 'answer: expected a value that JSON can hold, got Do not'],
])('%s is an error to the caller: its message, not its stack', async (_what, onCall, message) => {
  const { call, sent, answers, tell } = callsWith(onCall);
  call('c1');
  await turn();
  expect(answers()).toEqual([['c1/error', expect.stringContaining(message)]]);
  expect(sent[0]?.payload.toString()).not.toContain('\n');
  expect(tell).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/^onCall failed: /));
});

test('the stack of an error goes to stderr', async () => {
  const { call, tell } = callsWith(() => Promise.reject(new Error('no model')));
  call('c1');
  await turn();
  expect(tell.mock.calls[0]?.[0]).toMatch(/no model\n +at .*worker-calls\.test/);
});

test('an error of a megabyte is cut to 1000 characters', async () => {
  const { call, sent } = callsWith(() => Promise.reject(new Error('x'.repeat(1_000_000))));
  call('c1');
  await turn();
  expect(sent[0]?.payload).toHaveLength(1_000);
});

test('a throw after some parts ends the stream with an error', async () => {
  const { call, answers } = callsWith(async function* () {
    yield 'one';
    throw new Error('out of tokens');
  });
  call('c1');
  await turn();
  expect(answers()).toEqual([
    ['c1', 'one'],
    ['c1/error', 'out of tokens'],
  ]);
});

test('a part that JSON cannot hold is an error, and the generator is ended', async () => {
  const { state, count } = counter((n) => (n < 2 ? 'one' : { n: 1n }));
  const { call, answers } = callsWith(count);
  call('c1');
  await turn();
  expect(answers()).toEqual([
    ['c1', 'one'],
    ['c1/error', expect.stringContaining('expected a value that JSON can hold')],
  ]);
  expect(state.ended).toBe(true);
});

test('a stream waits while 8 parts are without acknowledgement, and goes on one by one', async () => {
  const { state, count } = counter();
  const { call, sent } = callsWith(count, { acknowledging: false });
  call('c1');
  await turn();
  expect(WINDOW_PARTS).toBe(8);
  expect([state.drawn, sent.length]).toEqual([8, 8]);
  sent[0]?.acknowledge();
  await turn();
  expect([state.drawn, sent.length]).toEqual([9, 9]);
  for (const { acknowledge } of sent.slice(1)) acknowledge();
  await turn();
  expect([state.drawn, sent.length]).toEqual([17, 17]);
});

test('a stream of large parts waits when a megabyte is without acknowledgement', async () => {
  const { call, sent } = callsWith(counter(() => 'x'.repeat(600_000)).count, { acknowledging: false });
  call('c1');
  await turn();
  expect(sent).toHaveLength(2);
  sent[0]?.acknowledge();
  await turn();
  expect(sent).toHaveLength(3);
});

test('a cancel aborts the signal, runs the finally of the generator, and nothing further is published', async () => {
  const { state, count } = counter();
  let signal: AbortSignal | undefined;
  const { call, cancel, sent, tell } = callsWith(
    (_payload, { signal: given }) => {
      signal = given;
      return count();
    },
    { acknowledging: false },
  );
  call('c1');
  await turn();
  expect(signal?.aborted).toBe(false);
  cancel('c1');
  for (const { acknowledge } of sent) acknowledge();
  await turn();
  expect(signal?.reason).toMatchObject({ name: 'AbortError', message: expect.stringContaining('nobody waits') });
  expect([state.ended, state.drawn, sent.length]).toEqual([true, 8, 8]);
  expect(tell).not.toHaveBeenCalled();
});

test('a generator that waits for its signal ends at a cancel; that it was aborted is no failure', async () => {
  const { call, cancel, answers, tell } = callsWith(async function* (_payload, { signal }) {
    yield 'one';
    await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  });
  call('c1');
  await turn();
  cancel('c1');
  await turn();
  expect(answers()).toEqual([['c1', 'one']]);
  expect(tell).not.toHaveBeenCalled();
});

test('a stream that waits for something from outside is ended at once by a cancel', async () => {
  const source = new EventEmitter();
  const { call, cancel, answers } = callsWith(() => on(source, 'token'));
  call('c1');
  source.emit('token', 'a');
  await turn();
  expect(source.listenerCount('token')).toBe(1);
  cancel('c1');
  expect(source.listenerCount('token')).toBe(0);
  source.emit('token', 'b');
  await turn();
  expect(answers()).toEqual([['c1', '["a"]']]);
});

test('what goes wrong after a cancel is told on stderr, and not to the caller', async () => {
  const onCall: OnCall = async function* () {
    try {
      for (;;) yield 'x';
    } finally {
      await Promise.reject(new Error('cannot clean up'));
    }
  };
  const { call, cancel, sent, tell } = callsWith(onCall, { acknowledging: false });
  call('c1');
  await turn();
  cancel('c1');
  await turn();
  expect(sent).toHaveLength(WINDOW_PARTS);
  expect(tell).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('cannot clean up'));
});

test('an answer that becomes a stream only after the cancel is ended unread', async () => {
  const cancelled = vi.fn();
  const { call, cancel, answers } = callsWith(async (_payload, { signal }) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return new ReadableStream({ cancel: cancelled });
  });
  call('c1');
  cancel('c1');
  await vi.waitFor(() => expect(cancelled).toHaveBeenCalled());
  expect(answers()).toEqual([]);
});

test('a cancel concerns its own call alone; one that is unknown or done is ignored', async () => {
  const signals = new Map<string, AbortSignal>();
  const { call, cancel } = callsWith((payload, { id, signal }) => {
    signals.set(id, signal);
    return payload.toString() === 'wait' ? new Promise(() => undefined) : 'done';
  });
  call('c1', 'wait');
  call('c2', 'wait');
  call('c3');
  await turn();
  for (const id of ['c2', 'c3', 'c4']) cancel(id);
  expect([...signals].map(([id, { aborted }]) => [id, aborted])).toEqual([
    ['c1', false],
    ['c2', true],
    ['c3', false],
  ]);
});

test('a call that is delivered twice runs once, while it runs and after', async () => {
  const onCall = vi.fn(() => 'x');
  const { call, answers } = callsWith(onCall);
  call('c1');
  call('c1');
  await turn();
  call('c1');
  await turn();
  expect(onCall).toHaveBeenCalledTimes(1);
  expect(answers()).toEqual([['c1/end', 'x']]);
});

test('topics below a call that are not known are ignored', async () => {
  const onCall = vi.fn();
  const { calls, call } = callsWith(onCall);
  for (const below of ['c1/pause', 'c1/cancel/now', '', '/cancel']) call(below);
  calls.receive('site7/w/ch/llm/cmd', Buffer.from('a command'));
  await turn();
  expect(onCall).not.toHaveBeenCalled();
});

test('one call more than 256 at once is answered with an error, until one has ended', async () => {
  const finish: (() => void)[] = [];
  const { call, answers } = callsWith(() => new Promise<void>((resolve) => finish.push(resolve)));
  for (let n = 0; n < CALLS_MAX; n++) call(`c${n}`);
  call('late');
  await turn();
  expect(answers()).toEqual([['late/error', 'llm: expected at most 256 calls at once, got one more']]);
  finish[0]?.();
  await turn();
  call('later');
  expect(finish).toHaveLength(CALLS_MAX + 1);
});

test('a call takes its place until its answer is acknowledged, an aborted one until its handler has ended', async () => {
  const finish: (() => void)[] = [];
  const { call, cancel, sent } = callsWith(() => new Promise<void>((resolve) => finish.push(resolve)), {
    acknowledging: false,
  });
  for (let n = 0; n < CALLS_MAX; n++) call(`c${n}`);
  finish[0]?.();
  cancel('c1');
  await turn();
  call('late');
  sent[0]?.acknowledge();
  finish[1]?.();
  await turn();
  for (const id of ['a', 'b', 'too-late']) call(id);
  expect(sent.map(({ topic }) => topic.replace(/.*reply./, ''))).toEqual(['c0/end', 'late/error', 'too-late/error']);
});

test('a lost connection aborts all calls and forgets what is not acknowledged; ids may then come again', async () => {
  const { state, count } = counter();
  const { calls, call, sent } = callsWith(count, { acknowledging: false });
  call('c1');
  await turn();
  sent[0]?.acknowledge();
  calls.lost();
  await turn();
  expect(state.ended).toBe(true);
  expect(sent[0]?.forget).not.toHaveBeenCalled();
  for (const { forget } of sent.slice(1)) expect(forget).toHaveBeenCalledTimes(1);
  const before = sent.length;
  call('c1');
  await turn();
  expect(sent).toHaveLength(before + WINDOW_PARTS);
});

test('close aborts, waits for the handlers, and takes no call after it', async () => {
  let clean = false;
  const onCall = vi.fn<OnCall>(async (_payload, { signal }) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await turn();
    clean = true;
  });
  const { calls, call, answers } = callsWith(onCall);
  call('c1');
  await calls.close();
  expect(clean).toBe(true);
  call('c2');
  await turn();
  expect(onCall).toHaveBeenCalledTimes(1);
  expect(answers()).toEqual([]);
});

test('a worker without onCall answers with an error at once', async () => {
  const { call, answers } = callsWith(undefined);
  call('c1');
  expect(answers()).toEqual([
    ['c1/error', 'llm: expected a worker that answers calls, got one that only takes commands'],
  ]);
});

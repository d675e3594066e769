import { describe, expect, test } from 'vitest';
import { SuperNodeError } from '../../../src/core/errors.js';
import { LIMITS } from '../../../src/core/limits.js';
import type { CallPart, RouterPorts } from '../../../src/router/ports.js';
import type { Caller, Reply, Request } from '../../../src/router/request.js';
import { Router } from '../../../src/router/router.js';
import { SILENT } from '../../fixtures/nodes.js';
import { routerPorts } from '../../fixtures/router-ports.js';

const OPERATOR: Caller = { id: 'app', role: 'operator' };
const ADMIN: Caller = { id: 'in-process', role: 'admin' };

type CallAsked = Parameters<RouterPorts['calls']['call']>[0];

const part = (index: number, payload: string | Uint8Array): CallPart => ({
  index,
  payload: Buffer.from(payload),
  workerName: 'llm~2',
});

/** A router whose rooms are lists. `answer` is what a worker does with a call. */
function routerWorld(answer: (asked: CallAsked) => Promise<CallPart> = async () => part(1, 'done')) {
  const sent: string[] = [];
  const asked: CallAsked[] = [];
  const tailed: unknown[] = [];
  const router = new Router(
    routerPorts({
      courier: {
        send: (_taskId, payload) => {
          sent.push(Buffer.from(payload).toString('latin1'));
          return 1;
        },
      },
      calls: {
        call: (request) => {
          asked.push(request);
          return answer(request);
        },
      },
      logs: {
        tail: (taskId, lines) => {
          tailed.push([taskId, lines]);
          return [
            { tsMs: 5, stream: 'stderr', line: 'one', workerId: 'llm~1' },
            { tsMs: 6, stream: 'stdout', line: 'two' },
          ];
        },
      },
    }),
    SILENT,
  );
  const replies: Reply[] = [];

  async function ask(body: Record<string, unknown>, fields: Partial<Request> = {}) {
    const last = await router.handle({
      kind: 'cmd',
      taskId: undefined,
      payload: Buffer.from(JSON.stringify(body)),
      caller: OPERATOR,
      hears: () => true,
      more: (reply) => {
        replies.push(reply);
        return undefined;
      },
      signal: undefined,
      ...fields,
    });
    return last?.envelope;
  }

  return { router, ask, sent, asked, tailed, replies };
}

describe.each(['send', 'call'] as const)('the payload of %s', (cmd) => {
  const bytesOf = async (fields: Record<string, unknown>) => {
    const { ask, sent, asked } = routerWorld();
    const envelope = await ask({ cmd, task_id: 'llm', ...fields });
    const [bytes = asked[0] && Buffer.from(asked[0].payload).toString('latin1')] = sent;
    return { envelope, bytes };
  };

  test.each([
    ['text as it is', { payload: 'plain "text"' }, 'plain "text"'],
    ['no text at all', { payload: '' }, ''],
    ['anything else as JSON', { payload: { a: [1, null] } }, '{"a":[1,null]}'],
    ['null as JSON', { payload: null }, 'null'],
    ['bytes', { payload_base64: '/wCA' }, '\u00ff\u0000\u0080'],
    ['no bytes', { payload_base64: '' }, ''],
  ])('is %s', async (_title, fields, expected) => {
    const { envelope, bytes } = await bytesOf(fields);
    expect(envelope).toMatchObject({ status: 'ok' });
    expect(bytes).toBe(expected);
  });

  test.each([
    ['neither of two', {}, /payload or payload_base64, got neither/],
    ['both', { payload: 'a', payload_base64: 'YQ==' }, /payload or payload_base64, got both/],
    ['what is no base64', { payload_base64: 'a-b' }, /payload_base64/],
    ['a length that no bytes have', { payload_base64: 'YWJjZ' }, /payload_base64: expected whole bytes/],
  ])('is not %s', async (_title, fields, message) => {
    const { envelope, bytes } = await bytesOf(fields);
    expect(envelope).toMatchObject({ status: 'error', code: 'SN_ERR_REQUEST', error: expect.stringMatching(message) });
    expect(bytes).toBeUndefined();
  });
});

test('JSON may nest as deep as its bound says, and no deeper', async () => {
  const { ask, asked } = routerWorld();
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  const call = (payload: string) =>
    ask({}, { payload: Buffer.from(`{"cmd":"call","task_id":"llm","payload":${payload}}`) });
  const deepest = nested(LIMITS.jsonDepth - 1);
  expect(await call(deepest)).toMatchObject({ status: 'ok' });
  expect(asked.map(({ payload }) => String(payload))).toEqual([deepest]);
  expect(await call(nested(LIMITS.jsonDepth))).toMatchObject({
    code: 'SN_ERR_JSON',
    error: 'payload: expected JSON at most 128 levels deep, got deeper nesting',
  });
  expect(await ask({}, { payload: Buffer.from('['.repeat(1_000_000)) })).toMatchObject({ code: 'SN_ERR_JSON' });
});

test('code in the process that gives what is too deep to be written is told so', async () => {
  const { router } = routerWorld();
  let payload: unknown[] = [];
  for (let depth = 0; depth < 100_000; depth += 1) payload = [payload];
  const command = router.command({ cmd: 'call', task_id: 'llm', payload }, ADMIN);
  await expect(command).rejects.toMatchObject({ code: 'SN_ERR_REQUEST' });
});

test('each part of an answer is a reply of its own, and the last one answers the request', async () => {
  const { ask, replies } = routerWorld(async (call) => {
    await call.part(part(1, 'Once'));
    await call.part(part(2, Buffer.of(0xff)));
    return part(3, '');
  });
  const last = await ask({ cmd: 'call', task_id: 'llm', payload: 'go', transaction: 7, reply_to: 'm/reply/x' });
  expect(replies.map(({ envelope }) => envelope)).toEqual([
    { status: 'ok', data: { part: 1, last: false, payload: 'Once', worker_id: 'llm~2' }, transaction: 7 },
    { status: 'ok', data: { part: 2, last: false, payload_base64: '/w==', worker_id: 'llm~2' }, transaction: 7 },
  ]);
  expect(replies.map(({ replyTo }) => replyTo)).toEqual(['m/reply/x', 'm/reply/x']);
  const data = { part: 3, last: true, payload: '', worker_id: 'llm~2' };
  expect(last).toEqual({ status: 'ok', data, transaction: 7 });
});

test('a call that fails ends with an error of its code', async () => {
  const { ask } = routerWorld(() => Promise.reject(new SuperNodeError('SN_ERR_WORKER_GONE', 'signal SIGKILL')));
  const envelope = await ask({ cmd: 'call', task_id: 'llm', payload: 'go', transaction: 'a' });
  expect(envelope).toEqual({ status: 'error', code: 'SN_ERR_WORKER_GONE', error: 'signal SIGKILL', transaction: 'a' });
});

test('a call has the time it asks for, a default, and the caller’s end', async () => {
  const { ask, asked } = routerWorld();
  const { signal } = new AbortController();
  await ask({ cmd: 'call', task_id: 'llm', payload: '' }, { signal });
  await ask({ cmd: 'call', task_id: 'llm', payload: '', timeout_ms: 5 });
  expect(asked).toMatchObject([
    { timeoutMs: LIMITS.callTimeoutMs, signal },
    { timeoutMs: 5, signal: undefined },
  ]);
  for (const timeout_ms of [0, LIMITS.callTimeoutMsMax + 1, 1.5]) {
    expect(await ask({ cmd: 'call', task_id: 'llm', payload: '', timeout_ms })).toMatchObject({
      code: 'SN_ERR_REQUEST',
    });
  }
});

test.each(['send', 'call', 'logs'])('%s of an unknown task says so', async (cmd) => {
  const { ask } = routerWorld();
  const payload = cmd === 'logs' ? {} : { payload: '' };
  expect(await ask({ cmd, task_id: 'other', ...payload })).toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
});

test('a worker calls nobody', async () => {
  const { ask, asked } = routerWorld();
  const caller: Caller = { id: 'w', role: 'worker' };
  expect(await ask({ cmd: 'call', task_id: 'llm', payload: '' }, { caller })).toMatchObject({
    code: 'SN_ERR_FORBIDDEN',
  });
  expect(asked).toEqual([]);
});

test('logs are the newest lines, a hundred of them or as many as asked for', async () => {
  const { ask, tailed } = routerWorld();
  expect(await ask({ cmd: 'logs', task_id: 'llm' })).toEqual({
    status: 'ok',
    data: {
      lines: [
        { ts: 5, stream: 'stderr', line: 'one', worker_id: 'llm~1' },
        { ts: 6, stream: 'stdout', line: 'two' },
      ],
    },
  });
  await ask({ cmd: 'logs', task_id: 'llm', lines: 7 });
  expect(tailed).toEqual([
    ['llm', 100],
    ['llm', 7],
  ]);
  const lines = LIMITS.logTailLines + 1;
  expect(await ask({ cmd: 'logs', task_id: 'llm', lines })).toMatchObject({ code: 'SN_ERR_REQUEST' });
});

test('code in the process calls with bytes, and gets the parts as they are', async () => {
  const { router, asked } = routerWorld(async (call) => {
    await call.part(part(1, 'a'));
    return part(2, 'b');
  });
  const parts: CallPart[] = [];
  const { signal } = new AbortController();
  const onPart = (found: CallPart) => {
    parts.push(found);
    return undefined;
  };
  expect(await router.call('llm', Buffer.of(1, 2), { timeoutMs: 9, signal, onPart })).toEqual(part(2, 'b'));
  expect(parts).toEqual([part(1, 'a')]);
  expect(asked).toMatchObject([{ taskId: 'llm', payload: Buffer.of(1, 2), timeoutMs: 9, signal }]);
});

test('code in the process that calls wrongly is told so', async () => {
  const { router } = routerWorld();
  await expect(router.call('other', Buffer.of())).rejects.toMatchObject({ code: 'SN_ERR_TASK_UNKNOWN' });
  await expect(router.call('a b', Buffer.of())).rejects.toMatchObject({ code: 'SN_ERR_TASK_ID' });
  await expect(router.call('llm', Buffer.of(), { timeoutMs: 0 })).rejects.toMatchObject({ code: 'SN_ERR_REQUEST' });
});

test('a call as a command of the process gives its parts to whoever asks for them', async () => {
  const { router } = routerWorld(async (call) => {
    await call.part(part(1, 'a'));
    return part(2, 'b');
  });
  const command = { cmd: 'call', task_id: 'llm', payload: 'go' };
  const last = { part: 2, last: true, payload: 'b', worker_id: 'llm~2' };
  const parts: unknown[] = [];
  const more = (data: unknown) => {
    parts.push(data);
    return undefined;
  };
  expect(await router.command(command, ADMIN)).toEqual(last);
  expect(await router.command(command, ADMIN, { more })).toEqual(last);
  expect(parts).toEqual([{ part: 1, last: false, payload: 'a', worker_id: 'llm~2' }]);
});

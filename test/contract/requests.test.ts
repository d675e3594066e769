import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Asker, connectAsker, WAYS, type Way } from '../fixtures/askers.js';
import { type ReplyBody, startTestNode, type TestNode } from '../fixtures/nodes.js';

/** What one request asks, as far as no way of asking is meant. */
interface Step {
  readonly does: string;
  run(asker: Asker): Promise<ReplyBody>;
}

/** Answers by lines, in two parts: what it was called with, and its length. */
const ECHO = `
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { call, payload } = JSON.parse(line.startsWith('{') ? line : '{}');
  if (call === undefined) return;
  if (payload === 'fail') return console.log(JSON.stringify({ reply: call, error: 'as asked' }));
  console.log(JSON.stringify({ reply: call, payload }));
  console.log(JSON.stringify({ reply: call, payload: String(payload.length), last: true }));
});`;

const CONFIG = {
  workers: {
    echo: {
      command: [process.execPath, '-e', ECHO],
      stdin: 'lines' as const,
      ready: 'spawn' as const,
      accept_tasks: true,
    },
  },
  tasks: [{ task_id: 'queue' }, { task_id: 'other' }, { task_id: 'silent' }],
};

const bytes = (text: string) => Buffer.from(text);
const step = (does: string, run: Step['run']): Step => ({ does, run });
const asks = (topic: string, body: Record<string, unknown> | string = {}) =>
  step(`${topic} ${typeof body === 'string' ? body : JSON.stringify(body)}`, (asker) => asker.ask(topic, body));
const puts = (task: string, ...texts: string[]) =>
  step(`put ${texts.join(', ')}`, async (asker) => {
    for (const text of texts) await asker.put(task, bytes(text));
    return { status: 'ok' };
  });
const cmd = (name: string, fields: Record<string, unknown> = {}) => asks('m/cmd', { cmd: name, ...fields });

const STEPS: readonly Step[] = [
  puts('queue', 'a', 'b', 'c', 'd'),
  asks('m/fetch/queue', { transaction: { any: ['thing'] } }),
  asks('m/fetch/queue', { max: 2, encoding: 'base64' }),
  asks('m/fetch/queue', { max: 10, group: 'second' }),
  asks('m/fetch/queue', { from: { seq: 1 }, max: 10 }),
  asks('m/fetch/queue', { max: 1, max_bytes: 1, wait_ms: 1 }),
  puts('other', 'x'),
  puts('queue', 'y'),
  asks('m/fetch', { max: 10 }),
  asks('m/fetch', { max: 10, wait_ms: 10, transaction: 7 }),
  puts('queue', '{"json":true}'),
  step('leases, extends and settles', async (asker) => {
    const { data } = await asker.ask('m/fetch/queue', { lease_ms: 60_000 });
    const extended = await asker.ask('m/ack', { lease: data.lease, lease_ms: 90_000 });
    const settled = await asker.ask('m/ack', { lease: data.lease, ok: true, transaction: 'done' });
    const again = await asker.ask('m/ack', { lease: data.lease, ok: true });
    return { status: 'ok', data: [data, extended, settled, again] };
  }),
  asks('m/ack', { lease: 'nobody', ok: true }),
  asks('m/ack', { ok: true }),
  asks('m/stat/queue'),
  asks('m/stat/nobody'),
  asks('m/fetch/nobody'),
  asks('m/fetch/queue', { maximum: 1 }),
  asks('m/fetch/queue', { max: 'many', transaction: 'kept' }),
  asks('m/fetch', { from: { seq: 1 } }),
  asks('m/cmd', 'no JSON'),
  asks('m/cmd', '[1]'),
  asks('m/cmd', `{"cmd":${'['.repeat(200)}${']'.repeat(200)}}`),
  asks('m/fetch/queue', '\u0000'),
  cmd('fly', { transaction: 'unknown' }),
  cmd('start', { task_id: 'echo', worker: 'echo' }),
  cmd('start', { task_id: 'echo', worker: 'echo', start_params: 'other' }),
  cmd('start', { task_id: 'new', worker: 'nobody' }),
  cmd('start', { task_id: 'own', command: ['true'] }),
  cmd('start', { task_id: '-' }),
  cmd('call', { task_id: 'echo', payload: 'hello', transaction: 'called' }),
  cmd('call', { task_id: 'echo', payload: 'fail' }),
  cmd('call', { task_id: 'silent', payload: 'nobody there' }),
  cmd('send', { task_id: 'echo', payload: 'a line' }),
  cmd('send', { task_id: 'echo' }),
  step('raw bytes to the workers', (asker) => asker.tell('echo', bytes('a line'))),
  step('raw bytes that are no line', (asker) => asker.tell('echo', bytes('two\nlines'))),
  step('raw bytes to nobody', (asker) => asker.tell('silent', bytes('a line'))),
  cmd('logs', { task_id: 'echo', lines: 5 }),
  cmd('signal', { task_id: 'echo', sig: 'SIGCONT' }),
  cmd('signal', { task_id: 'queue', sig: 'SIGCONT' }),
  cmd('stop', { task_id: 'echo' }),
  cmd('restart', { task_id: 'echo' }),
  cmd('remove', { task_id: 'echo' }),
  cmd('stop', { task_id: 'echo' }),
  puts('queue', 'left'),
  cmd('purge', { task_id: 'queue' }),
  cmd('requeue', { task_id: 'queue' }),
  cmd('remove_group', { task_id: 'queue', group: 'second' }),
  cmd('remove_group', { task_id: 'queue', group: 'second' }),
  cmd('workers'),
];

/** What is another one in each node and each run. */
const VOLATILE = new Set(['ts', 'epoch', 'lease', 'last_seen_ms', 'uptime_ms', 'pid', 'channels']);

/** A reply with what is different by chance taken out. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value === 'string') return value.replace(/one that has not ended, got ".*"/, 'one that has not ended');
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, VOLATILE.has(name) && field !== 'nobody' ? '…' : bare(field)]),
  );
}

interface Told {
  readonly does: string;
  readonly reply: unknown;
  readonly parts: unknown;
}

async function runAll(way: Way, kind: 'daemon' | 'plugin'): Promise<Told[]> {
  const node: TestNode = await startTestNode(kind, CONFIG);
  const asker = await connectAsker(way, node);
  try {
    const told: Told[] = [];
    for (const { does, run } of STEPS) {
      const reply = bare(await run(asker));
      told.push({ does, reply, parts: does.includes('"call"') ? bare(asker.parts) : [] });
    }
    return told;
  } finally {
    await asker.close();
    await node.close();
  }
}

describe.each(['daemon', 'plugin'] as const)('one contract, as %s', (kind) => {
  const told = new Map<Way, Told[]>();
  beforeAll(async () => {
    for (const way of WAYS) told.set(way, await runAll(way, kind));
  }, 60_000);

  test.each(WAYS.filter((way) => way !== 'mqtt'))('%s answers each request as mqtt does', (way) => {
    expect(told.get(way)).toEqual(told.get('mqtt'));
  });

  test('the requests were answered as meant: some well, each error by its code', () => {
    const replies = told.get('mqtt')?.map(({ reply }) => reply as ReplyBody) ?? [];
    expect(replies.filter(({ status }) => status === 'ok').length).toBeGreaterThan(20);
    expect([...new Set(replies.flatMap(({ code }) => code ?? []))].sort()).toEqual([
      'SN_ERR_CALL_FAILED',
      'SN_ERR_COMMAND_UNKNOWN',
      'SN_ERR_FORBIDDEN',
      'SN_ERR_GROUP_UNKNOWN',
      'SN_ERR_JSON',
      'SN_ERR_LEASE_UNKNOWN',
      'SN_ERR_NOT_RUNNING',
      'SN_ERR_NO_CHANNEL',
      'SN_ERR_REQUEST',
      'SN_ERR_TASK_EXISTS',
      'SN_ERR_TASK_ID',
      'SN_ERR_TASK_UNKNOWN',
      'SN_ERR_WORKER_UNKNOWN',
    ]);
  });

  test('the call had its parts, whichever way', () => {
    const called = told.get('rest')?.find(({ does }) => does.includes('"hello"'));
    expect(called?.parts).toEqual([{ part: 1, last: false, payload: 'hello', worker_id: 'echo' }]);
    expect(called?.reply).toMatchObject({ data: { part: 2, last: true, payload: '5' }, transaction: 'called' });
  });
});

describe('who asks over HTTP', () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode('daemon', CONFIG);
  });
  afterAll(() => node.close());

  test('many on one path get each their own answers', async () => {
    const askers = await Promise.all(Array.from({ length: 20 }, () => connectAsker('json websocket', node)));
    const replies = await Promise.all(askers.map((asker, at) => asker.ask('m/stat/queue', { transaction: at })));
    expect(replies.map(({ transaction }) => transaction)).toEqual(askers.map((_, at) => at));
    await Promise.all(askers.map((asker) => asker.close()));
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type CliSetup, cli } from '../../fixtures/cli.js';
import type { Answer, FakeNode, FakeRequest } from '../../fixtures/fake-node.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

const terminal = { columns: 60, rows: 24 };
const plain = { NO_COLOR: '1' };
const unknown = { status: 'error', code: 'SN_ERR_TASK_UNKNOWN', error: 'task_id: expected a task, got "cam1"' };
const bounds = {
  length: 1_000,
  bytes: 16_777_216,
  overflow: 'block',
  ttl_ms: 300_000,
  max_attempts: 0,
  storage: 'disk',
};
const figures = { length: 3, ready: 2, bytes: 2_048, seq: 9, dropped: 4, discarded: 1, epoch: 'Zk3v', bounds };

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-queue-files-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const entry = (seq: number, content: object = { payload: `n${seq}` }) => ({
  task_id: 'cam1',
  seq,
  ts: 1_767_225_600_000,
  attempts: 0,
  ...content,
});

/** A queue that gives at most `pageMax` of its entries in one answer. */
function holding(entries: readonly ReturnType<typeof entry>[], queue: object, pageMax = 1_000) {
  return ({ topic, body }: FakeRequest): Answer => {
    if (topic === 'm/stat/cam1') return ok({ queue });
    const { seq = 0 } = { ...(body.from as object) } as { seq?: number };
    return ok({ entries: entries.filter((held) => held.seq >= seq).slice(0, pageMax) });
  };
}

describe('queue inspect', () => {
  const hostile = entry(5, { topic: 'tele/x', payload: `\u001b[2Jhot ${'x'.repeat(5_000)}` });

  test('shows the queue, its groups and its oldest entry', async () => {
    const groups = { db: { ready: 2, leased: 1, dropped: 5 } };
    const { url, requests } = await nodeThat(holding([hostile], { ...figures, dead: 1, groups }));
    const run = cli(['queue', 'inspect', 'cam1', '--url', url], { terminal, env: plain });
    expect(await run.ended).toBe(0);
    expect(requests.map(({ topic, body }) => [topic, body.from, body.max])).toEqual([
      ['m/stat/cam1', undefined, undefined],
      ['m/fetch/cam1', { seq: 0 }, 1],
    ]);
    expect(run.stdout().split('\n')).toEqual([
      'cam1',
      '  storage    disk',
      '  bounds     1000 entries, 16.0 MiB, block, ttl 5m 0s',
      '  epoch      Zk3v',
      '  length     3',
      '  bytes      2.0 KiB',
      '  ready      2',
      '  dead       1',
      '  dropped    4',
      '  discarded  1',
      '  last seq   9',
      '',
      'groups',
      '  GROUP  READY  LEASED  DROPPED',
      '  db         2       1        5',
      '',
      'oldest entry',
      '  seq    5',
      '  time   2026-01-01T00:00:00.000Z',
      '  topic  tele/x',
      '  size   4.9 KiB',
      `  text   [2Jhot ${'x'.repeat(43)}…`,
      '',
    ]);
  });

  test('shows why nothing can be put, and no entry where there is none', async () => {
    const { url } = await nodeThat(holding([], { ...figures, storage_error: 'ENOSPC: no space left' }));
    const run = cli(['queue', 'inspect', 'cam1', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toMatch(/^ {2}nothing can be put: ENOSPC: no space left$/m);
    expect(run.stdout()).not.toContain('oldest');
  });

  test('--json is one object, the start of bytes that are no text in base64', async () => {
    const bytes = Buffer.from([0xff, 0, 1]).toString('base64');
    const { url } = await nodeThat(holding([entry(5, { payload_base64: bytes })], figures));
    const run = cli(['queue', 'inspect', 'cam1', '--json', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(JSON.parse(run.stdout())).toEqual({
      task_id: 'cam1',
      queue: figures,
      oldest: { seq: 5, ts: 1_767_225_600_000, bytes: 3, start: bytes, encoding: 'base64' },
    });
  });

  test('tells what the node refuses', async () => {
    const { url } = await nodeThat(() => unknown);
    expect(await cli(['queue', 'inspect', 'cam1', '--url', url]).ended).toBe(1);
    const run = cli(['queue', 'inspect', 'cam1', '--json', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(JSON.parse(run.stdout())).toMatchObject(unknown);
  });
});

describe('queue export', () => {
  const entries = [
    entry(2, { topic: 'tele/x', payload: 'a\u001b' }),
    entry(4, { payload_base64: '/wA=' }),
    entry(5, { payload: '' }),
    entry(7),
    // Put since it began.
    entry(8),
  ];

  test('prints what was held when it began, page by page, as NDJSON', async () => {
    const { url, requests } = await nodeThat(holding(entries, { ...figures, seq: 7 }, 2));
    const run = cli(['queue', 'export', 'cam1', '--url', url]);
    expect(await run.ended).toBe(0);
    const lines = run.stdout().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(entries.slice(0, 4).map(({ attempts: _, ...rest }) => rest));
    expect(run.stdout()).not.toContain('\u001b');
    expect(run.stderr()).toBe('exported 4 entries, 6 bytes\n');
    const asked = requests.filter(({ topic }) => topic === 'm/fetch/cam1').map(({ body }) => body);
    expect(asked.map(({ from }) => from)).toEqual([{ seq: 0 }, { seq: 5 }]);
    for (const body of asked) expect(body).toMatchObject({ max: 10_000, max_bytes: 1_048_576 });
  });

  test('--from, -o and --json: a file, and the sums as JSON', async () => {
    const { url } = await nodeThat(holding(entries, { ...figures, seq: 7 }));
    const file = join(dir, 'out.ndjson');
    const run = cli(['queue', 'export', 'cam1', '--from', '5', '-o', file, '--json', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe('');
    expect(run.stderr()).toBe('{"exported":2,"bytes":2}\n');
    expect(readFileSync(file, 'utf8').match(/"seq":\d/g)).toEqual(['"seq":5', '"seq":7']);
  });

  test('asks for nothing when the queue is empty, and leaves a file alone when the task is unknown', async () => {
    const empty = await nodeThat(holding([], { ...figures, seq: 0 }));
    const run = cli(['queue', 'export', 'cam1', '--url', empty.url]);
    expect(await run.ended).toBe(0);
    expect([run.stdout(), run.stderr()]).toEqual(['', 'exported 0 entries, 0 bytes\n']);

    const file = join(dir, 'kept');
    writeFileSync(file, 'as it was');
    const { url } = await nodeThat(() => unknown);
    expect(await cli(['queue', 'export', 'cam1', '-o', file, '--url', url]).ended).toBe(1);
    expect(readFileSync(file, 'utf8')).toBe('as it was');
  });

  test.each([
    [2, 'that cannot be opened', () => dir, 'EISDIR'],
    [1, 'that cannot be written', () => '/dev/full', 'ENOSPC'],
  ])('%i: a file %s', async (code, _title, file, why) => {
    const { url } = await nodeThat(holding(entries, figures));
    const run = cli(['queue', 'export', 'cam1', '-o', file(), '--url', url]);
    expect(await run.ended).toBe(code);
    expect(run.stderr()).toBe(`super-node: ${file()}: expected a file that can be written, got ${why}\n`);
  });

  test('1: the queue was made anew meanwhile', async () => {
    let epoch = 0;
    const { url } = await nodeThat((request) => holding(entries, { ...figures, epoch: `e${++epoch}` })(request));
    const run = cli(['queue', 'export', 'cam1', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toMatch(/^super-node: cam1: expected one queue, got another one meanwhile \(epoch e1, then /);
  });

  test('130: interrupted while whoever reads stands still', async () => {
    const { url } = await nodeThat(holding(entries, figures));
    const stalled = vi.fn();
    const run = cli(['queue', 'export', 'cam1', '--url', url], { stdoutStalls: stalled });
    await vi.waitFor(() => expect(stalled).toHaveBeenCalled());
    run.interrupt();
    expect(await run.ended).toBe(130);
    expect(run.stderr()).toBe('');
  });

  test('a terminal shows progress on stderr, and never among the entries', async () => {
    const node: FakeNode = await nodeThat((request) =>
      request.topic === 'm/stat/cam1' ? ok({ queue: figures }) : undefined,
    );
    const piped = cli(['queue', 'export', 'cam1', '--url', node.url], { stderrTerminal: true });
    await vi.waitFor(() => expect(piped.stderr()).toBe('\r\u001b[Kexported 0 entries, 0 B'));
    const [page] = node.requests.filter(({ topic }) => topic === 'm/fetch/cam1');
    if (page) await node.reply(page, { status: 'ok', data: { entries: [] } });
    expect(await piped.ended).toBe(0);
    expect(piped.stderr().split('\r\u001b[K').at(-1)).toBe('exported 0 entries, 0 bytes\n');

    const { url } = await nodeThat(holding(entries, figures));
    const seen = cli(['queue', 'export', 'cam1', '--url', url], { terminal, stderrTerminal: true });
    expect(await seen.ended).toBe(0);
    expect(seen.stderr()).toBe('exported 5 entries, 8 bytes\n');
  });
});

describe('queue import', () => {
  /** A node that tells its limits, and what it was given to put. */
  async function taking(answer: (request: FakeRequest) => Answer = () => ok({ queue: figures }), packetBytes = 1_000) {
    const node = await nodeThat(answer);
    await node.publish('m/info', JSON.stringify({ limits: { packet_bytes: packetBytes } }), true);
    const puts: Buffer[] = [];
    node.broker.on('publish', ({ topic, payload }, client) => {
      if (client && topic === 'w/ch/cam1') puts.push(Buffer.from(payload));
    });
    return { node, puts };
  }
  const importing = ({ url }: FakeNode, setup: CliSetup, ...args: string[]) =>
    cli(['queue', 'import', 'cam1', ...args, '--url', url], setup);
  const text = (...lines: string[]) => [Buffer.from(lines.join('\n'))];

  test('puts payloads in their order, and nothing else of a line', async () => {
    const { node, puts } = await taking();
    const lines = text(
      '{"payload":"é\\u0000","seq":9}',
      '{"payload_base64":"/wA=","topic":"x"}\r',
      ' ',
      '{"payload":""}',
    );
    // Cut in the midst of a character and of a line.
    const stdin = lines.flatMap((bytes) => [bytes.subarray(0, 13), bytes.subarray(13, 40), bytes.subarray(40)]);
    const run = importing(node, { stdin });
    expect(await run.ended).toBe(0);
    expect(puts).toEqual([Buffer.from('é\0'), Buffer.from([0xff, 0]), Buffer.alloc(0)]);
    expect([run.stdout(), run.stderr()]).toEqual(['imported 3 entries, 5 bytes\n', '']);
  });

  test.each([
    ['expected JSON in UTF-8, got none', '{"payload":'],
    ['expected JSON in UTF-8, got other bytes', '{"payload":"\xff"}'],
    ['expected a JSON object, got [1]', '[1]'],
    ['expected payload or payload_base64, got neither', '{"seq":1}'],
    ['expected payload or payload_base64, got both', '{"payload":"a","payload_base64":""}'],
    ['expected text as payload, got {"a":1}', '{"payload":{"a":1}}'],
    ['expected text that UTF-8 can carry as payload, got half of a surrogate pair', '{"payload":"\\ud800"}'],
    ['expected whole bytes in base64 as payload_base64, got "a"', '{"payload_base64":"a"}'],
    ['expected whole bytes in base64 as payload_base64, got "a b="', '{"payload_base64":"a b="}'],
    ['expected whole bytes in base64 as payload_base64, got "ab="', '{"payload_base64":"ab="}'],
    [
      'expected at most 982 bytes, as packets of this node have 1000 at most, got 983',
      `{"payload":"${'x'.repeat(983)}"}`,
    ],
    ['expected at most 1054576 bytes, got more', `{"payload":"","x":"${'x'.repeat(1_100_000)}"}`],
  ])('2: a line that is wrong: %s', async (complaint, line) => {
    const { node, puts } = await taking();
    const file = join(dir, 'in.ndjson');
    writeFileSync(file, Buffer.from(`{"payload":"one"}\n\n${line}\n{"payload":"four"}\n`, 'latin1'));
    const run = importing(node, {}, file);
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toContain(`super-node: ${file} line 3: ${complaint}`);
    expect(run.stderr()).toMatch(/; imported 1 entries, 3 bytes, up to line 1\n$/);
    expect(puts.map(String)).toEqual(['one']);
  });

  test('2: a file that is not there', async () => {
    const { node } = await taking();
    const run = importing(node, {}, join(dir, 'none'));
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toContain('expected a file that can be read, got ENOENT; nothing imported');
  });

  test('1: the node refuses, and nothing after that counts as imported', async () => {
    const { node } = await taking();
    let puts = 0;
    node.broker.authorizePublish = (_client, { topic }, done) => {
      if (topic !== 'w/ch/cam1' || ++puts < 3) return done(null);
      node
        .publish('m/reply', JSON.stringify({ status: 'error', code: 'SN_ERR_LIMIT', error: 'no more tasks' }))
        .then(() => done(null), done);
    };
    const stdin = text(...Array.from({ length: 9 }, (_, index) => `{"payload":"${index}"}`));
    const run = importing(node, { stdin });
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toBe('super-node: no more tasks; imported 2 entries, 2 bytes, up to line 2 (SN_ERR_LIMIT)\n');
  });

  test('waits for acknowledgements as long as it takes, and reads no more than it has on its way', async () => {
    const { node, puts } = await taking();
    const held: (() => void)[] = [];
    let isOpen = false;
    node.broker.authorizePublish = (_client, { topic }, done) => {
      if (isOpen || topic !== 'w/ch/cam1') done(null);
      else held.push(() => done(null));
    };
    let read = 0;
    async function* stdin() {
      for (; read < 1_000; read++) yield Buffer.from(`{"payload":"${read}"}\n`);
    }
    const run = importing(node, { stdin: stdin(), stderrTerminal: true }, '--timeout', '1000');
    // Far beyond the timeout of a request.
    await vi.waitFor(() => expect(run.stderr()).toContain('; waiting for the node for 2.'), 10_000);
    expect(read).toBe(256);
    expect(run.stdout()).toBe('');
    isOpen = true;
    for (const go of held) go();
    expect(await run.ended).toBe(0);
    expect(puts.map(String)).toEqual(Array.from({ length: 1_000 }, (_, index) => `${index}`));
    expect(run.stdout()).toBe('imported 1000 entries, 2890 bytes\n');
  });

  test('tells what the queue lost meanwhile, with --json as part of one object', async () => {
    const losing = () => {
      let looks = 0;
      return () => (++looks % 2 === 1 ? unknown : ok({ queue: { ...figures, dropped: 3, discarded: 2 } }));
    };
    const { node } = await taking(losing());
    const run = importing(node, { stdin: text('{"payload":"a"}') });
    expect(await run.ended).toBe(0);
    expect(run.stderr().split('\n')).toEqual([
      'super-node: 3 entries dropped meanwhile, as the queue was full',
      'super-node: 2 entries discarded meanwhile, as the task is stopped',
      '',
    ]);
    const json = importing(node, { stdin: text('{"payload":"a"}') }, '--json');
    expect(await json.ended).toBe(0);
    expect(JSON.parse(json.stdout())).toEqual({
      status: 'ok',
      imported: 1,
      bytes: 1,
      line: 1,
      dropped: 3,
      discarded: 2,
    });
  });

  test('130 and 3: interrupted or cut off while stdin gives nothing, it tells how far it came', async () => {
    const { node, puts } = await taking();
    async function* stdin() {
      yield Buffer.from('{"payload":"a"}\n');
      await new Promise(() => undefined);
    }
    const interrupted = importing(node, { stdin: stdin() });
    await vi.waitFor(() => expect(puts).toHaveLength(1));
    interrupted.interrupt();
    expect(await interrupted.ended).toBe(130);
    expect(interrupted.stderr()).toBe('imported 1 entries, 1 bytes, up to line 1\n');

    const cut = importing(node, { stdin: stdin() }, '--json');
    await vi.waitFor(() => expect(puts).toHaveLength(2));
    node.drop();
    expect(await cut.ended).toBe(3);
    expect(JSON.parse(cut.stdout())).toMatchObject({ status: 'error', error: expect.stringContaining('was lost') });
  });
});

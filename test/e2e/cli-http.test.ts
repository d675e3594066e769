import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeConfig } from '../../src/app/super-node.js';
import { type CliSetup, cli } from '../fixtures/cli.js';
import { startTestNode, type TestNode } from '../fixtures/nodes.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Answers a call in three parts, and says in its log what else it gets. */
const ANSWERS = `
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    let call;
    try { call = JSON.parse(line).call; } catch {}
    if (call === undefined) return console.log('got ' + line);
    for (const [payload, last] of [['one ', false], ['two ', false], ['three', true]]) {
      console.log(JSON.stringify({ reply: call, payload, last }));
    }
  });
  console.log('up');`;

const quick = { ready: 'spawn', backoff: { initial_ms: 20, jitter: 0 }, second_sig_duration: 2_000 } as const;
const workers: NonNullable<NodeConfig['workers']> = {
  sh: { command: ['sh', '-c', '{start_params}'], ...quick },
  answers: { command: [process.execPath, '-e', ANSWERS], stdin: 'lines', accept_tasks: true, ...quick },
};

const file = (...payloads: string[]) => [
  Buffer.from(payloads.map((payload) => `${JSON.stringify({ payload })}\n`).join('')),
];

describe.each(['mqtt', 'http'] as const)('the command line over %s', (scheme) => {
  let node: TestNode;
  let url: string;

  beforeEach(async () => {
    node = await startTestNode('daemon', { workers });
    url = scheme === 'mqtt' ? `mqtt://127.0.0.1:${node.port}` : node.httpUrl;
  });
  afterEach(() => node.close());

  const start = (argv: string[], setup: CliSetup = {}) => cli([...argv, '--url', url], setup);
  /** What it printed, and how it ended. */
  const run = async (argv: string[], setup: CliSetup = {}) => {
    const { ended, stdout, stderr } = start(argv, setup);
    return { code: await ended, out: stdout(), err: stderr() };
  };
  const said = (out: string, code = 0) => ({ code, out, err: '' });
  const status = async (task: string) => JSON.parse((await run(['stat', task, '--json'])).out).data;
  const untilReady = (queueReady: number, task: string) =>
    waitFor(async () => (await status(task)).queue.ready === queueReady);

  test('starts, shows, signals, restarts, stops and removes a task', async () => {
    expect(await run(['start', 'cam1', '-w', 'sh', '-p', 'exec sleep 60'])).toEqual(said('cam1 started\n'));
    expect((await run(['stat'])).out).toMatch(/^cam1 +ready +\d+ +1 /m);
    expect((await run(['stat', 'cam1'])).out).toContain('exec sleep 60');
    expect((await run(['workers'])).out).toContain('sh -c {start_params}');
    expect(await run(['signal', 'cam1', 'CONT'])).toEqual(said('cam1 got SIGCONT\n'));
    expect(await run(['restart', 'cam1'])).toEqual(said('cam1 restarted\n'));
    expect(await run(['restart', '--all'])).toMatchObject({ code: 0, err: '' });
    expect((await status('cam1')).generation).toBe(3);
    expect((await run(['top', '--once'])).out).toMatch(/^cam1 +ready +\d+/m);
    expect(await run(['stop', 'cam1'])).toEqual(said('cam1 stopped\n'));
    expect((await status('cam1')).state).toBe('stopped');
    expect(await run(['remove', 'cam1'])).toEqual(said('cam1 removed\n'));
  });

  test('an error of the node is one line and exit code 1', async () => {
    const refusal = 'super-node: task_id: expected a task of this node, got "nope" (SN_ERR_TASK_UNKNOWN)\n';
    for (const argv of [
      ['stop', 'nope'],
      ['stat', 'nope'],
      ['fetch', 'nope'],
      ['logs', 'nope', '-f'],
      ['send', 'nope', 'x'],
    ]) {
      expect(await run(argv)).toEqual({ code: 1, out: '', err: refusal });
    }
    const { code, out } = await run(['stop', 'nope', '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ status: 'error', code: 'SN_ERR_TASK_UNKNOWN' });
  });

  test('sends and calls: the answer comes part by part', async () => {
    await run(['start', 'llm', '-w', 'answers']);
    await waitFor(async () => (await run(['logs', 'llm'])).out.includes('up'));
    expect(await run(['send', 'llm', 'hello'])).toEqual(said('5 bytes sent to llm (channels: 1)\n'));
    await waitFor(async () => (await run(['logs', 'llm'])).out.includes('got hello'));
    expect(await run(['call', 'llm', 'why?'])).toEqual(said('one two three'));
    const { out } = await run(['call', 'llm', 'why?', '--json']);
    const parts = out.trimEnd().split('\n');
    expect(parts.map((line) => JSON.parse(line).data)).toMatchObject([
      { part: 1, payload: 'one ', last: false },
      { part: 2, payload: 'two ', last: false },
      { part: 3, payload: 'three', last: true },
    ]);
    await run(['start', 'deaf', '-w', 'sh', '-p', 'exec sleep 60']);
    expect(await run(['call', 'deaf', 'x'])).toMatchObject({ code: 1, out: '' });
  });

  test('imports, looks at, fetches, exports and purges a queue, byte for byte and in order', async () => {
    const stdin = file('one', 'two\nlines', '', 'three\r', 'four');
    expect(await run(['queue', 'import', 'q'], { stdin })).toEqual(said('imported 5 entries, 22 bytes\n'));
    expect((await run(['queue', 'ls'])).out).toMatch(/^q +5 +5 /m);
    expect((await run(['queue', 'inspect', 'q'])).out).toContain('ready      5');
    expect(await run(['fetch', 'q', '--from', '0', '-n', '2'])).toEqual(said('one\ntwo\nlines\n'));
    expect(await run(['fetch', 'q', '-n', '3'])).toEqual(said('one\ntwo\nlines\n\n'));
    const { out, err } = await run(['queue', 'export', 'q']);
    expect(err).toBe('exported 2 entries, 10 bytes\n');
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).payload),
    ).toEqual(['three\r', 'four']);
    expect(await run(['queue', 'purge', 'q'])).toEqual(said('q: 2 entries purged\n'));
    expect(await run(['fetch', 'q'])).toEqual(said(''));
    expect(await run(['queue', 'remove-group', 'q', 'none'])).toMatchObject({ code: 1, out: '' });
  });

  test('what was fetched and could not be written goes back at once', async () => {
    await run(['queue', 'import', 'q'], { stdin: file('one', 'two') });
    const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    expect(await run(['fetch', 'q', '-n', '2'], { writeError: () => broken })).toEqual(said(''));
    await untilReady(2, 'q');
    const full = () => new Error('ENOSPC: no space left on device');
    const failed = await run(['fetch', 'q', '-n', '2'], { writeError: full });
    expect(failed).toMatchObject({ code: 1, err: 'super-node: cannot write: ENOSPC: no space left on device\n' });
    await untilReady(2, 'q');
    expect(await run(['fetch', 'q', '-n', '2'])).toEqual(said('one\ntwo\n'));
  });

  test('an interrupted fetch gives back what is not written, and takes nothing more', async () => {
    await run(['queue', 'import', 'q'], { stdin: file('one') });
    const steps: string[] = [];
    const stalled = start(['fetch', 'q'], { stdoutStalls: () => void steps.push('stalled') });
    await waitFor(() => steps.length > 0);
    stalled.interrupt();
    expect(await stalled.ended).toBe(130);
    await untilReady(1, 'q');
    await run(['fetch', 'q']);
    const waiting = start(['fetch', 'q', '--wait', '60000']);
    await status('q');
    waiting.interrupt(143);
    expect(await waiting.ended).toBe(143);
    await run(['queue', 'import', 'q'], { stdin: file('two') });
    await untilReady(1, 'q');
  });

  test('fetch --follow goes on until it is interrupted', async () => {
    await run(['queue', 'import', 'q'], { stdin: file('one') });
    const following = start(['fetch', 'q', '--follow']);
    await waitFor(() => following.stdout() === 'one\n');
    await run(['queue', 'import', 'q'], { stdin: file('two') });
    await waitFor(() => following.stdout() === 'one\ntwo\n');
    following.interrupt();
    expect(await following.ended).toBe(130);
    await untilReady(0, 'q');
  });

  test('an import into a full queue that blocks waits for room', async () => {
    await run(['start', 'narrow', '--set', 'queue.length=2', '--set', 'queue.overflow=block']);
    const payloads = ['a', 'b', 'c', 'd', 'e'];
    const importing = start(['queue', 'import', 'narrow'], { stdin: file(...payloads) });
    const following = start(['fetch', 'narrow', '--follow']);
    await waitFor(() => following.stdout() === 'a\nb\nc\nd\ne\n');
    expect(await importing.ended).toBe(0);
    expect(importing.stdout()).toBe('imported 5 entries, 5 bytes\n');
    following.interrupt();
    await following.ended;
  });

  test('an entry that is too large ends an import: what came before it is in, nothing after it', async () => {
    const stdin = file('before', 'x'.repeat(1_048_577), 'after');
    const { code, err } = await run(['queue', 'import', 'q'], { stdin });
    expect(code).toBe(2);
    expect(err).toMatch(/line 2: .*expected at most \d+ bytes.*; imported 1 entries, 6 bytes, up to line 1/);
    expect((await run(['fetch', 'q', '-n', '9'])).out).toBe('before\n');
  });

  test('tail and events print what comes, of all tasks too', async () => {
    await run(['queue', 'import', 'q'], { stdin: file('old') });
    const tails = [start(['tail', 'q']), start(['tail', '--json'])];
    const events = start(['events', '--json']);
    // Who listens hears all from then on, and only that.
    await waitFor(async () => {
      await run(['queue', 'import', 'q'], { stdin: file('probe') });
      return tails.every(({ stdout }) => stdout().includes('probe'));
    });
    await waitFor(async () => {
      await run(['start', 'probe', '-w', 'sh', '-p', 'exec sleep 60']);
      await run(['remove', 'probe']);
      return events.stdout().includes('probe');
    });
    const bytes = [Buffer.from('{"payload_base64":"/wA="}\n{"payload":"a\\nb"}\n')];
    await run(['queue', 'import', 'q'], { stdin: bytes });
    await waitFor(() => tails.every(({ stdout }) => stdout().includes('b')));
    expect(tails[0]?.stdoutBytes().includes(Buffer.from([0xff, 0, 10]))).toBe(true);
    await waitFor(() => tails[1]?.stdout().includes('{"task_id":"q","payload":"a\\nb"}'));
    expect(tails[1]?.stdout()).toContain('{"task_id":"q","payload_base64":"/wA="}');
    expect(tails[1]?.stdout()).not.toContain('old');
    for (const following of [...tails, events]) {
      following.interrupt();
      expect(await following.ended).toBe(130);
      expect(following.stderr()).toBe('');
    }
  });

  test('logs prints the past, and with -f each new line once', async () => {
    const script = 'i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.01; done';
    await run(['start', 'chatty', '-w', 'sh', '-p', script]);
    await waitFor(async () => (await run(['logs', 'chatty'])).out.includes('line 20\n'));
    const following = start(['logs', 'chatty', '-f', '-n', '5']);
    await waitFor(() => following.stdout().split('\n').length > 60);
    following.interrupt();
    expect(await following.ended).toBe(130);
    const numbers = following
      .stdout()
      .trimEnd()
      .split('\n')
      .map((line) => Number(line.slice(5)));
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
  });

  test('logs of all tasks names them, and takes up those that come later', async () => {
    const following = start(['logs']);
    const script = 'while :; do echo here; sleep 0.02; done';
    await run(['start', 'first', '-w', 'sh', '-p', script]);
    await waitFor(() => following.stdout().includes('first  here\n'));
    await run(['start', 'second', '-w', 'sh', '-p', script]);
    await waitFor(() => following.stdout().includes('second  here\n'));
    following.interrupt();
    expect(await following.ended).toBe(130);
  });

  test('the end of the node ends what follows with 3', async () => {
    const following = [start(['events']), start(['tail']), start(['fetch', '--follow'])];
    await waitFor(async () => JSON.parse((await run(['stat', '--json'])).out).data.connections >= 2);
    await node.close();
    for (const { ended, stderr } of following) {
      const code = await ended;
      expect([code, stderr()]).toEqual([3, expect.stringMatching(/was lost|cannot connect/)]);
    }
    expect(await run(['stat'])).toMatchObject({ code: 3, err: expect.stringContaining('is the node running?') });
  });
});

import { describe, expect, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

const TS = 1_767_225_600_000;
const lines = [
  { ts: TS, stream: 'stdout', line: 'one \u001b[2J' },
  { ts: TS + 1, stream: 'stderr', line: 'two' },
];

describe('logs of a task', () => {
  test('prints the lines that the node holds, and ends', async () => {
    const { url, requests } = await nodeThat(() => ok({ lines }));
    const run = cli(['logs', 'cam1', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(requests[0]).toMatchObject({ topic: 'm/cmd', body: { cmd: 'logs', task_id: 'cam1', lines: 100 } });
    expect(run.stdout()).toBe('one [2J\ntwo\n');
  });

  test('-n asks for so many, -t prints their times', async () => {
    const { url, requests } = await nodeThat(() => ok({ lines }));
    const run = cli(['logs', 'cam1', '-n', '2', '-t', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(requests[0]?.body.lines).toBe(2);
    expect(run.stdout()).toBe('2026-01-01T00:00:00.000Z  one [2J\n2026-01-01T00:00:00.001Z  two\n');
  });

  test('names the worker where the node does', async () => {
    const { url } = await nodeThat(() => ok({ lines: [{ ts: TS, line: 'x', worker_id: 'llm~2' }] }));
    const run = cli(['logs', 'llm', '--url', url]);
    await run.ended;
    expect(run.stdout()).toBe('llm~2  x\n');
  });

  test('--json prints one line of output a line, with all that the node tells', async () => {
    const { url } = await nodeThat(() => ok({ lines }));
    const run = cli(['logs', 'cam1', '--json', '--url', url]);
    await run.ended;
    const printed = run.stdout().trim().split('\n');
    expect(printed.map((line) => JSON.parse(line))).toEqual(lines.map((line) => ({ task_id: 'cam1', ...line })));
  });

  test('of a task that is none is 1', async () => {
    const { url } = await nodeThat(() => ({ status: 'error', error: 'no such task', code: 'SN_ERR_TASK_UNKNOWN' }));
    const run = cli(['logs', 'x', '-f', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toBe('super-node: no such task (SN_ERR_TASK_UNKNOWN)\n');
  });
});

describe('logs --follow', () => {
  test('listens before it asks, and prints no line twice', async () => {
    const steps: string[] = [];
    const node = await nodeThat((request) => {
      steps.push('asked');
      // The node wrote `two` before it answered: it is in the history, and comes as a live line as well.
      node
        .publish('m/log/cam1', 'two')
        .then(() => node.reply(request, { status: 'ok', data: { lines } }))
        .then(() => node.publish('m/log/cam1', 'three'))
        .catch((error) => steps.push(`${error}`));
      return undefined;
    });
    node.broker.on('subscribe', ([first]) => void steps.push(`${first?.topic}`));
    const run = cli(['logs', 'cam1', '-f', '--url', node.url]);
    await vi.waitFor(() => expect(run.stdout()).toContain('three\n'));
    run.interrupt();
    expect(await run.ended).toBe(130);
    expect(steps).toEqual(['m/reply', 'm/log/cam1', 'asked']);
    expect(run.stdout()).toBe('one [2J\ntwo\nthree\n');
  });

  test('leaves out lines of the history that come live after it, and nothing new', async () => {
    const past = ['one', 'two', 'three'].map((line) => ({ ts: TS, stream: 'stdout', line }));
    const node = await nodeThat((request) => {
      node
        .reply(request, { status: 'ok', data: { lines: past } })
        .then(async () => {
          for (const line of ['two', 'three', 'four', 'three', 'end']) await node.publish('m/log/cam1', line);
        })
        .catch((error) => expect.fail(`${error}`));
      return undefined;
    });
    const run = cli(['logs', 'cam1', '-f', '--url', node.url]);
    await vi.waitFor(() => expect(run.stdout()).toContain('end\n'));
    run.interrupt();
    await run.ended;
    expect(run.stdout()).toBe('one\ntwo\nthree\nfour\nthree\nend\n');
  });

  test('-n 0 asks for nothing and prints new lines alone', async () => {
    const { url, requests, broker, publish } = await nodeThat(() => ok({ lines }));
    broker.on('subscribe', ([first]) => void (first?.topic === 'm/log/cam1' && publish('m/log/cam1', 'new')));
    const run = cli(['logs', 'cam1', '-f', '-n', '0', '--url', url]);
    await vi.waitFor(() => expect(run.stdout()).toBe('new\n'));
    run.interrupt();
    await run.ended;
    expect(requests).toEqual([]);
  });

  test('ends with 3 when the node goes', async () => {
    const { url, drop } = await nodeThat(() => ok({ lines }));
    const run = cli(['logs', 'cam1', '-f', '--url', url]);
    await vi.waitFor(() => expect(run.stdout()).toContain('two'));
    drop();
    expect(await run.ended).toBe(3);
  });
});

describe('logs of all tasks', () => {
  async function printed(argv: string[]) {
    const { url, broker, publish } = await nodeThat(() => undefined);
    broker.on('subscribe', ([first]) => void (first?.topic === 'm/log/+' && publish('m/log/cam1', '{"a":1}\u001b[2J')));
    const run = cli(['logs', ...argv, '--url', url]);
    await vi.waitFor(() => expect(run.stdout()).toContain('\n'));
    run.interrupt();
    expect(await run.ended).toBe(130);
    return run.stdout();
  }

  test('follow, name the task and lose control characters, in a pipe too', async () => {
    expect(await printed([])).toBe('cam1  {"a":1}[2J\n');
  });

  test('-t gives a new line the time of its arrival', async () => {
    expect(await printed(['-t'])).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}cam1 {2}\{"a":1\}\[2J\n$/);
  });

  test('--json', async () => {
    expect(await printed(['--json'])).toBe('{"task_id":"cam1","line":"{\\"a\\":1}\\u001b[2J"}\n');
  });
});

import { describe, expect, test } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import type { FakeRequest } from '../../fixtures/fake-node.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

type Status = Record<string, unknown>;

const process = (task_id: string, state = 'ready'): Status => ({ task_id, kind: 'process', state });

/** A node with these tasks. `after` gives what m/stat of a task tells after its restart, one status a look; the last
 *  one stays. */
async function nodeOf(tasks: readonly Status[], after: Readonly<Record<string, Status[]>>) {
  const looks = new Map(Object.entries(after));
  const fake = await nodeThat(({ topic, body }: FakeRequest) => {
    if (topic === 'm/stat') return ok({ tasks });
    if (topic === 'm/cmd') return ok({ task_id: body.task_id });
    const left = looks.get(topic.slice('m/stat/'.length)) ?? [];
    return ok(left.length > 1 ? left.shift() : (left[0] ?? { state: 'ready' }));
  });
  const restarted = () => fake.requests.flatMap(({ body }) => (body.cmd === 'restart' ? [body.task_id] : []));
  return { ...fake, restarted };
}

describe('restart --all', () => {
  test('restarts one task after the other, each once the one before is ready', async () => {
    const node = await nodeOf([process('cam2'), process('cam1', 'backoff')], {
      cam2: [{ state: 'stopping' }, { state: 'starting' }, { state: 'ready' }],
    });
    const run = cli(['restart', '--all', '--url', node.url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toMatch(
      /^cam2 restarted, ready after \d\.\d s \(1\/2\)\ncam1 restarted, ready after \d\.\d s \(2\/2\)\n$/,
    );
    expect(node.requests.map(({ topic, body }) => `${topic} ${body.task_id ?? ''}`)).toEqual([
      'm/stat ',
      'm/cmd cam2',
      'm/stat/cam2 ',
      'm/stat/cam2 ',
      'm/stat/cam2 ',
      'm/cmd cam1',
      'm/stat/cam1 ',
    ]);
  });

  test('leaves alone what nobody wants to run, and net clients', async () => {
    const resting = ['stopped', 'exited', 'failed'].map((state) => process(`t-${state}`, state));
    const node = await nodeOf([...resting, { task_id: 'net', kind: 'net', state: 'ready' }, process('cam1')], {});
    const run = cli(['restart', '--all', '--url', node.url]);
    expect(await run.ended).toBe(0);
    expect(node.restarted()).toEqual(['cam1']);
  });

  test('leaves jobs alone, which start anew by themselves, before their first run too', async () => {
    const jobs = [0, 12].map((runs) => ({ ...process(`job-${runs}`), runs }));
    const node = await nodeOf([...jobs, process('cam1')], {});
    const run = cli(['restart', '--all', '--url', node.url]);
    expect(await run.ended).toBe(0);
    expect(node.restarted()).toEqual(['cam1']);
  });

  test.each([
    [
      { state: 'backoff', cause: 'exit', exit_code: 3, signal: null },
      'cam1: expected ready again, got backoff (cause exit, exit_code 3)',
    ],
    [{ state: 'failed' }, 'cam1: expected ready again, got failed'],
    [
      {
        state: 'ready',
        workers: [
          { worker_id: 'cam1~1', state: 'ready' },
          { worker_id: 'cam1~2', state: 'backoff' },
        ],
      },
      'cam1~2: expected ready again, got backoff',
    ],
  ])('ends at a task that is %j, and names those it did not come to', async (status, message) => {
    const node = await nodeOf([process('cam1'), process('cam2'), process('cam3')], { cam1: [status] });
    const run = cli(['restart', '--all', '--url', node.url]);
    expect(await run.ended).toBe(1);
    expect(run.stdout()).toBe('');
    expect(run.stderr()).toBe(`super-node: ${message}; left untouched: cam2, cam3\n`);
    expect(node.restarted()).toEqual(['cam1']);
  });

  test('waits for every worker of a pool', async () => {
    const pool = (state: string) => ({ state: 'ready', workers: [{ state: 'ready' }, { state }] });
    const node = await nodeOf([process('llm')], { llm: [pool('starting'), pool('ready')] });
    const run = cli(['restart', '--all', '--url', node.url]);
    expect(await run.ended).toBe(0);
    expect(node.requests.filter(({ topic }) => topic === 'm/stat/llm')).toHaveLength(2);
  });

  test('ends at a task that is not ready in time', async () => {
    const node = await nodeOf([process('cam1'), process('cam2')], { cam1: [{ state: 'starting' }] });
    const run = cli(['restart', '--all', '--timeout', '250', '--url', node.url]);
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toBe('super-node: cam1: expected ready within 250 ms, got starting; left untouched: cam2\n');
  });

  test('ends at a task whose restart is not answered in time, or refused', async () => {
    const tasks = [process('cam1')];
    const silent = await nodeThat(({ topic }) => (topic === 'm/stat' ? ok({ tasks }) : undefined));
    const late = cli(['restart', '--all', '--timeout', '250', '--url', silent.url]);
    expect(await late.ended).toBe(1);
    expect(late.stderr()).toBe('super-node: cam1: expected ready within 250 ms, got no answer\n');
    const refusal = { status: 'error', error: 'overtaken', code: 'SN_ERR_SUPERSEDED' };
    const refusing = await nodeThat(({ topic }) => (topic === 'm/stat' ? ok({ tasks }) : refusal));
    const refused = cli(['restart', '--all', '--url', refusing.url]);
    expect(await refused.ended).toBe(1);
    expect(refused.stderr()).toBe('super-node: overtaken (SN_ERR_SUPERSEDED)\n');
  });

  test('--json prints a line for each task', async () => {
    const node = await nodeOf([process('cam1'), process('cam2'), process('cam3')], { cam2: [{ state: 'failed' }] });
    const run = cli(['restart', '--all', '--json', '--url', node.url]);
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toBe('');
    const printed = run.stdout().trim().split('\n');
    expect(printed.map((line) => JSON.parse(line))).toEqual([
      { task_id: 'cam1', status: 'restarted', ready_ms: expect.any(Number) },
      { task_id: 'cam2', status: 'error', error: 'cam2: expected ready again, got failed' },
      { task_id: 'cam3', status: 'untouched' },
    ]);
  });

  test('is 3 when the node goes, and 130 without a word when interrupted', async () => {
    const tasks = [process('cam1'), process('cam2')];
    for (const exitCode of [3, 130]) {
      const node = await nodeThat(({ topic }) => {
        if (topic === 'm/stat') return ok({ tasks });
        if (exitCode === 3) node.drop();
        else run.interrupt();
        return undefined;
      });
      const run = cli(['restart', '--all', '--url', node.url]);
      expect(await run.ended).toBe(exitCode);
      expect(run.stderr()).toMatch(exitCode === 3 ? /was lost; left untouched: cam2\n$/ : /^$/);
    }
  });

  test('with nothing to restart says so', async () => {
    const node = await nodeOf([], {});
    const run = cli(['restart', '--all', '--url', node.url]);
    expect(await run.ended).toBe(0);
    expect(run.stderr()).toBe('no task to restart\n');
  });
});

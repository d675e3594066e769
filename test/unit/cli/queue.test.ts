import { describe, expect, test } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

describe('fetch takes for whom it is told to', () => {
  test.each([
    [['-g', 'db'], { group: 'db' }],
    [['--dead'], { group: '$dead' }],
    [['--from', '7'], { from: { seq: 7 } }],
  ])('%j', async (args, body) => {
    const { url, requests } = await nodeThat(() => ok({ entries: [] }));
    expect(await cli(['fetch', 'cam1', ...args, '--url', url]).ended).toBe(0);
    expect(requests[0]?.body).toMatchObject(body);
  });

  test.each([
    ['--dead', '-g', 'db'],
    ['--from', '1', '--follow'],
    ['--from', '-1'],
  ])('and refuses %j %j %j', async (...args) => {
    const run = cli(['fetch', 'cam1', ...args]);
    expect(await run.ended).toBe(2);
  });
});

describe('queue', () => {
  test('ls shows each queue, its groups below it', async () => {
    const queue = { length: 3, ready: 0, dead: 1, bytes: 2_048, dropped: 4, seq: 9 };
    const groups = { db: { ready: 2, leased: 1, dropped: 5 } };
    const { url } = await nodeThat(() =>
      ok({
        tasks: [
          { task_id: 'cam2', queue: { ...queue, groups } },
          { task_id: 'cam1', queue },
        ],
      }),
    );
    const run = cli(['queue', 'ls', '--url', url]);
    expect(await run.ended).toBe(0);
    const lines = run
      .stdout()
      .split('\n')
      .map((line) => line.trimEnd());
    expect(lines).toEqual([
      'TASK  GROUP  LENGTH  READY  DEAD    BYTES  DROPPED  LAST SEQ',
      'cam1              3      0     1  2.0 KiB        4         9',
      'cam2              3      0     1  2.0 KiB        4         9',
      '      db                 2                       5',
      '',
    ]);
  });

  test.each([
    [['purge', 'cam1'], { cmd: 'purge', task_id: 'cam1' }, { purged: 3 }, 'cam1: 3 entries purged\n'],
    [
      ['purge', 'cam1', '--dead'],
      { cmd: 'purge', task_id: 'cam1', group: '$dead' },
      { purged: 1 },
      'cam1: 1 entries purged\n',
    ],
    [['requeue', 'cam1'], { cmd: 'requeue', task_id: 'cam1' }, { requeued: 2 }, 'cam1: 2 entries requeued\n'],
    [
      ['remove-group', 'cam1', 'db'],
      { cmd: 'remove_group', task_id: 'cam1', group: 'db' },
      {},
      'cam1: group db removed\n',
    ],
  ])('%j', async (args, body, data, text) => {
    const { url, requests } = await nodeThat(() => ok(data));
    const run = cli(['queue', ...args, '--url', url]);
    expect(await run.ended).toBe(0);
    expect(requests[0]?.body).toMatchObject(body);
    expect(run.stdout()).toBe(text);
  });

  test('tells what the node refuses, and its code', async () => {
    const { url } = await nodeThat(() => ({ status: 'error', code: 'SN_ERR_GROUP_UNKNOWN', error: 'no such group' }));
    const run = cli(['queue', 'remove-group', 'cam1', 'db', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toContain('SN_ERR_GROUP_UNKNOWN');
  });
});

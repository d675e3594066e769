import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

const refusal = {
  status: 'error',
  error: 'task_id: expected a task of this node, got "x"',
  code: 'SN_ERR_TASK_UNKNOWN',
};

describe('exit codes', () => {
  test('0: the node did it', async () => {
    const { url, requests } = await nodeThat(() => ok({ task_id: 'cam1' }));
    const run = cli(['stop', 'cam1', 'cam2', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe('cam1 stopped\ncam2 stopped\n');
    expect(requests.map(({ topic, body }) => [topic, body.cmd, body.task_id])).toEqual([
      ['m/cmd', 'stop', 'cam1'],
      ['m/cmd', 'stop', 'cam2'],
    ]);
  });

  test('1: the node answered with an error, told in one line', async () => {
    const { url } = await nodeThat(() => refusal);
    const run = cli(['stop', 'x', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(run.stdout()).toBe('');
    expect(run.stderr()).toBe('super-node: task_id: expected a task of this node, got "x" (SN_ERR_TASK_UNKNOWN)\n');
  });

  test('1: with --json the envelope stands on stdout', async () => {
    const { url } = await nodeThat(() => refusal);
    const run = cli(['stop', 'x', '--json', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(JSON.parse(run.stdout())).toMatchObject({ status: 'error', code: 'SN_ERR_TASK_UNKNOWN' });
    expect(run.stderr()).toBe('');
  });

  test('one refused of two: the other is done, the code is 1', async () => {
    const { url } = await nodeThat(({ body }) => (body.task_id === 'x' ? refusal : ok({})));
    const run = cli(['restart', 'x', 'cam1', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(run.stdout()).toBe('cam1 restarted\n');
  });

  test.each([
    ['no command', []],
    ['a command that is none', ['strat']],
    ['an option that is none', ['stat', '--josn']],
    ['a task id that is none', ['stop', 'a/b']],
    ['a wildcard as task id', ['tail', '+']],
    ['a number that is none', ['fetch', '-n', 'many']],
    ['a signal that is none', ['signal', 'cam1', 'SIGTREM']],
    ['a field that is none', ['start', 'cam1', '--set', 'quue.length=5']],
    ['a setting without a value', ['start', 'cam1', '--set', 'restart']],
    ['a restart of nothing', ['restart']],
    ['a restart of all and of some', ['restart', '--all', 'cam1']],
    ['the last lines of no task', ['logs', '-n', '5']],
    ['more lines than a node holds', ['logs', 'cam1', '-n', '501']],
    ['a call without a payload', ['call', 'cam1']],
    ['a URL that is none', ['stat', '--url', 'localhost:1883']],
  ])('2: %s', async (_name, argv) => {
    const run = cli(argv);
    expect(await run.ended).toBe(2);
    expect(run.stdout()).toBe('');
    expect(run.stderr()).not.toBe('');
  });

  test('2: misspellings get a suggestion', async () => {
    const signal = cli(['signal', 'cam1', 'SIGTREM']);
    await signal.ended;
    expect(signal.stderr()).toContain('did you mean SIGTERM?');
    const field = cli(['start', 'cam1', '--set', 'quue.length=5']);
    await field.ended;
    expect(field.stderr()).toBe('super-node: start: unknown key "quue", did you mean "queue"? (SN_ERR_REQUEST)\n');
  });

  test('3: nobody listens; the password in the URL stays unsaid', async () => {
    const run = cli(['stat', '--url', `mqtt://me:secret@127.0.0.1:${await freePort()}`]);
    expect(await run.ended).toBe(3);
    expect(run.stderr()).toMatch(
      /^super-node: cannot connect to mqtt:\/\/127.0.0.1:\d+: nobody listens there \(ECONNREFUSED\); is the node running\?\n$/,
    );
  });

  test('3: no answer in time', async () => {
    const { url } = await nodeThat(() => undefined);
    const run = cli(['stat', '--timeout', '200', '--url', url]);
    expect(await run.ended).toBe(3);
    expect(run.stderr()).toContain(`${url} did not answer on m/stat within 200 ms`);
  });

  test('3: the connection goes before the answer', async () => {
    const { url, drop } = await nodeThat(() => {
      drop();
      return undefined;
    });
    const run = cli(['stat', '--url', url]);
    expect(await run.ended).toBe(3);
    expect(run.stderr()).toContain('was lost');
  });

  test('3: the node refuses user name and password', async () => {
    const { url, broker } = await nodeThat(() => ok({}));
    broker.authenticate = (_client, _user, _password, done) =>
      done(Object.assign(new Error('no'), { returnCode: 4 }), null);
    const run = cli(['stat', '--url', url]);
    expect(await run.ended).toBe(3);
    expect(run.stderr()).toContain('does not accept this user name and password');
  });

  test('130 and 143: interrupted, without a word', async () => {
    const { url, requests } = await nodeThat(() => undefined);
    for (const exitCode of [130, 143]) {
      const run = cli(['fetch', 'cam1', '--wait', '60000', '--url', url]);
      await vi.waitFor(() => expect(requests.splice(0)).toHaveLength(1));
      run.interrupt(exitCode);
      expect(await run.ended).toBe(exitCode);
      expect(run.stderr()).toBe('');
    }
  });

  test('--help and --version are 0', async () => {
    const help = cli(['--help']);
    expect(await help.ended).toBe(0);
    for (const code of [0, 1, 2, 3]) expect(help.stdout()).toMatch(new RegExp(`^ {2}${code} {10}`, 'm'));
    const version = cli(['--version']);
    expect(await version.ended).toBe(0);
    expect(version.stdout()).toBe(`${JSON.parse(readFileSync('package.json', 'utf8')).version}\n`);
  });
});

describe('where the node is', () => {
  test('comes from the environment, user name and password too; options win', async () => {
    const seen: unknown[] = [];
    const { url, broker } = await nodeThat(() => ok({}));
    broker.authenticate = (_client, user, password, done) => {
      seen.push([user, password?.toString()]);
      done(null, true);
    };
    const env = { SN_URL: url, SN_USERNAME: 'app1', SN_PASSWORD: 'pw' };
    expect(await cli(['stat'], { env }).ended).toBe(0);
    expect(await cli(['stat', '--username', 'other'], { env }).ended).toBe(0);
    expect(seen).toEqual([
      ['app1', 'pw'],
      ['other', 'pw'],
    ]);
  });

  test('a prefix stands before every topic', async () => {
    const { url, broker } = await nodeThat(() => undefined);
    const topics: string[] = [];
    broker.on('publish', ({ topic }, client) => void (client && topics.push(topic)));
    await cli(['stat', 'cam1', '--url', url, '--timeout', '100'], { env: { SN_TOPIC_PREFIX: 'site7/' } }).ended;
    expect(topics).toEqual(['site7/m/stat/cam1']);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

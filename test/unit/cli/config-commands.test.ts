import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'sn-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('init and check', () => {
  test('init writes a config that check accepts, and overwrites only with --force', async () => {
    const file = join(folder, 'new.yaml');
    expect(await cli(['init', file]).ended).toBe(0);
    const check = cli(['check', file]);
    expect(await check.ended).toBe(0);
    expect(check.stdout()).toBe(
      [
        `${file} is valid`,
        '  listener  mqtt   127.0.0.1:1883',
        '  listener  http   127.0.0.1:8080',
        '  template  clock  sh -c while date; do sleep 1; done',
        '',
      ].join('\n'),
    );
    writeFileSync(file, 'name: mine');
    const again = cli(['init', file]);
    expect(await again.ended).toBe(2);
    expect(again.stderr()).toContain('it exists already; --force overwrites it');
    expect(readFileSync(file, 'utf8')).toBe('name: mine');
    expect(await cli(['init', file, '--force']).ended).toBe(0);
  });

  test('check of a bad file is 2 and says where', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(file, 'name: a\nqueu: {}');
    const run = cli(['check', file]);
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toBe(`super-node: ${file}:2: unknown key "queu", did you mean "queue"? (SN_ERR_CONFIG)\n`);
  });
});

describe('run', () => {
  test('starts with the config and closes once on a signal', async () => {
    const file = join(folder, 'run.yaml');
    writeFileSync(file, 'name: runner');
    const close = vi.fn(async () => undefined);
    const startNode = vi.fn(async () => ({ close }));
    const run = cli(['run', '-c', file], { startNode });
    await vi.waitFor(() => expect(startNode).toHaveBeenCalledWith(expect.objectContaining({ name: 'runner' })));
    expect(close).not.toHaveBeenCalled();
    run.interrupt(143);
    expect(await run.ended).toBe(0);
    expect(close).toHaveBeenCalledTimes(1);
  });

  test('a start that fails is one line and 1; a config that is not there 2', async () => {
    const startNode = () => Promise.reject(new Error('listen EADDRINUSE 127.0.0.1:1883\n    at somewhere'));
    const file = join(folder, 'run.yaml');
    const run = cli(['run', '-c', file], { startNode });
    expect(await run.ended).toBe(1);
    expect(run.stderr()).toBe('super-node: listen EADDRINUSE 127.0.0.1:1883     at somewhere\n');
    expect(await cli(['run', '-c', join(folder, 'none.yaml')], { startNode }).ended).toBe(2);
  });
});

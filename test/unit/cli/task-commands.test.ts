import { describe, expect, test } from 'vitest';
import { startBody } from '../../../src/cli/commands/tasks.js';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

describe('start', () => {
  test('gives each setting the type that its field has', () => {
    const set = ['queue.length=50', 'retain_last=true', 'success_codes=[0,3]', 'env.PIN=0123', 'restart=never'];
    expect(startBody('cam1', { worker: 'camera', startParams: '7', set })).toEqual({
      cmd: 'start',
      task_id: 'cam1',
      worker: 'camera',
      start_params: '7',
      queue: { length: 50 },
      retain_last: true,
      success_codes: [0, 3],
      env: { PIN: '0123' },
      restart: 'never',
    });
  });

  test('refuses what does not fit before anything is sent', () => {
    expect(() => startBody('cam1', { set: ['queue.length=many'] })).toThrow(
      'start queue.length: expected integer 1 to 10000000, got "many"',
    );
    expect(() => startBody('cam1', { set: ['success_codes=[0'] })).toThrow('--set: expected JSON after =');
  });
});

describe('send', () => {
  test('hands on the bytes of stdin as they are', async () => {
    const { url, requests } = await nodeThat(() => ok({ channels: 2 }));
    const bytes = [Buffer.from([0, 255, 10]), Buffer.from('x')];
    const run = cli(['send', 'cam1', '-', '--url', url], { stdin: bytes });
    expect(await run.ended).toBe(0);
    expect(requests[0]).toMatchObject({ topic: 'm/cmd/cam1', payload: Buffer.concat(bytes) });
    expect(run.stdout()).toBe('4 bytes sent to cam1 (channels: 2)\n');
  });
});

describe('workers', () => {
  test('lists the templates', async () => {
    const { url } = await nodeThat(() =>
      ok({ workers: [{ name: 'camera', command: ['ffmpeg', '-i'] }, { name: 'net' }] }),
    );
    const run = cli(['workers', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe('WORKER  COMMAND\ncamera  ffmpeg -i\nnet     (net client)\n');
  });
});

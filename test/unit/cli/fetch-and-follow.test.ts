import { describe, expect, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import { nodeThat, ok } from '../../fixtures/node-that.js';

const entry = (seq: number, payload: object) => ({ task_id: 'cam1', seq, ts: 1, attempts: 1, ...payload });

describe('fetch', () => {
  const entries = [
    entry(1, { payload: 'one \u001b[31m' }),
    entry(2, { payload_base64: Buffer.from([0xff, 0]).toString('base64') }),
  ];

  test('prints payloads to a pipe byte for byte, one a line', async () => {
    const { url, requests } = await nodeThat(() => ok({ entries, dropped: 0 }));
    const run = cli(['fetch', 'cam1', '-n', '2', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(requests[0]).toMatchObject({ topic: 'm/fetch/cam1', body: { max: 2 } });
    expect(run.stdoutBytes()).toEqual(Buffer.concat([Buffer.from('one \u001b[31m\n'), Buffer.from([0xff, 0, 10])]));
  });

  test('keeps a terminal safe: no control characters, base64 for what is no text', async () => {
    const { url } = await nodeThat(() => ok({ entries, dropped: 0 }));
    const run = cli(['fetch', 'cam1', '--url', url], { terminal: { columns: 80, rows: 24 } });
    await run.ended;
    expect(run.stdout()).toBe('one [31m\n/wA=\n');
  });

  test('--json prints one entry a line', async () => {
    const { url } = await nodeThat(() => ok({ entries, dropped: 0 }));
    const run = cli(['fetch', '--json', '--url', url]);
    await run.ended;
    expect(
      run
        .stdout()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(entries);
  });

  test('tells drops on stderr', async () => {
    const { url } = await nodeThat(() => ok({ entries: [], dropped: 12 }));
    const run = cli(['fetch', 'cam1', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe('');
    expect(run.stderr()).toBe('super-node: 12 entries dropped so far, as a queue was full\n');
  });

  test('acknowledges the reply after the entries are written, and before it says goodbye', async () => {
    const { url, broker } = await nodeThat(() => ok({ entries, dropped: 0 }));
    const steps: string[] = [];
    broker.on('ack', () => void steps.push('acknowledged'));
    broker.on('clientDisconnect', () => void steps.push('goodbye'));
    const run = cli(['fetch', 'cam1', '--url', url], { writeError: () => void steps.push('written') });
    expect(await run.ended).toBe(0);
    await vi.waitFor(() => expect(steps).toContain('goodbye'));
    expect(steps).toEqual(['written', 'written', 'acknowledged', 'goodbye']);
  });

  test('does not acknowledge what could not be written', async () => {
    const { url, broker } = await nodeThat(() => ok({ entries, dropped: 0 }));
    const acknowledged = vi.fn();
    broker.on('ack', acknowledged);
    const run = cli(['fetch', 'cam1', '--timeout', '500', '--url', url], { writeError: () => new Error('EPIPE') });
    expect(await run.ended).not.toBe(0);
    await vi.waitFor(() => expect(broker.connectedClients).toBe(0));
    expect(acknowledged).not.toHaveBeenCalled();
  });

  test('--follow asks again and again', async () => {
    let seq = 0;
    const { url } = await nodeThat(() =>
      seq < 3 ? ok({ entries: [entry(++seq, { payload: `n${seq}` })] }) : undefined,
    );
    const run = cli(['fetch', 'cam1', '--follow', '--url', url]);
    await vi.waitFor(() => expect(run.stdout()).toBe('n1\nn2\nn3\n'));
    run.interrupt();
    expect(await run.ended).toBe(130);
  });
});

describe('tail, events', () => {
  /** Publishes as soon as the command listens. */
  async function following(
    argv: string[],
    topic: string,
    payload: string | Buffer,
    terminal?: { columns: number; rows: number },
  ) {
    const { url, broker, publish } = await nodeThat(() => undefined);
    broker.on('subscribe', (subscriptions) => {
      if (subscriptions.some(({ topic: filter }) => !filter.startsWith('m/reply')))
        setImmediate(publish, topic, payload);
    });
    const run = cli([...argv, '--url', url], terminal ? { terminal, env: { NO_COLOR: '1' } } : {});
    await vi.waitFor(() => expect(run.stdout()).toContain('\n'));
    run.interrupt();
    expect(await run.ended).toBe(130);
    return run;
  }

  test('tail prints payloads as they are', async () => {
    const bytes = Buffer.from([0xfe, 1]);
    expect((await following(['tail', 'cam1'], 'm/data/cam1', bytes)).stdoutBytes()).toEqual(Buffer.from([0xfe, 1, 10]));
  });

  test('tail of all tasks names them on a terminal, and in JSON', async () => {
    const terminal = { columns: 80, rows: 24 };
    expect((await following(['tail'], 'm/data/cam1', 'x\u001b', terminal)).stdout()).toBe('cam1  x\n');
    expect((await following(['tail', '--json'], 'm/data/cam1', 'x')).stdout()).toBe(
      '{"task_id":"cam1","payload":"x"}\n',
    );
  });

  test('events are one line each', async () => {
    const event = {
      type: 'restart',
      task_id: 'cam1',
      ts: 1767225600000,
      data: { cause: 'heartbeat', text: 'a\u001b\nb' },
    };
    const { stdout } = await following(['events'], 'm/event', JSON.stringify(event));
    expect(stdout()).toMatch(/^\d\d:\d\d:00\.000 {2}restart {2}cam1 {2}cause=heartbeat text=a b\n$/);
  });
});

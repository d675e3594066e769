import { describe, expect, test, vi } from 'vitest';
import { cli } from '../../fixtures/cli.js';
import type { FakeNode, FakeRequest } from '../../fixtures/fake-node.js';
import { nodeThat } from '../../fixtures/node-that.js';

const terminal = { columns: 80, rows: 24 };

const part = (number: number, last: boolean, content: object) => ({
  status: 'ok',
  data: { part: number, last, worker_id: 'llm~2', ...content },
});

const failed = { status: 'error', error: 'the model is too large', code: 'SN_ERR_CALL_FAILED' };

/** A node that answers each call with these envelopes, in their order. */
async function answering(...envelopes: Record<string, unknown>[]): Promise<FakeNode> {
  const node: FakeNode = await nodeThat((request) => {
    answer(node, request, envelopes).catch((error) => node.broker.emit('error', error));
    return undefined;
  });
  return node;
}

async function answer(node: FakeNode, request: FakeRequest, envelopes: readonly Record<string, unknown>[]) {
  for (const envelope of envelopes) await node.reply(request, envelope);
}

describe('call', () => {
  test('sends text as text with its deadline, and prints the answer', async () => {
    const { url, requests } = await answering(part(1, true, { payload: 'blue' }));
    const run = cli(['call', 'llm', 'colour?', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe('blue');
    expect(requests[0]).toMatchObject({
      topic: 'm/cmd',
      body: { cmd: 'call', task_id: 'llm', payload: 'colour?', timeout_ms: 30_000 },
    });
  });

  test('sends bytes of stdin that are no text as base64', async () => {
    const { url, requests } = await answering(part(1, true, { payload: '' }));
    const run = cli(['call', 'llm', '-', '--url', url], { stdin: [Buffer.from([0xff, 0]), Buffer.from('x')] });
    expect(await run.ended).toBe(0);
    expect(requests[0]?.body).toMatchObject({ payload_base64: Buffer.from([0xff, 0, 120]).toString('base64') });
    expect(requests[0]?.body).not.toHaveProperty('payload');
  });

  test('prints parts as they come, with nothing between them', async () => {
    const node = await answering(part(1, false, { payload: 'The sky' }));
    const run = cli(['call', 'llm', 'hi', '--url', node.url]);
    await vi.waitFor(() => expect(run.stdout()).toBe('The sky'));
    node.drop();
    expect(await run.ended).toBe(3);
  });

  test('gives a pipe the bytes of all parts as they are', async () => {
    const { url } = await answering(
      part(1, false, { payload: 'a\u001b' }),
      part(2, false, { payload_base64: Buffer.from([0xff, 0]).toString('base64') }),
      part(3, true, { payload: '' }),
    );
    const run = cli(['call', 'llm', 'hi', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdoutBytes()).toEqual(Buffer.from([97, 27, 0xff, 0]));
  });

  test('keeps a terminal safe, puts a cut character together, and ends the line', async () => {
    const [first, second] = [Buffer.from('Grüße').subarray(0, 3), Buffer.from('Grüße').subarray(3)];
    const { url } = await answering(
      part(1, false, { payload_base64: first.toString('base64') }),
      part(2, false, { payload_base64: second.toString('base64') }),
      part(3, true, { payload: '\u001b[2J' }),
    );
    const run = cli(['call', 'llm', 'hi', '--url', url], { terminal });
    expect(await run.ended).toBe(0);
    expect(run.stdout()).toBe('Grüße[2J\n');
  });

  test('adds no line feed to an answer that has one', async () => {
    const { url } = await answering(part(1, true, { payload: 'done\n' }));
    const run = cli(['call', 'llm', 'hi', '--url', url], { terminal });
    await run.ended;
    expect(run.stdout()).toBe('done\n');
  });

  test('does not acknowledge a part that could not be written', async () => {
    const { url, broker } = await answering(part(1, false, { payload: 'a' }), part(2, true, { payload: 'b' }));
    const acknowledged = vi.fn();
    broker.on('ack', acknowledged);
    let writes = 0;
    const writeError = () => (++writes === 2 ? new Error('EPIPE') : undefined);
    expect(await cli(['call', 'llm', 'hi', '--url', url], { writeError }).ended).not.toBe(0);
    await vi.waitFor(() => expect(broker.connectedClients).toBe(0));
    expect(acknowledged).toHaveBeenCalledTimes(1);
  });

  test('an error at any time is 1, told on stderr below what came so far', async () => {
    const { url } = await answering(part(1, false, { payload: 'The' }), failed);
    const run = cli(['call', 'llm', 'hi', '--url', url], { terminal });
    expect(await run.ended).toBe(1);
    expect(run.stdout()).toBe('The\n');
    expect(run.stderr()).toBe('super-node: the model is too large (SN_ERR_CALL_FAILED)\n');
  });

  test('--json prints every reply, the error too', async () => {
    const { url } = await answering(part(1, false, { payload: 'The' }), failed);
    const run = cli(['call', 'llm', 'hi', '--json', '--url', url]);
    expect(await run.ended).toBe(1);
    const printed = run.stdout().trim().split('\n');
    expect(printed.map((line) => JSON.parse(line))).toMatchObject([part(1, false, { payload: 'The' }), failed]);
    expect(run.stderr()).toBe('');
  });

  test('--json prints the last part once', async () => {
    const { url } = await answering(part(1, true, { payload: 'x' }));
    const run = cli(['call', 'llm', 'hi', '--json', '--url', url]);
    expect(await run.ended).toBe(0);
    expect(run.stdout().trim().split('\n')).toHaveLength(1);
  });

  test('--timeout is the deadline that the node gets', async () => {
    const { url, requests } = await answering({ status: 'error', error: 'late', code: 'SN_ERR_CALL_TIMEOUT' });
    const run = cli(['call', 'llm', 'hi', '--timeout', '250', '--url', url]);
    expect(await run.ended).toBe(1);
    expect(requests[0]?.body.timeout_ms).toBe(250);
    expect(run.stderr()).toContain('SN_ERR_CALL_TIMEOUT');
  });

  test('Ctrl-C ends the connection, which cancels the call', async () => {
    const { url, broker } = await answering(part(1, false, { payload: 'a' }));
    const run = cli(['call', 'llm', 'hi', '--url', url]);
    await vi.waitFor(() => expect(run.stdout()).toBe('a'));
    run.interrupt();
    expect(await run.ended).toBe(130);
    await vi.waitFor(() => expect(broker.connectedClients).toBe(0));
    expect(run.stderr()).toBe('');
  });
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectApp, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { waitFor } from '../fixtures/wait-for.js';

/** A worker that is curl. Its token comes by stdin, since arguments are for all to read. */
const CURL = 'printf \'user = "%s:%s"\\n\' "$SN_TASK_ID" "$SN_TOKEN" | curl -sS -K -';

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode('daemon', {
    workers: {
      shell: { command: ['sh', '-c', '{start_params}'], ready: 'spawn', restart: 'never' },
    },
    tasks: [
      { task_id: 'own', worker: 'shell', start_params: `${CURL} -d hello "$SN_HTTP_URL/w/ch"` },
      { task_id: 'nosy', worker: 'shell', start_params: `${CURL} -d spoof "$SN_HTTP_URL/w/ch/own"` },
      { task_id: 'greedy', worker: 'shell', start_params: `${CURL} "$SN_HTTP_URL/m/fetch/own"` },
    ],
  });
});
afterAll(() => node.close());

test('a worker that is curl puts into the queue of its own task, and into no other', async () => {
  const app = await connectApp(node.port);
  const fetched = await app.ask('m/fetch/own', { max: 10, wait_ms: 10_000 });
  expect(fetched.data.entries.map(({ payload }: { payload: string }) => payload)).toEqual(['hello']);
  for (const task of ['nosy', 'greedy']) {
    const lines = await waitFor(async () => {
      const { data } = await app.cmd('logs', { task_id: task });
      return data.lines.length > 0 ? data.lines : undefined;
    });
    expect(lines[0].line).toContain('SN_ERR_FORBIDDEN');
  }
  expect((await app.ask('m/stat/own')).data.queue.seq).toBe(1);
  app.client.kill();
});

test('a token of no running worker is refused', async () => {
  const headers = { authorization: `Basic ${Buffer.from('own:snw_made-up').toString('base64')}` };
  const response = await fetch(`${node.httpUrl}/w/ch`, { method: 'POST', body: 'x', headers });
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toContain('Basic');
  expect(await response.json()).toMatchObject({ code: 'SN_ERR_UNAUTHORIZED' });
});

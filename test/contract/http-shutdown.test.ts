import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { connectApp, NODE_KINDS, startTestNode } from '../fixtures/nodes.js';
import { head, RawHttp, upgrade } from '../fixtures/raw-http.js';
import { waitFor } from '../fixtures/wait-for.js';

/** What becomes of everything that is open over HTTP when a node closes. */

const MIB = 1_048_576;

describe.each(NODE_KINDS)('the end of a node as %s', (kind) => {
  test('comes also with a WebSocket behind a request that waits', async () => {
    const node = await startTestNode(kind);
    const app = await connectApp(node.port);
    await app.client.publish('w/ch/last', 'x', { qos: 1 });
    await app.ask('m/fetch/last');
    const web = await RawHttp.connect(node.httpUrl);
    web.write(head('GET', '/m/fetch/last?wait_ms=600000') + upgrade('/m/cmd'));
    await web.closed();
    const java = await RawHttp.connect(node.httpUrl);
    java.write(
      head('GET', '/m/fetch/last?wait_ms=600000') +
        head('GET', '/m/fetch/last', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA'),
    );
    await java.closed();
    app.client.kill();
    await node.close();
  });

  test('waits a while for who still reads an answer', async () => {
    const node = await startTestNode(kind, { queue: { length: 100, bytes: 64 * MIB } });
    const app = await connectApp(node.port);
    for (let count = 0; count < 15; count++) {
      await app.client.publish('w/ch/large', 'x'.repeat(MIB - 100), { qos: 1 });
    }
    const web = await RawHttp.connect(node.httpUrl);
    web.socket.pause();
    web.write(head('GET', `/m/fetch/large?max=100&max_bytes=${16 * MIB}`));
    await waitFor(async () => (await app.ask('m/stat/large')).data.queue.ready === 0);
    const closed = node.close();
    await app.client.closed;
    web.socket.resume();
    const { status, body } = await web.answer();
    expect(status).toBe(200);
    expect(JSON.parse(body).data.entries).toHaveLength(15);
    await closed;
  });

  test('answers what waits, ends events, and says goodbye to WebSockets', async () => {
    const node = await startTestNode(kind);
    const app = await connectApp(node.port);
    await app.client.publish('w/ch/last', 'x', { qos: 1 });
    await app.ask('m/fetch/last');
    const poll = await RawHttp.connect(node.httpUrl);
    poll.write(head('GET', '/m/fetch/last?wait_ms=600000').repeat(2));
    const events = await RawHttp.connect(node.httpUrl);
    events.write(head('GET', '/m/event'));
    await waitFor(() => events.received.includes('retry:'));
    const idle = await RawHttp.connect(node.httpUrl);
    const half = await RawHttp.connect(node.httpUrl);
    half.write(`${head('POST', '/w/ch/last', 'Content-Length: 9')}half`);
    const stuck = await RawHttp.connect(node.httpUrl);
    stuck.write(upgrade('/m/cmd'));
    await stuck.answer();
    stuck.socket.pause();
    const url = node.httpUrl.replace('http', 'ws');
    const codes: number[] = [];
    for (const path of ['/m/cmd', '/m/fetch/last', '/w/ch/last']) {
      const socket = new WebSocket(`${url}${path}`);
      socket.once('close', (code) => codes.push(code));
      await new Promise((resolve) => socket.once('open', resolve));
    }
    await node.close();
    await waitFor(() => codes.length === 3);
    expect(codes).toEqual([1001, 1001, 1001]);
    for (let n = 0; n < 2; n++) {
      const { status, body } = await poll.answer();
      if (status === 200) expect(JSON.parse(body).data.entries).toEqual([]);
      else expect([status, JSON.parse(body).code]).toEqual([503, 'SN_ERR_CLOSING']);
    }
    await Promise.all([poll, events, idle, half].map((one) => one.closed()));
    expect(events.received.toString()).toMatch(/\n\n$/);
    stuck.kill();
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import { describe, expect, onTestFinished, test } from 'vitest';
import { complaintsOfEveryPairing } from '../fixtures/every-pairing.js';
import { NODE_KINDS, startTestNode } from '../fixtures/nodes.js';

/** Aedes drops what comes by a slower way after a later message of the same source (moscajs/aedes#955). */
describe('publishes of every kind after every other', () => {
  test.each(NODE_KINDS)('all arrive once, in order, and the last one is retained: as %s', async (kind) => {
    const node = await startTestNode(kind);
    onTestFinished(() => node.close());
    expect(await complaintsOfEveryPairing(node.port, node.broker)).toEqual([]);
  });

  test('the same where each stored one is on the disk before it is acknowledged', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sn-pairs-'));
    const node = await startTestNode('daemon', { data_dir: join(dir, 'data') });
    onTestFinished(async () => {
      await node.close();
      rmSync(dir, { recursive: true, force: true });
    });
    expect(await complaintsOfEveryPairing(node.port, node.broker)).toEqual([]);
  });

  test('a broker without the node loses some, and this test would see it', async () => {
    const broker = await Aedes.createBroker();
    const server = createServer(broker.handle);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(async () => {
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      await new Promise((resolve) => server.close(resolve));
    });
    const { port } = server.address() as AddressInfo;
    const complaints = await complaintsOfEveryPairing(port, broker);
    const lost = (source: string) =>
      complaints.filter((text) => text.includes(`"${source} `) && text.endsWith('0 times'));
    expect(lost('client').length).toBeGreaterThan(0);
    expect(lost('inside').length).toBeGreaterThan(0);
  });
});

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connectApp, NODE_KINDS, startTestNode } from '../fixtures/nodes.js';
import { requireOrSkip } from '../fixtures/system.js';
import { waitFor } from '../fixtures/wait-for.js';
import { Witness } from '../fixtures/witness.js';

const run = promisify(execFile);

/** A shell loop around mosquitto_pub connects anew for each message. */
describe.skipIf(requireOrSkip('mosquitto_pub'))('mosquitto_pub, five times', () => {
  async function started(kind: (typeof NODE_KINDS)[number]) {
    const node = await startTestNode(kind);
    onTestFinished(() => node.close());
    const [app, witness] = [await connectApp(node.port), await Witness.connect(node.port)];
    const publish = async (...options: string[]) => {
      for (let n = 1; n <= 5; n++) {
        const message = ['-t', 'w/ch/loop', '-q', '1', '-m', `reading ${n}`];
        await run('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(node.port), ...message, ...options]);
      }
    };
    const states = () => witness.states('loop').map(({ state }) => state);
    return { app, witness, publish, states };
  }

  test.each(NODE_KINDS)('is one task that stays ready, for a node as %s', async (kind) => {
    const { app, witness, publish, states } = await started(kind);
    await publish();
    const { entries } = (await app.ask('m/fetch/loop', { max: 10 })).data;
    expect(entries.map(({ payload }: { payload: string }) => payload)).toEqual(
      [1, 2, 3, 4, 5].map((n) => `reading ${n}`),
    );
    // What comes after the last state, however late, is on the same connection.
    await app.cmd('stop', { task_id: 'loop' });
    await waitFor(() => states().includes('stopped'));
    expect(states()).toEqual(['pending', 'ready', 'stopped']);
    expect(witness.events('loop').map(({ type }) => type)).toEqual(['ready', 'stopped']);
  });

  test.each(NODE_KINDS)('with a last will is ready and sleeping in turn, for a node as %s', async (kind) => {
    const { app, publish, states } = await started(kind);
    await publish('--will-topic', 'w/ch/loop/state', '--will-payload', 'lost');
    await app.untilState('loop', 'sleeping');
    await app.cmd('stop', { task_id: 'loop' });
    await waitFor(() => states().includes('stopped'));
    expect(states()).toEqual(['pending', ...Array(5).fill(['ready', 'sleeping']).flat(), 'stopped']);
  });
});

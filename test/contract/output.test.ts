import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/core/limits.js';
import { NODE_KINDS } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';
import { ShellWorld } from '../fixtures/shell-tasks.js';
import { waitFor } from '../fixtures/wait-for.js';
import { Witness } from '../fixtures/witness.js';

/** What becomes of the lines that workers write: entries, log lines, log files. */

const LINES = 20_000;
const FILE_BYTES = 4_096;

describe.concurrent.each(NODE_KINDS)('the output of a worker of a node as %s', (kind) => {
  let world: ShellWorld;
  let dir: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sn-output-'));
    const data: Record<string, unknown> = { stdout: 'data', restart: 'never' };
    world = await ShellWorld.open(
      kind,
      {
        data: { command: ['sh', '-c', '{start_params}'], ...data },
        large: {
          command: ['sh', '-c', '{start_params}'],
          ...data,
          queue: { length: 2 * LINES, bytes: 67_108_864 },
        },
      },
      { data_dir: join(dir, 'data'), logs: { file_bytes: FILE_BYTES, files: 2 } },
    );
  });
  afterAll(async () => {
    await world.close();
    rmSync(dir, { recursive: true });
  });

  /** A script whose output goes into the queue, and which is run once. */
  const data = (script: string) => world.start('data', { start_params: script });
  /** The entries of a task whose program has ended, and all of its output with it. */
  async function entriesOf(task: string) {
    const { queue } = await world.app.untilState(task, 'exited');
    // On a disk some may still wait for their flush.
    return world.take(task, queue.length);
  }
  const payloadsOf = async (task: string) => (await entriesOf(task)).map(({ payload }: { payload: string }) => payload);

  describe('as data', () => {
    test(`${LINES} lines are ${LINES} entries, in order`, async () => {
      const task = await world.start('large', { start_params: `seq 1 ${LINES}` });
      const entries = await world.take(task, LINES);
      expect(entries.findIndex(({ payload, seq }, at) => payload !== String(at + 1) || seq !== at + 1)).toBe(-1);
      expect((await world.stat(task)).queue).toMatchObject({ seq: LINES, dropped: 0, length: 0 });
      await world.cmd('remove', task);
    });

    test('what a queue has no room for is dropped by its policy, counted and told', async () => {
      const task = await world.start('data', { start_params: 'seq 1 50', queue: { length: 20 } });
      expect(await payloadsOf(task)).toEqual(Array.from({ length: 20 }, (_, at) => String(at + 31)));
      expect((await world.stat(task)).queue).toMatchObject({ seq: 50, dropped: 30 });
      expect((await world.witness.untilEvent(task, 'dropped')).data.dropped).toBeGreaterThan(0);
      await world.cmd('remove', task);
    });

    test.each([
      ['a last line without its end is one too', 'printf "one\\ntwo"', ['one', 'two']],
      ['CR LF ends a line', 'printf "one\\r\\ntwo\\r\\n"', ['one', 'two']],
      ['an empty line is an empty entry', 'printf "one\\n\\ntwo\\n"', ['one', '', 'two']],
      ['nothing is no entry', 'true', []],
      ['a line comes whole, however it is written', 'printf on; sleep 0.1; printf "e\\n"', ['one']],
    ])('%s', async (_title, script, payloads) => {
      const task = await data(script);
      expect(await payloadsOf(task)).toEqual(payloads);
      await world.cmd('remove', task);
    });

    test('bytes that are no UTF-8 come as base64', async () => {
      const task = await data('printf "\\377\\000\\376\\ntext\\n"');
      const [bytes, text] = await entriesOf(task);
      expect(Buffer.from(bytes.payload_base64, 'base64')).toEqual(Buffer.of(0xff, 0, 0xfe));
      expect(bytes.payload).toBeUndefined();
      expect(text.payload).toBe('text');
      await world.cmd('remove', task);
    });

    test('a line over 1 MiB is cut, and that is told', async () => {
      const task = await data('head -c 1500000 /dev/zero | tr "\\0" x; echo; echo after');
      const payloads = await payloadsOf(task);
      expect(payloads.map(({ length }: string) => length)).toEqual([LIMITS.outputLineBytes, 5]);
      expect((await world.witness.untilEvent(task, 'output_dropped')).data).toEqual({ lines: 0, cut: 1 });
      await world.cmd('remove', task);
    });

    test('each entry has its live copy', async () => {
      const live = await Witness.connect(world.node.port, 'm/data/+');
      const task = await data('seq 1 100');
      await waitFor(() => live.texts(`m/data/${task}`).length === 100);
      expect(live.texts(`m/data/${task}`)).toEqual(Array.from({ length: 100 }, (_, at) => String(at + 1)));
      live.client.kill();
      await world.cmd('remove', task);
    });

    test('stderr can be data too', async () => {
      const task = await world.start('data', { start_params: 'echo seen >&2', stderr: 'data' });
      expect(await payloadsOf(task)).toEqual(['seen']);
      await world.cmd('remove', task);
    });

    test('a subscriber that does not read costs the queue nothing, and the worker time', async () => {
      const stuck = await RawClient.connect(world.node.port, { clientId: `stuck-${kind}` });
      await stuck.subscribe('m/data/#');
      stuck.socket.pause();
      const line = 'x'.repeat(1_000);
      const task = await world.start('large', { start_params: `seq -f "%.0f ${line}" 1 ${LINES}` });
      const entries = await world.take(task, LINES);
      expect(entries.findIndex(({ payload }, at) => payload !== `${at + 1} ${line}`)).toBe(-1);
      expect((await world.stat(task)).queue).toMatchObject({ seq: LINES, dropped: 0 });
      // The worker was kept waiting instead of piling up live copies in the node until their bound drops them.
      const { ts } = await world.witness.untilEvent(task, 'exited');
      expect(world.witness.texts('m/event').filter((text) => text.includes('live_dropped'))).toEqual([]);
      expect(ts - (await world.witness.untilEvent(task, 'started')).ts).toBeGreaterThan(LIMITS.slowAfterMs / 2);
      stuck.kill();
      await world.cmd('remove', task);
    });
  });

  describe('as log', () => {
    const linesOf = async (task: string, fields = {}): Promise<{ stream: string; line: string }[]> =>
      (await world.cmd('logs', task, fields)).data.lines;

    test('each line is a message on m/log, and kept for the command `logs`', async () => {
      const log = await Witness.connect(world.node.port, 'm/log/+');
      const task = await world.run(
        'for i in 1 2 3; do echo "out $i"; done; sleep 0.05; echo oops >&2; exec sleep 1000',
      );
      const topic = `m/log/${task}`;
      await waitFor(() => log.texts(topic).length === 4);
      expect(log.texts(topic)).toEqual(['out 1', 'out 2', 'out 3', 'oops']);
      expect(await linesOf(task)).toEqual([
        { ts: expect.any(Number), stream: 'stdout', line: 'out 1' },
        { ts: expect.any(Number), stream: 'stdout', line: 'out 2' },
        { ts: expect.any(Number), stream: 'stdout', line: 'out 3' },
        { ts: expect.any(Number), stream: 'stderr', line: 'oops' },
      ]);
      expect((await linesOf(task, { lines: 2 })).map(({ line }) => line)).toEqual(['out 3', 'oops']);
      expect((await world.stat(task)).queue.seq).toBe(0);
      log.client.kill();
      await world.cmd('remove', task);
    });

    test('what is over the bounds of a worker is counted and told', async () => {
      const count = 3 * LIMITS.outputLinesBurst;
      const task = await world.run(`seq 1 ${count}`, { restart: 'never' });
      await world.app.untilState(task, 'exited');
      const dropped = () =>
        world.witness.events(task, 'output_dropped').reduce((sum, { data: { lines } }) => sum + lines, 0);
      await waitFor(() => dropped() > 0);
      expect(dropped()).toBeLessThanOrEqual(count - LIMITS.outputLinesBurst);
      expect(await linesOf(task, { lines: LIMITS.logTailLines })).toHaveLength(LIMITS.logTailLines);
      await world.cmd('remove', task);
    });

    test('stdout: ignore is seen by nobody', async () => {
      const log = await Witness.connect(world.node.port, 'm/log/+');
      const script = 'echo secret; echo shown >&2; exec sleep 1000';
      const task = await world.run(script, { stdout: 'ignore' });
      await waitFor(() => log.texts(`m/log/${task}`).length > 0);
      expect((await linesOf(task)).map(({ line }) => line)).toEqual(['shown']);
      log.client.kill();
      await world.cmd('remove', task);
    });

    test('log files rotate by size and are bounded in number', async () => {
      const word = 'y'.repeat(80);
      const task = await world.run(`for i in $(seq 1 300); do echo "$i ${word}"; done; exec sleep 1000`);
      const file = (suffix: string) => join(dir, 'data', 'logs', `${task}.log${suffix}`);
      const text = (suffix: string) => textOf(file(suffix));
      const all = () => ['.2', '.1', ''].map(text).join('');
      const numbers = () => [...all().matchAll(/ out (\d+) y+$/gm)].map(([, number]) => Number(number));
      const isRotated = () => ['.1', '.2'].every((suffix) => text(suffix).length > FILE_BYTES / 2);
      // Files may be on their way from one name to the next while they are read.
      const kept = await waitFor(() => isRotated() && numbers().at(-1) === 300 && numbers());
      expect(kept).toEqual(kept.map((_, at) => 301 - kept.length + at));
      for (const suffix of ['', '.1', '.2']) expect(text(suffix).length).toBeLessThanOrEqual(FILE_BYTES);
      expect(existsSync(file('.3'))).toBe(false);
      await world.cmd('remove', task);
      expect(existsSync(file('.1'))).toBe(true);
    });
  });
});

/** Of a file that may be on its way to another name. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';
import { childrenOf, statOf } from '../../src/adapters/proc.js';
import { badManners } from '../fixtures/bad-manners.js';
import { processesWith } from '../fixtures/marked.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { SeededRandom } from '../fixtures/seeded-random.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Fifty workers of the worst manners on a real node, under random commands, and what is left of it afterwards: nothing.
 *  SN_CHAOS_S: for how long, default 8 seconds. SN_CHAOS_SEED: which commands; what the kernel makes of them differs. */
const SECONDS = Number(process.env.SN_CHAOS_S ?? 8);
const SEED = Number(process.env.SN_CHAOS_SEED ?? Math.floor(Math.random() * 1e9));
const TASKS = 50;
const COMMANDERS = 4;
/** Longer than any timer that is meant to run on for a while: the log files tell once a minute what they dropped. */
const SETTLE_MS = 70_000;
const NODE = fileURLToPath(new URL('../fixtures/programs/chaos-node.mjs', import.meta.url));

interface Figures {
  readonly resources: Record<string, number>;
  readonly fds: number;
  readonly heapUsed: number;
  readonly rss: number;
  readonly external: number;
  /** The stacks of those that set the timers that are running. */
  readonly timers: readonly string[];
}

class ChaosNode {
  readonly #child = fork(NODE, { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isUp(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async start(config: object): Promise<number> {
    return (await this.#ask<{ port: number }>({ config })).port;
  }

  async figures(): Promise<Figures> {
    return (await this.#ask<{ figures: Figures }>('figures')).figures;
  }

  async close(): Promise<void> {
    if (!this.isUp) return;
    const exited = once(this.#child, 'exit');
    this.#child.send('close');
    await exited;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #ask<T>(message: object | string): Promise<T> {
    const answer = once(this.#child, 'message');
    this.#child.send(message);
    const [value] = await answer;
    return value;
  }
}

/** Living processes with our mark, whoever their parent is by now. */
function marked(mark: string): number[] {
  return processesWith('SN_CHAOS_MARK', mark).map(({ pid }) => pid);
}

function zombiesOf(parent: number): number {
  return childrenOf(parent).filter((pid) => statOf(pid)?.state === 'Z').length;
}

/** Random commands, one after the other, until the time is over. A refusal is an answer like any other. */
async function command(app: App, random: SeededRandom, workers: readonly string[], untilMs: number): Promise<number> {
  let given = 0;
  for (; performance.now() < untilMs; given++) {
    const task_id = `t${random.between(0, TASKS - 1)}`;
    const worker = random.pick(workers as [string, ...string[]]);
    const cmd = random.pick(['start', 'start', 'start', 'stop', 'restart', 'remove', 'signal', 'call', 'send', 'logs']);
    const fields = {
      start: { worker },
      signal: { sig: random.pick(['SIGKILL', 'SIGTERM', 'SIGSTOP', 'SIGCONT', 'SIGUSR1']) },
      call: { payload: random.pick(['a', 'parts', 'error', 'never', 'die']), timeout_ms: 300 },
      send: { payload: 'a line' },
    }[cmd as string];
    const { status, code } = await answered(app, cmd, { task_id, ...fields });
    assert(status === 'ok' || code?.startsWith('SN_ERR_'), `${cmd} was not answered`);
    assert.notEqual(code, 'SN_ERR_INTERNAL');
  }
  return given;
}

/** A command that is not answered is the worst of all faults: what it met is told. */
async function answered(app: App, cmd: string, fields: Record<string, unknown>) {
  const beganMs = performance.now();
  try {
    return await app.cmd(cmd, fields);
  } catch (error) {
    const { data } = await app.ask(`m/stat/${fields.task_id}`).catch(() => ({ data: 'no answer either' }));
    const told = JSON.stringify({ cmd, ...fields, waitedMs: performance.now() - beganMs, data });
    throw new Error(`not answered: ${told}`, { cause: error });
  }
}

async function removeAll(app: App): Promise<void> {
  const { data } = await app.ask('m/stat');
  const tasks: { task_id: string }[] = data.tasks;
  await Promise.all(tasks.map(({ task_id }) => answered(app, 'remove', { task_id })));
}

test(
  `fifty workers of mixed bad manners for ${SECONDS} s leave nothing behind (SN_CHAOS_SEED=${SEED})`,
  async () => {
    const mark = `chaos-${process.pid}-${SEED}`;
    const workers = badManners(mark);
    const dir = mkdtempSync(join(tmpdir(), 'sn-chaos-'));
    const node = new ChaosNode();
    try {
      const port = await node.start({
        data_dir: dir,
        workers,
        listeners: [{ type: 'mqtt', port: 0 }],
        log: { level: 'error' },
      });
      const apps = await Promise.all(Array.from({ length: COMMANDERS }, () => connectApp(port)));
      const [app] = apps;
      assert(app);
      const names = Object.keys(workers);
      // A first round of everything warms up what is made once and kept.
      for (const [index, worker] of names.entries()) await app.cmd('start', { task_id: `warm${index}`, worker });
      await app.untilStat('warm0', ({ restarts_total }) => restarts_total > 1);
      await removeAll(app);
      const before = await settledFigures(node);
      assert.equal(marked(mark).length, 0, 'processes are left of the first round');

      for (let index = 0; index < TASKS; index++) {
        await app.cmd('start', { task_id: `t${index}`, worker: names[index % names.length] });
      }
      await waitFor(() => marked(mark).length > TASKS / 2);
      const untilMs = performance.now() + SECONDS * 1_000;
      const random = new SeededRandom(SEED);
      const given = await Promise.all(
        apps.map((one) => command(one, new SeededRandom(random.between(0, 1e9)), names, untilMs)),
      );
      assert(given.reduce((sum, count) => sum + count, 0) > SECONDS, `only ${given} commands were answered`);
      await removeAll(app);

      const { data } = await app.ask('m/stat');
      assert.deepEqual(data.tasks, [], 'tasks are left');
      assert.deepEqual(marked(mark), [], 'processes are left, though every remove was answered');
      assert.equal(zombiesOf(node.pid), 0, 'zombies are left');
      const after = await settledFigures(node, before);
      assert(after.fds <= before.fds, `descriptors: ${before.fds} before, ${after.fds} after`);
      assert.deepEqual(
        after.resources,
        before.resources,
        `timers, pipes and sockets; timers:\n${after.timers.join('\n')}`,
      );
      const grown = after.heapUsed + after.external - before.heapUsed - before.external;
      assert(grown < 8_000_000, `memory in use grew by ${grown} bytes`);
      await node.close();
      assert.deepEqual(marked(mark), []);
    } finally {
      node.kill();
      for (const pid of marked(mark)) process.kill(pid, 'SIGKILL');
      rmSync(dir, { recursive: true, force: true });
    }
  },
  (SECONDS + 60) * 1_000 + SETTLE_MS,
);

/** Descriptors of the sampler and grace timers go in their own time; what should not grow is what stays. */
async function settledFigures(node: ChaosNode, goal?: Figures): Promise<Figures> {
  let figures = await node.figures();
  const untilMs = performance.now() + SETTLE_MS;
  const fits = (wanted: Figures) =>
    figures.fds <= wanted.fds && JSON.stringify(figures.resources) === JSON.stringify(wanted.resources);
  await waitFor(async () => {
    const last = figures;
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    figures = await node.figures();
    if (performance.now() > untilMs) return true;
    return goal ? fits(goal) : fits(last) && figures.fds === last.fds;
  });
  return figures;
}

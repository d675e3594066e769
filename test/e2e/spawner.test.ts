import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChildProcessSpawner } from '../../src/adapters/child-process.js';
import { identityOf, isAlive, statOf } from '../../src/adapters/proc.js';
import { systemClock, systemRandom } from '../../src/adapters/system-clock.js';
import { TreeUsages } from '../../src/adapters/usage.js';
import { LIMITS } from '../../src/core/limits.js';
import type { ProcessExit, ProcessIdentity, ProcessListener, ProcessSpec } from '../../src/core/ports.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Real processes under the spawner alone: what it promises to the supervisor. */

let spawner: ChildProcessSpawner;
const workers: Worker[] = [];
const strangers: ChildProcess[] = [];

beforeEach(() => {
  spawner = new ChildProcessSpawner(systemClock);
});

afterEach(async () => {
  for (const worker of workers.splice(0)) {
    if (worker.end === undefined) spawner.signal(await worker.runs(), 'SIGKILL');
    await worker.ended();
  }
  for (const stranger of strangers.splice(0)) stranger.kill('SIGKILL');
});

/** One process, and what the spawner told of it. */
class Worker implements ProcessListener {
  readonly token = `snw_${systemRandom.secret(24)}`;
  readonly told: string[] = [];
  identity: ProcessIdentity | undefined;
  end: ProcessExit | undefined;
  bytes = 0;
  text = '';
  /** Keeps output waiting. */
  hold: Promise<void> | undefined;

  start(script: string, spec: Partial<ProcessSpec> = {}): this {
    const env = { PATH: process.env.PATH ?? '', SN_TOKEN: this.token };
    const argv = ['sh', '-c', script] as const;
    spawner.spawn({ argv, cwd: undefined, user: undefined, stdin: 'ignore', ...PIPES, env, ...spec }, this);
    workers.push(this);
    return this;
  }

  spawned(identity: ProcessIdentity): void {
    this.told.push('spawned');
    this.identity = identity;
  }
  failed(error: Error): void {
    throw error;
  }
  exited(): void {
    this.told.push('exited');
  }
  gone(exit: ProcessExit): void {
    this.told.push('gone');
    this.end = exit;
  }
  outputEnded(): void {
    this.told.push('outputEnded');
  }
  output(_stream: 'stdout' | 'stderr', chunk: Uint8Array): undefined | Promise<void> {
    this.bytes += chunk.length;
    if (this.text.length < 10_000) this.text += Buffer.from(chunk).toString();
    return this.hold;
  }

  runs(): Promise<ProcessIdentity> {
    return waitFor(() => this.identity);
  }
  ended(): Promise<ProcessExit> {
    return waitFor(() => this.end);
  }
  says(text: string): Promise<true> {
    return waitFor(() => this.text.includes(text));
  }
  /** The pid it printed after a word. */
  async pid(word: string): Promise<number> {
    return Number(await waitFor(() => new RegExp(`^${word} (\\d+)$`, 'm').exec(this.text)?.[1]));
  }
}

const PIPES = { stdout: 'pipe', stderr: 'pipe' } as const;

const start = (script: string, spec?: Partial<ProcessSpec>) => new Worker().start(script, spec);
const alive = (pid: number) => isAlive(identityOf(pid));

/** Who lives with the token of a worker, found without the code under test. */
function bearers({ token }: Worker): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(token);
    } catch {
      return false;
    }
  });
}

function stranger(env: Record<string, string>): number {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true, env: { PATH: process.env.PATH, ...env } });
  strangers.push(child);
  if (child.pid === undefined) throw new Error('sleep(1) cannot be started');
  return child.pid;
}

async function killLeader(worker: Worker): Promise<ProcessExit> {
  process.kill((await worker.runs()).pid, 'SIGKILL');
  return worker.ended();
}

const SETSID = 'setsid sleep 1000 & echo runaway $!; exec sleep 1000';

const CLEARED = 'setsid env -i sleep 1000 & echo runaway $!';

/** The runaway, once only its parent tells where it came from. */
async function left(worker: Worker): Promise<number> {
  const runaway = await worker.pid('runaway');
  await waitFor(() => statOf(runaway)?.session === runaway && readFileSync(`/proc/${runaway}/environ`, 'utf8') === '');
  return runaway;
}

describe('what left the group and the session of a worker is gone before the worker is', () => {
  test.each([
    ['by setsid', SETSID],
    ['by a double fork', '(setsid sh -c "sleep 1000 & echo runaway \\$!; exec sleep 2000" &); exec sleep 1000'],
    [
      'and keeps forking',
      'setsid sh -c "echo runaway \\$\\$; while :; do sleep 1000 & sleep 0.005; done" & exec sleep 1000',
    ],
    ['and is stopped', 'setsid sh -c "echo runaway \\$\\$; kill -STOP \\$\\$" & exec sleep 1000'],
    [
      'and ignores signals',
      'setsid sh -c "trap \\"\\" TERM HUP INT; echo runaway \\$\\$; while :; do sleep 1; done" & exec sleep 1000',
    ],
    [
      'and cleared the environment of its child',
      'setsid sh -c "env -i setsid -w sleep 1000 & echo runaway \\$!; wait" & exec sleep 1000',
    ],
  ])('%s', async (_how, script) => {
    const worker = start(script);
    const runaway = await worker.pid('runaway');
    expect(await killLeader(worker)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(alive(runaway)).toBe(false);
    expect(bearers(worker)).toEqual([]);
    expect(worker.told).toEqual(['spawned', 'exited', 'outputEnded', 'gone']);
  });

  test('also when its leader exits by itself', async () => {
    const worker = start('setsid sleep 1000 & echo runaway $!; exit 3');
    const runaway = await worker.pid('runaway');
    expect(await worker.ended()).toEqual({ code: 3, signal: null });
    expect(alive(runaway)).toBe(false);
  });

  test('also of a worker without output', async () => {
    const worker = start('setsid sleep 1000 & exec sleep 1000', { stdout: 'ignore', stderr: 'ignore' });
    await waitFor(() => bearers(worker).length === 2);
    await killLeader(worker);
    expect(bearers(worker)).toEqual([]);
  });

  test('and SIGKILL reaches it although the leader cannot be gone yet', async () => {
    const worker = start(SETSID);
    const runaway = await worker.pid('runaway');
    expect(spawner.signal(await worker.runs(), 'SIGKILL')).toBe('sent');
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });

  test('and SIGKILL reaches what cleared its environment too', async () => {
    const worker = start(`${CLEARED}; wait`);
    const runaway = await left(worker);
    expect(spawner.signal(await worker.runs(), 'SIGKILL')).toBe('sent');
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });

  test('and so does the end that SIGTERM brings', async () => {
    const worker = start(`trap "exit 0" TERM; ${CLEARED}; wait`);
    const runaway = await left(worker);
    expect(spawner.signal(await worker.runs(), 'SIGTERM')).toBe('sent');
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });

  test('also where a look before its death is all that tells', async () => {
    const trees = new TreeUsages();
    spawner = new ChildProcessSpawner(systemClock, trees);
    const worker = start(`${CLEARED}; wait`);
    const runaway = await left(worker);
    await trees.of([await worker.runs()]);
    await killLeader(worker);
    expect(alive(runaway)).toBe(false);
  });

  test('also of a worker that dies young by itself', async () => {
    const worker = start(`${CLEARED}; sleep 0.4; exit 1`);
    const runaway = await left(worker);
    expect(await worker.ended()).toEqual({ code: 1, signal: null });
    expect(alive(runaway)).toBe(false);
  });

  test('of two workers that end in one turn', async () => {
    const both = [start(SETSID), start(SETSID)];
    const runaways = await Promise.all(both.map((worker) => worker.pid('runaway')));
    await Promise.all(both.map(killLeader));
    expect(runaways.map(alive)).toEqual([false, false]);
  });

  test('but other signals leave it its time', async () => {
    const worker = start('trap "echo term" TERM; setsid sleep 1000 & echo runaway $!; while :; do sleep 0.01; done');
    const runaway = await worker.pid('runaway');
    await waitFor(() => statOf(runaway)?.session === runaway);
    spawner.signal(await worker.runs(), 'SIGTERM');
    await worker.says('term');
    expect(alive(runaway)).toBe(true);
  });

  test('only once it can be looked for: without a free descriptor nothing is taken for gone', async () => {
    const worker = start(SETSID);
    const runaway = await worker.pid('runaway');
    const { pid } = await worker.runs();
    const limit = descriptorLimit();
    const held: number[] = [];
    setDescriptorLimit(readdirSync('/proc/self/fd').length + 50);
    try {
      expect(() => {
        for (;;) held.push(openSync('/dev/null', 'r'));
      }).toThrow('EMFILE');
      process.kill(pid, 'SIGKILL');
      await waitFor(() => worker.told.includes('exited'));
      expect(process.kill(runaway, 0)).toBe(true);
      expect(worker.end).toBeUndefined();
    } finally {
      for (const file of held) closeSync(file);
      setDescriptorLimit(limit);
    }
    await worker.ended();
    expect(alive(runaway)).toBe(false);
  });
});

function descriptorLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
}

function setDescriptorLimit(soft: number): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
}

describe('the end of a worker leaves alone', () => {
  test('a stranger of the same name, with a token of its own or none', async () => {
    const others = [stranger({ SN_TOKEN: 'snw_other', SN_TASK_ID: 't1' }), stranger({})];
    const worker = start(SETSID);
    await worker.pid('runaway');
    await killLeader(worker);
    expect(others.map(alive)).toEqual([true, true]);
  });

  test('the runaway of another worker', async () => {
    const [ends, stays] = [start(SETSID), start(SETSID)];
    await ends.pid('runaway');
    const runaway = await stays.pid('runaway');
    await killLeader(ends);
    expect(alive(runaway)).toBe(true);
    expect(stays.told).toEqual(['spawned']);
  });
});

describe('a worker that was alone', () => {
  test('is gone without having exited before', async () => {
    const worker = start('exit 7');
    expect(await worker.ended()).toEqual({ code: 7, signal: null });
    expect(worker.told).toEqual(['spawned', 'outputEnded', 'gone']);
  });
});

describe('a signal', () => {
  test('ends the real server behind a shell', async () => {
    const worker = start('sleep 1000 & echo server $!; wait; echo never');
    const server = await worker.pid('server');
    spawner.signal(await worker.runs(), 'SIGTERM');
    expect(await worker.ended()).toEqual({ code: null, signal: 'SIGTERM' });
    expect(alive(server)).toBe(false);
    expect(worker.text).not.toContain('never');
  });

  test('is seen by a process that SIGSTOP had stopped', async () => {
    const worker = start('trap "echo bye; exit 0" TERM; sleep 1000 & echo up; wait');
    await worker.says('up');
    const identity = await worker.runs();
    process.kill(-identity.pid, 'SIGSTOP');
    await waitFor(() => statOf(identity.pid)?.state === 'T');
    spawner.signal(identity, 'SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
  });

  test('of the last kind ends one that ignores SIGTERM, also while it is stopped', async () => {
    const worker = start('trap "" TERM; sleep 1000 & echo up; wait');
    await worker.says('up');
    const identity = await worker.runs();
    expect(spawner.signal(identity, 'SIGTERM')).toBe('sent');
    spawner.signal(identity, 'SIGSTOP');
    await waitFor(() => statOf(identity.pid)?.state === 'T');
    expect(worker.end).toBeUndefined();
    spawner.signal(identity, 'SIGKILL');
    expect(await worker.ended()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(spawner.signal(identity, 'SIGKILL')).toBe('gone');
  });
});

describe('stdin', () => {
  const pipe = { stdin: 'pipe' } as const;
  const KIB = new Uint8Array(1_024);

  test('carries bytes to the process', async () => {
    const worker = start('exec cat', pipe);
    const identity = await worker.runs();
    expect(spawner.write(identity, Buffer.from('one\n'))).toBe('written');
    const bytes = Buffer.from('two\n');
    expect(spawner.write(identity, bytes)).toBe('written');
    bytes.fill('x');
    await worker.says('one\ntwo\n');
  });

  test('of a process that does not read is full at its limit, and not before', async () => {
    const worker = start('exec sleep 1000', pipe);
    const identity = await worker.runs();
    let writes = 0;
    while (spawner.write(identity, KIB) === 'written') writes += 1;
    expect(spawner.write(identity, KIB)).toBe('full');
    expect(writes * KIB.length).toBeGreaterThanOrEqual(LIMITS.stdinBytes);
    expect(writes * KIB.length).toBeLessThan(2 * LIMITS.stdinBytes);
  });

  test('that the process closed is gone, and harms nobody', async () => {
    const worker = start('exec 0<&-; echo closed; exec sleep 1000', pipe);
    const identity = await worker.runs();
    await worker.says('closed');
    await waitFor(() => spawner.write(identity, KIB) === 'gone');
    expect(worker.end).toBeUndefined();
  });

  test('is gone with the process, and for an identity that is not its own', async () => {
    const worker = start('exec cat', pipe);
    const identity = await worker.runs();
    expect(spawner.write({ ...identity, startTime: '1' }, KIB)).toBe('gone');
    spawner.write(identity, new Uint8Array(LIMITS.stdinBytes));
    await killLeader(worker);
    expect(spawner.write(identity, KIB)).toBe('gone');
  });

  test('that was not asked for is none', async () => {
    const worker = start('cat; echo "end of input"; exec sleep 1000');
    await worker.says('end of input');
    expect(spawner.write(await worker.runs(), KIB)).toBe('gone');
  });
});

describe('output', () => {
  /** Holds the output of a worker until it is let go. */
  function holding(worker: Worker): () => void {
    const gate = new EventEmitter();
    worker.hold = once(gate, 'open').then(() => undefined);
    return () => {
      worker.hold = undefined;
      gate.emit('open');
    };
  }

  const CHUNK = 65_536;
  const MANY = 50_000_000;

  test('that the listener keeps waiting stops the writer, takes no memory, and comes in full afterwards', async () => {
    const worker = new Worker();
    const letGo = holding(worker);
    worker.start(`echo pid $$; exec head -c ${MANY} /dev/zero`);
    const { pid } = await worker.runs();
    await waitFor(() => worker.bytes > 0);
    const beforeKb = process.memoryUsage().rss / 1_024;
    // A writer that sleeps in write(2), at two looks between which nothing moved.
    const rchar = () => /^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1];
    await waitFor(async () => {
      const before = rchar();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return statOf(pid)?.state === 'S' && before === rchar();
    });
    expect(worker.bytes).toBeLessThanOrEqual(CHUNK);
    expect(process.memoryUsage().rss / 1_024 - beforeKb).toBeLessThan(20_000);
    letGo();
    await worker.ended();
    await waitFor(() => worker.told.includes('outputEnded'));
    expect(worker.bytes).toBe(MANY + `pid ${pid}\n`.length);
  });

  test('of a process that ended is kept while the listener keeps it waiting, beyond the time to drain', async () => {
    const worker = new Worker();
    const letGo = holding(worker);
    worker.start('head -c 100000 /dev/zero; echo last');
    await worker.ended();
    expect(worker.bytes).toBeLessThan(100_000);
    await new Promise((resolve) => setTimeout(resolve, LIMITS.outputDrainMs + 100));
    const before = worker.bytes;
    letGo();
    await waitFor(() => worker.told.includes('outputEnded'));
    expect([before < 100_000, worker.bytes]).toEqual([true, 100_005]);
    expect(worker.told).toEqual(['spawned', 'gone', 'outputEnded']);
  });

  test('of a pipe that a stranger holds open holds up nobody, and is given up in the end', async () => {
    // With a token of its own it is nobody's runaway here.
    const worker = start('SN_TOKEN=snw_other setsid sleep 1000 & echo stranger $!; exec sleep 1000');
    const pid = await worker.pid('stranger');
    await waitFor(() => statOf(pid)?.session === pid);
    await killLeader(worker);
    expect(alive(pid)).toBe(true);
    await waitFor(() => worker.told.includes('outputEnded'));
    expect(worker.told).toEqual(['spawned', 'gone', 'outputEnded']);
    process.kill(pid, 'SIGKILL');
  });

  test('goes on after a promise that was broken', async () => {
    const worker = new Worker();
    const gate = new EventEmitter();
    worker.hold = once(gate, 'open').then(() => undefined);
    worker.start('echo one; sleep 0.05; echo two; exec sleep 1000');
    await worker.says('one');
    gate.emit('error', new Error('the queue is closed'));
    worker.hold = undefined;
    await worker.says('two');
  });
});

test('a hundred workers leave no descriptor open', async () => {
  const count = () => readdirSync('/proc/self/fd').length;
  await killLeader(start('exec sleep 1000', { stdin: 'pipe' }));
  const before = count();
  for (let round = 0; round < 5; round += 1) {
    const all = Array.from({ length: 20 }, () => start('exec cat', { stdin: 'pipe' }));
    await Promise.all(all.map(killLeader));
  }
  await waitFor(() => count() <= before);
});

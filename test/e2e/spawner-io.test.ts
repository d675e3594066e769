import { EventEmitter, once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { statOf } from '../../src/adapters/proc.js';
import { LIMITS } from '../../src/core/limits.js';
import { alive, killLeader, oneSpawnerATest, spawner, start, Worker } from '../fixtures/spawned.js';
import { waitFor } from '../fixtures/wait-for.js';

/** Real processes under the spawner alone: what it promises to the supervisor about what goes in and comes out. */

oneSpawnerATest();

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

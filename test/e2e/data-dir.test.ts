import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openChildJournal } from '../../src/adapters/child-journal.js';
import { openDataDir } from '../../src/adapters/data-dir.js';
import { endLeftovers } from '../../src/adapters/leftovers.js';
import { bootId, identityOf, isAlive, parseStat } from '../../src/adapters/proc.js';
import { systemClock, systemRandom } from '../../src/adapters/system-clock.js';
import type { ChildRecord, ProcessIdentity } from '../../src/core/ports.js';
import { quietLog } from '../fixtures/supervisor-world.js';

let dir: string;
const strangers: ChildProcess[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-data-'));
});

afterEach(() => {
  for (const stranger of strangers.splice(0)) stranger.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

function stranger(): number {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
  strangers.push(child);
  if (child.pid === undefined) throw new Error('sleep(1) cannot be started');
  return child.pid;
}

const hash = (token: string) => systemRandom.hash(token);
const childOf = (token: string, identity: ProcessIdentity | undefined): ChildRecord => {
  return { taskId: 't1', generation: 1, tokenHash: hash(token), identity };
};

describe('after a crash of the node', () => {
  /** A node that started a child for each token and was killed; the pids of the children. */
  async function crashed(...tokens: string[]): Promise<number[]> {
    const script = new URL('../fixtures/crashing-node.mjs', import.meta.url).pathname;
    const node = spawn(process.execPath, [script, ...tokens], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [text] = await once(node.stdout, 'data');
    node.kill('SIGKILL');
    await once(node, 'exit');
    return JSON.parse(String(text));
  }

  test('the next start ends what the journal knows by its pid, and by its token alone', async () => {
    const tokens = ['snw_known', 'snw_spawning', 'snw_other'];
    const [known = 0, spawning = 0, other = 0] = await crashed(...tokens);
    const before = openChildJournal(dir, quietLog());
    before.journal.spawning(childOf('snw_known', undefined));
    before.journal.spawned(childOf('snw_known', identityOf(known)));
    before.journal.spawning(childOf('snw_spawning', undefined));
    before.close();

    const { leftovers, journal, close } = openChildJournal(dir, quietLog());
    const identities = [known, spawning, other].map(identityOf);
    expect(identities.map(isAlive)).toEqual([true, true, true]);
    expect(await endLeftovers(leftovers, quietLog(), systemClock)).toEqual({ ended: 2, living: [] });
    expect(identities.map(isAlive)).toEqual([false, false, true]);
    process.kill(other, 'SIGKILL');

    for (const child of leftovers) journal.gone(child);
    close();
    expect(openChildJournal(dir, quietLog()).leftovers).toEqual([]);
  });

  test('a stranger that has the pid by now is left alone', async () => {
    const pid = stranger();
    const reused = { ...identityOf(pid), startTime: '1' };
    const rebooted = { ...identityOf(pid), bootId: 'another' };
    const unknown = { pid, startTime: '', bootId: bootId() };
    const leftovers = [reused, rebooted, unknown].map((identity, at) => childOf(`snw_${at}`, identity));
    expect(await endLeftovers(leftovers, quietLog(), systemClock)).toEqual({ ended: 0, living: [] });
    expect(isAlive(identityOf(pid))).toBe(true);
  });
});

describe('the journal of children', () => {
  test('gives back who was not seen gone, and is closed to other users', () => {
    const identity = identityOf(process.pid);
    const { journal, close } = openChildJournal(dir, quietLog());
    journal.spawning(childOf('a', undefined));
    journal.spawned(childOf('a', identity));
    journal.spawning(childOf('b', undefined));
    journal.gone(childOf('b', undefined));
    close();
    expect(statSync(join(dir, 'children.ndjson')).mode & 0o777).toBe(0o600);
    expect(openChildJournal(dir, quietLog()).leftovers).toEqual([childOf('a', identity)]);
  });

  test('does not mind a line that a crash tore', () => {
    const { journal, close } = openChildJournal(dir, quietLog());
    journal.spawning(childOf('a', undefined));
    close();
    appendFileSync(join(dir, 'children.ndjson'), '{"op":"gone","task_id":"t1","gen');
    expect(openChildJournal(dir, quietLog()).leftovers).toEqual([childOf('a', undefined)]);
  });

  test('does not grow for ever', () => {
    const { journal, close } = openChildJournal(dir, quietLog());
    journal.spawning(childOf('stays', undefined));
    for (let at = 0; at < 10_000; at += 1) {
      journal.spawning(childOf(`goes${at}`, undefined));
      journal.gone(childOf(`goes${at}`, undefined));
    }
    close();
    expect(readFileSync(join(dir, 'children.ndjson'), 'utf8').split('\n').length).toBeLessThan(10_010);
    expect(openChildJournal(dir, quietLog()).leftovers).toEqual([childOf('stays', undefined)]);
  });
});

describe('a data directory', () => {
  const path = () => join(dir, 'data', 'node');
  const lock = () => join(path(), 'lock');
  const lockOf = ({ pid, startTime, bootId: boot_id }: ProcessIdentity) =>
    JSON.stringify({ pid, start_time: startTime, boot_id });

  test('is made for its owner alone, and let go by close', () => {
    const first = openDataDir(path());
    expect(statSync(path()).mode & 0o777).toBe(0o700);
    first.close();
    openDataDir(path()).close();
  });

  test('that a living node has is refused, with its pid', () => {
    openDataDir(path()).close();
    const pid = stranger();
    writeFileSync(lock(), lockOf(identityOf(pid)));
    expect(() => openDataDir(path())).toThrow(
      expect.objectContaining({ code: 'SN_ERR_DATA_DIR', message: expect.stringContaining(`process ${pid}`) }),
    );
  });

  test('is not given to two nodes of one process', () => {
    const first = openDataDir(path());
    expect(() => openDataDir(path())).toThrow(expect.objectContaining({ code: 'SN_ERR_DATA_DIR' }));
    first.close();
  });

  test('of a dead node is taken over, also when its pid runs something else or its lock is damaged', () => {
    openDataDir(path()).close();
    const stale = { ...identityOf(stranger()), startTime: '1' };
    for (const left of [lockOf(stale), lockOf({ pid: 4_194_303, startTime: '1', bootId: bootId() }), '']) {
      writeFileSync(lock(), left);
      const taken = openDataDir(path());
      expect(readFileSync(lock(), 'utf8')).toBe(lockOf(identityOf(process.pid)));
      taken.close();
    }
  });

  test('that cannot be made is told with the reason', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => openDataDir(join(dir, 'file', 'data'))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_DATA_DIR', message: expect.stringContaining('ENOTDIR') }),
    );
  });
});

test('the stat of a process is read right whatever its name is', () => {
  const fields = Array.from({ length: 49 }, (_, at) => at + 4).join(' ');
  expect(parseStat(`77 (a) S 1 (b) R ${fields}`)).toEqual({
    pid: 77,
    state: 'R',
    parent: 4,
    group: 5,
    session: 6,
    kernel: false,
    startTime: '22',
  });
  expect(parseStat('')).toBeUndefined();
});

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { LogFiles, type LogFilesOptions } from '../../../src/adapters/log-files.js';
import type { Logger } from '../../../src/core/ports.js';
import { taskIdOf } from '../../../src/core/topics.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';
import { waitFor } from '../../fixtures/wait-for.js';

const ROUND_MS = 1_000;
const cam1 = taskIdOf('cam1');

interface World {
  readonly dir: string;
  readonly clock: VirtualClock;
  readonly logs: LogFiles;
  /** What was told at level warn. */
  readonly told: { fields: object; message: string }[];
  /** What is in a file; empty when it is not there. */
  text(name: string): string;
  names(): string[];
  /** Turns the clock by a round until the file says so. */
  written(name: string, part: string): Promise<string>;
}

const worlds: World[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(worlds.splice(0).map(({ logs }) => logs.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sn-logs-'));
  folders.push(folder);
  return folder;
}

function world(options: Partial<LogFilesOptions> = {}): World {
  const { dir = join(newFolder(), 'logs') } = options;
  const clock = new VirtualClock();
  const told: World['told'] = [];
  const silent = () => undefined;
  const log: Logger = {
    debug: silent,
    info: silent,
    error: silent,
    warn: (fields, message) => told.push({ fields, message }),
    child: () => log,
  };
  const logs = new LogFiles({ fileBytes: 65_536, files: 3, openMax: 8, log, clock, ...options, dir });
  const text = (name: string) => (existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8') : '');
  const made: World = {
    dir,
    clock,
    logs,
    told,
    text,
    names: () => readdirSync(dir).sort(),
    written: (name, part) =>
      waitFor(() => {
        clock.advance(ROUND_MS);
        const found = text(name);
        return found.includes(part) && found;
      }),
  };
  worlds.push(made);
  return made;
}

/** Paths of the descriptors this process holds below a directory (proc(5)). */
function held(dir: string): string[] {
  const paths = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return paths.filter((path) => path.startsWith(dir));
}

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

/** `from … to - 1`, each with its number in it, 20 bytes with the line end. */
function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `line ${String(from + index).padStart(14, '0')}`);
}

test('lines go to the file of their task, which nobody else may read', async () => {
  const { logs, dir, written } = world();
  logs.write(cam1, 'one');
  logs.write(cam1, 'two');
  logs.write(taskIdOf('cam2'), 'three');
  expect(await written('cam1.log', 'two')).toBe('one\ntwo\n');
  expect(await written('cam2.log', 'three')).toBe('three\n');
  expect([modeOf(dir), modeOf(join(dir, 'cam1.log'))]).toEqual(['700', '600']);
});

test('lines wait a second for others to be written with them', async () => {
  const { logs, clock, dir, written } = world();
  logs.write(cam1, 'one');
  clock.advance(ROUND_MS - 1);
  logs.write(cam1, 'two');
  await new Promise((resolve) => setImmediate(resolve));
  expect([existsSync(dir), clock.pending]).toEqual([false, 1]);
  expect(await written('cam1.log', 'one')).toBe('one\ntwo\n');
});

test('a block full of lines does not wait', async () => {
  const { logs, clock, text } = world({ fileBytes: 4_096 });
  for (const line of numbered(0, 60)) logs.write(cam1, line);
  clock.advance(0);
  await waitFor(() => text('cam1.log').includes('59'));
});

test('a flood of one task does not keep the lines of another waiting', async () => {
  const { logs, clock, text } = world({ fileBytes: 4_096 });
  logs.write(taskIdOf('quiet'), 'hello');
  for (let ms = 0; ms < ROUND_MS; ms += 100) {
    for (const line of numbered(0, 60)) logs.write(cam1, line);
    clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await waitFor(() => text('quiet.log') === 'hello\n');
});

test('a file that is full becomes the first of the older ones, of which so many are kept', async () => {
  const { logs, text, names, clock, dir } = world({ fileBytes: 4_096, files: 2 });
  for (let from = 0; from < 2_000; from += 500) {
    for (const line of numbered(from, from + 500)) logs.write(cam1, line);
    await waitFor(() => {
      clock.advance(ROUND_MS);
      expect(held(dir).length).toBeLessThanOrEqual(1);
      const [last = ''] = numbered(from + 499, from + 500);
      return `${text('cam1.log')}${text('cam1.log.1')}`.includes(last);
    });
  }
  await logs.close();
  expect(names()).toEqual(['cam1.log', 'cam1.log.1', 'cam1.log.2']);
  for (const name of names()) expect(statSync(join(dir, name)).size).toBeLessThanOrEqual(4_096);
  expect(statSync(join(dir, 'cam1.log.1')).size).toBeGreaterThan(3_000);
  expect(names().map((name) => modeOf(join(dir, name)))).toEqual(['600', '600', '600']);
  const kept = ['cam1.log.2', 'cam1.log.1', 'cam1.log'].map(text).join('');
  const lines = kept.trimEnd().split('\n');
  expect(lines).toEqual(numbered(2_000 - lines.length, 2_000));
  expect(logs.dropped).toBe(0);
});

test('after a restart the file goes on, and what is in it counts', async () => {
  const first = world({ fileBytes: 4_096 });
  for (const line of numbered(0, 150)) first.logs.write(cam1, line);
  await first.logs.close();
  const second = world({ fileBytes: 4_096, dir: first.dir });
  for (const line of numbered(150, 200)) second.logs.write(cam1, line);
  await second.logs.close();
  expect(second.names()).toEqual(['cam1.log', 'cam1.log.1']);
  expect(`${second.text('cam1.log.1')}${second.text('cam1.log')}`).toBe(`${numbered(0, 200).join('\n')}\n`);
});

test('after a restart with a smaller bound on their number the surplus of older files goes', async () => {
  const { logs, dir, names, written } = world({ files: 2 });
  mkdirSync(dir);
  for (const number of [1, 2, 3, 4]) writeFileSync(join(dir, `cam1.log.${number}`), 'old\n');
  logs.write(cam1, 'one');
  await written('cam1.log', 'one');
  expect(names()).toEqual(['cam1.log', 'cam1.log.1', 'cam1.log.2']);
});

test('a line that a crash tore does not swallow the next', async () => {
  const { logs, dir, written } = world();
  mkdirSync(dir);
  writeFileSync(join(dir, 'cam1.log'), 'whole\ntor');
  logs.write(cam1, 'next');
  expect(await written('cam1.log', 'next')).toBe('whole\ntor\nnext\n');
});

test('no two tasks share a file, whatever they are called', async () => {
  const { logs, names, text } = world({ fileBytes: 4_096, files: 2, openMax: 3 });
  const ids = ['a', 'a.log', 'a.log.1', 'a.log.1.log', 'a.log.log', 'a.1', '1', 'a..', 'a.log.2'];
  for (const id of ids) for (let line = 0; line < 3_000; line += 1) logs.write(taskIdOf(id), `of ${id}`);
  await logs.close();
  expect(names()).toHaveLength(3 * ids.length);
  for (const id of ids) {
    for (const name of [`${id}.log`, `${id}.log.1`, `${id}.log.2`]) {
      expect([name, [...new Set(text(name).trimEnd().split('\n'))]]).toEqual([name, [`of ${id}`]]);
    }
  }
});

test('no more files are open than allowed: who wrote least recently gives way', async () => {
  const { logs, dir, written, clock } = world({ openMax: 2 });
  for (const id of ['a', 'b', 'c', 'd', 'e']) logs.write(taskIdOf(id), '1');
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    await written(`${id}.log`, '1');
    expect(logs.openFiles).toBeLessThanOrEqual(2);
    expect(held(dir).length).toBeLessThanOrEqual(2);
  }
  await waitFor(() => held(dir).length === 2);
  logs.write(taskIdOf('d'), '2');
  await written('d.log', '2');
  logs.write(taskIdOf('a'), '2');
  await waitFor(() => {
    clock.advance(ROUND_MS);
    return held(dir).sort().join() === [join(dir, 'a.log'), join(dir, 'd.log')].join();
  });
});

test('more talking tasks than descriptors: all get their turn', async () => {
  const { logs, text, clock } = world({ openMax: 2 });
  const ids = Array.from({ length: 80 }, (_, index) => taskIdOf(`t${index}`));
  for (let round = 0; round < 2; round += 1) {
    for (const id of ids) logs.write(id, `round ${round}`);
    clock.advance(ROUND_MS);
  }
  await waitFor(() => {
    clock.advance(ROUND_MS);
    return ids.every((id) => text(`${id}.log`).includes('round 1'));
  });
  expect(logs.dropped).toBe(0);
});

test('where no file can be, lines are dropped, counted and told once a minute, until one can', async () => {
  const { logs, dir, clock, told, written } = world();
  writeFileSync(dir, 'a file in the place of the directory');
  for (let second = 0; second < 90; second += 1) {
    logs.write(cam1, 'lost');
    clock.advance(ROUND_MS);
    await waitFor(() => logs.dropped === second + 1);
  }
  expect(told.map(({ message }) => message)).toEqual(Array(2).fill('lines of workers did not reach their log files'));
  expect(told[0]?.fields).toEqual({ lines: expect.any(Number), dir, error: expect.stringMatching(/EEXIST|ENOTDIR/) });
  rmSync(dir);
  clock.advance(5_000);
  logs.write(cam1, 'found');
  expect(await written('cam1.log', 'found')).toMatch(/^20\d\d-\d\d-\d\dT[\d:.]{12}Z log 90 lines lost\nfound\n$/);
  expect(logs.dropped).toBe(90);
});

test('a directory that becomes a file while its files are open costs lines, nothing else', async () => {
  const { logs, dir, clock, written } = world();
  logs.write(cam1, 'one');
  await written('cam1.log', 'one');
  rmSync(dir, { recursive: true });
  writeFileSync(dir, '');
  logs.write(cam1, 'two');
  await waitFor(() => {
    clock.advance(ROUND_MS);
    return logs.dropped >= 1 && held(dir).length === 0;
  });
});

test('a directory or file that is deleted is made again, and no line is lost', async () => {
  const { logs, dir, written } = world();
  logs.write(cam1, 'one');
  await written('cam1.log', 'one');
  rmSync(dir, { recursive: true });
  logs.write(cam1, 'two');
  // `one` may still have been on its way, and then it is written again.
  expect(await written('cam1.log', 'two')).toMatch(/^(one\n)?two\n$/);
  expect([modeOf(dir), modeOf(join(dir, 'cam1.log')), logs.dropped]).toEqual(['700', '600', 0]);
  expect(held(dir)).toEqual([join(dir, 'cam1.log')]);
});

test('a file that somebody emptied goes on', async () => {
  const { logs, dir, written } = world();
  for (const line of ['zero', 'one']) {
    logs.write(cam1, line);
    await written('cam1.log', line);
  }
  writeFileSync(join(dir, 'cam1.log'), '');
  logs.write(cam1, 'two');
  expect(await written('cam1.log', 'two')).toBe('two\n');
  expect(logs.dropped).toBe(0);
});

test('a rotation that fails costs lines, and the file does not grow', async () => {
  const { logs, dir, clock } = world({ fileBytes: 4_096, files: 1 });
  mkdirSync(join(dir, 'cam1.log.1', 'in the way'), { recursive: true });
  await waitFor(() => {
    for (const line of numbered(0, 100)) logs.write(cam1, line);
    clock.advance(ROUND_MS);
    return logs.dropped > 2_000;
  });
  expect(statSync(join(dir, 'cam1.log')).size).toBeLessThanOrEqual(4_096);
  await waitFor(() => held(dir).length === 0);
});

test('lines that wait for the disk are bounded for each task and for all', () => {
  const { logs } = world({ fileBytes: 1_073_741_824 });
  const line = 'x'.repeat(1_023);
  for (let count = 0; count < 1_100; count += 1) logs.write(cam1, line);
  expect(logs.dropped).toBe(1_100 - 1_024);
  for (let task = 2; task <= 17; task += 1) {
    for (let count = 0; count < 1_024; count += 1) logs.write(taskIdOf(`cam${task}`), line);
  }
  expect(logs.dropped).toBe(1_100 - 1_024 + 1_024);
});

test('a line too long for a file is cut, not in the middle of a character', async () => {
  const { logs, written } = world({ fileBytes: 4_096 });
  logs.write(cam1, 'é'.repeat(10_000));
  const text = await written('cam1.log.1', '\n');
  expect(text).toMatch(/^é+ … \d+ bytes cut\n$/);
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096);
});

test('the file of a forgotten task gets what waits, is closed, and stays', async () => {
  const { logs, dir, written } = world();
  logs.write(cam1, 'last words');
  logs.forget(cam1);
  expect(await written('cam1.log', 'last words')).toBe('last words\n');
  await waitFor(() => held(dir).length === 0 && logs.openFiles === 0);
  logs.write(cam1, 'again');
  expect(await written('cam1.log', 'again')).toBe('last words\nagain\n');
});

test('close writes what waits and leaves no descriptor and no timer', async () => {
  const { logs, dir, text, clock } = world();
  for (const id of ['a', 'b', 'c']) logs.write(taskIdOf(id), 'waiting');
  await Promise.all([logs.close(), logs.close()]);
  expect(['a.log', 'b.log', 'c.log'].map(text)).toEqual(Array(3).fill('waiting\n'));
  expect([held(dir), clock.pending]).toEqual([[], 0]);
  logs.write(cam1, 'too late');
  expect([logs.dropped, clock.pending]).toEqual([1, 0]);
});

test('close tells what was lost and not told yet', async () => {
  const { logs, dir, told } = world();
  writeFileSync(dir, '');
  logs.write(cam1, 'lost');
  await logs.close();
  expect(told).toEqual([{ fields: expect.objectContaining({ lines: 1 }), message: expect.any(String) }]);
});

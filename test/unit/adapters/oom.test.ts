import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OomWatch } from '../../../src/adapters/oom.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

let dir: string;
let clock: VirtualClock;
let watch: OomWatch;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-oom-'));
  clock = new VirtualClock();
  watch = new OomWatch(clock, { self: join(dir, 'self'), mount: join(dir, 'mount') });
});

afterEach(() => {
  watch.stop();
  rmSync(dir, { recursive: true, force: true });
});

const belongsTo = (...lines: string[]) => writeFileSync(join(dir, 'self'), `${lines.join('\n')}\n`);

function count(file: string, kills: number): void {
  const path = join(dir, 'mount', file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `low 0\noom ${kills + 9}\noom_kill ${kills}\noom_group_kill 0\n`);
}

describe.each([
  ['version 2', '0::/system.slice/node.service', 'system.slice/node.service/memory.events'],
  ['version 2 seen from inside of a container', '0::/../../node', 'memory.events'],
  ['version 1', '4:memory:/docker/1f', 'memory/docker/1f/memory.oom_control'],
  ['version 1 with several controllers', '5:cpu,memory:/docker/1f', 'memory/docker/1f/memory.oom_control'],
  ['version 1 whose path means nothing here', '4:memory:/docker/1f', 'memory/memory.oom_control'],
])('the counter of a cgroup of %s', (_which, line, file) => {
  beforeEach(() => {
    belongsTo('9:name=systemd:/', line);
    count(file, 3);
    watch.start();
  });

  test('explains as many ends as it rose by', () => {
    count(file, 5);
    expect([watch.explains(), watch.explains(), watch.explains()]).toEqual([true, true, false]);
  });

  test('explains nothing while it stays', () => {
    expect(watch.explains()).toBe(false);
  });

  test('explains an end some seconds after the kill, and none long after', () => {
    count(file, 4);
    clock.advance(4_000);
    expect(watch.explains()).toBe(true);
    count(file, 5);
    clock.advance(6_000);
    expect(watch.explains()).toBe(false);
  });

  test('explains nothing when it cannot be read', () => {
    rmSync(join(dir, 'mount'), { recursive: true });
    expect(watch.explains()).toBe(false);
  });

  test('is new to us when we were moved to it', () => {
    belongsTo('4:memory:/elsewhere');
    count('memory/elsewhere/memory.oom_control', 70);
    expect(watch.explains()).toBe(false);
    count('memory/elsewhere/memory.oom_control', 71);
    expect(watch.explains()).toBe(true);
  });
});

test('a system that shows no cgroups explains nothing', () => {
  watch.start();
  expect(watch.explains()).toBe(false);
});

test('nothing is looked at any more once it is stopped', () => {
  belongsTo('0::/');
  watch.start();
  watch.start();
  expect(clock.pending).toBe(1);
  watch.stop();
  expect(clock.pending).toBe(0);
});

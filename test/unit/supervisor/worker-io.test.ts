import { beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { Supervised } from '../../fixtures/supervised.js';
import { T1 } from '../../fixtures/supervisor-world.js';

let world: Supervised;

beforeEach(() => {
  world = new Supervised();
});

const sample = (rssKb: number) => {
  const usage = { cpuPercent: 1, rssKb, processes: 1 };
  world.supervisor.usageSeen(new Map(world.supervisor.leaders().map(({ pid }) => [pid, usage])));
};

describe('memory_limit_kb', () => {
  const wire = { ready: 'spawn', memory_limit_kb: 1_000, backoff: { initial_ms: 0 } } as const;

  test('ends a worker that is over it in two samples running, and tells what it took', () => {
    world.start(wire);
    sample(1_001);
    expect(world.status.state).toBe('ready');
    sample(1_500);
    expect(world.status).toMatchObject({ state: 'stopping', cause: 'memory' });
    world.clock.advance(0);
    expect(world.status).toMatchObject({ restarts: { memory: 1 }, rssKb: 1_500 });
    expect(world.report.events.find(({ type }) => type === 'restarting')?.data).toMatchObject({
      cause: 'memory',
      rss_kb: 1_500,
    });
  });

  test('forgives a peak: a sample that is not over it begins anew', () => {
    world.start(wire);
    for (const rssKb of [1_001, 1_000, 1_001, 900, 5_000]) sample(rssKb);
    expect(world.status.state).toBe('ready');
  });

  test('does not count samples of the process before', () => {
    world.start(wire);
    sample(1_001);
    world.spawner.last(T1).end({ code: null, signal: 'SIGSEGV' });
    world.clock.advance(200);
    sample(1_001);
    expect(world.status).toMatchObject({ state: 'ready', generation: 2 });
  });

  test('is none by default', () => {
    world.start({ ready: 'spawn' });
    for (let at = 0; at < 5; at += 1) sample(1e9);
    expect(world.status.state).toBe('ready');
  });
});

describe('stdin: lines', () => {
  const wire = { ready: 'spawn', stdin: 'lines' } as const;
  const line = Buffer.from('{"call":1}\n');

  test('offers the stdin of each worker that runs, by name', () => {
    world.start({ ...wire, instances: 2 });
    const stdins = world.supervisor.stdins(T1);
    expect(stdins.map(({ name, worker }) => [name, worker.instance, worker.generation])).toEqual([
      ['t1~1', 1, 1],
      ['t1~2', 2, 1],
    ]);
    expect(stdins[1]?.write(line)).toBe('written');
    expect(world.spawner.all.map(({ written }) => written)).toEqual([[], ['{"call":1}\n']]);
  });

  test('takes nothing once the worker is being ended, and has nothing without a process', () => {
    world.spawner.behaviour = () => ({ diesMs: 500 });
    world.start(wire);
    const [stdin] = world.supervisor.stdins(T1);
    const stopped = world.supervisor.stop(T1);
    expect(stdin?.write(line)).toBe('gone');
    world.clock.advance(500);
    expect(world.supervisor.stdins(T1)).toEqual([]);
    return stopped;
  });

  test('is asked for: other tasks have none, and their process no pipe', () => {
    world.start({ ready: 'spawn' });
    expect(world.supervisor.stdins(T1)).toEqual([]);
    expect(world.spawner.last(T1).spec.stdin).toBe('ignore');
  });

  test('hands lines that are objects to whoever waits for answers; what answers nothing is a line like any other', () => {
    const asked: string[] = [];
    world.report.answer = (_worker, bytes) => {
      asked.push(Buffer.from(bytes).toString());
      return asked.length === 1 ? 'taken' : undefined;
    };
    world.start({ ...wire, stdout: 'data' });
    world.spawner.last(T1).write('stdout', '{"a":1}\n{"b":2}\nplain\n');
    expect(asked).toEqual(['{"a":1}', '{"b":2}']);
    expect(world.report.entries).toEqual(['{"b":2}', 'plain']);
  });

  test('reads stdout for answers even where it is ignored', () => {
    world.start({ ...wire, stdout: 'ignore' });
    expect(world.spawner.last(T1).spec.stdout).toBe('pipe');
    world.spawner.last(T1).write('stdout', 'plain\n');
    expect(world.report.lines).toEqual([]);
  });
});

describe('stdout: data', () => {
  test('makes each line an entry, also the last one without a newline', () => {
    world.start({ stdout: 'data' });
    world.spawner.last(T1).write('stdout', 'one\ntw');
    world.spawner.last(T1).write('stdout', 'o\nthree');
    world.spawner.last(T1).end({ code: 0, signal: null });
    expect(world.report.entries).toEqual(['one', 'two', 'three']);
  });

  test('makes the process wait until all of its lines have found their place, whatever became of each', async () => {
    const places: { resolve: () => void; reject: (error: Error) => void }[] = [];
    world.report.data = () => new Promise((resolve, reject) => void places.push({ resolve, reject }));
    world.start({ stdout: 'data' });
    let isThrough = false;
    const wait = world.spawner.last(T1).write('stdout', 'one\ntwo\n');
    const through = wait?.then(() => {
      isThrough = true;
    });
    places[0]?.reject(new Error('the store cannot write'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isThrough).toBe(false);
    places[1]?.resolve();
    await through;
    expect(isThrough).toBe(true);
  });
});

describe('a turn of output', () => {
  test('ends by time where lines are long to deal with, and goes on in the next', async () => {
    world.report.data = (_worker, line) => {
      world.report.entries.push(Buffer.from(line).toString());
      world.clock.stall(LIMITS.outputTurnMs / 4);
      return undefined;
    };
    world.start({ stdout: 'data' });
    const lines = Array.from({ length: 50 }, (_, at) => `${at}`);
    const taken = world.spawner.last(T1).write('stdout', `${lines.join('\n')}\n`);
    expect(world.report.entries.length).toBeLessThan(20);
    for (let turn = 0; turn < lines.length; turn += 1) {
      world.clock.advance(0);
      for (let settling = 0; settling < 8; settling += 1) await undefined;
    }
    await taken;
    expect(world.report.entries).toEqual(lines);
  });

  test('has one line at least, however long that takes', () => {
    const seen: string[] = [];
    world.report.data = (_worker, line) => {
      seen.push(Buffer.from(line).toString());
      world.clock.stall(10 * LIMITS.outputTurnMs);
      return undefined;
    };
    world.start({ stdout: 'data' });
    world.spawner.last(T1).write('stdout', 'one\ntwo\n');
    expect(seen).toEqual(['one']);
  });
});

describe('whoever waits for a worker', () => {
  const wire = { ready: 'spawn', backoff: { initial_ms: 0 } } as const;
  const whys = () => world.report.gone.map(({ worker, why }) => `${worker.generation} ${why}`);

  test('is told how its process ended', () => {
    world.start(wire);
    world.spawner.last(T1).end({ code: 3, signal: null });
    world.clock.advance(200);
    world.spawner.last(T1).end({ code: null, signal: 'SIGSEGV' });
    world.clock.advance(200);
    world.spawner.last(T1).end({ code: null, signal: 'SIGKILL', oom: true });
    expect(whys()).toEqual(['1 exit code 3', '2 signal SIGSEGV', '3 oom, signal SIGKILL']);
  });

  test('is told why the node ended it, and when its heartbeat was lost at once', () => {
    world.start(wire);
    world.connect('c1');
    world.supervisor.channelDown(T1, 'c1', 'silent');
    expect(whys()).toEqual(['1 silent for longer than its heartbeat allows']);
    world.clock.advance(0);
    expect(whys().slice(1)).toEqual(['1 heartbeat, signal SIGTERM']);
  });

  test('is not told the cause of an earlier restart again', async () => {
    world.start({ ...wire, exec_timeout_ms: 500, restart: 'on-failure' });
    world.clock.advance(500);
    world.clock.advance(200);
    world.spawner.last(T1).end({ code: 0, signal: null });
    expect(whys()).toEqual(['1 exec_timeout, signal SIGTERM', '2 exit code 0']);
    expect(world.status).toMatchObject({ state: 'exited', cause: 'exit' });
  });

  test('is told when nothing ends it, and once more when it ends after all', async () => {
    world.spawner.behaviour = () => ({ endsOn: 'nothing' });
    world.start({ ...wire, second_sig_duration: 3_000 });
    const stopped = expect(world.supervisor.stop(T1)).rejects.toMatchObject({ code: 'SN_ERR_UNKILLABLE' });
    world.clock.advance(3_000 + LIMITS.unkillableMs - 1);
    expect(whys()).toEqual([]);
    world.clock.advance(1);
    expect(whys()).toEqual(['1 SIGKILL does not end it']);
    await stopped;
    world.spawner.last(T1).end({ code: null, signal: 'SIGKILL' });
    expect(whys().slice(1)).toEqual(['1 signal SIGKILL']);
  });

  test('is told once, however often the spawner repeats itself', () => {
    world.spawner.behaviour = () => ({ echoMs: 10 });
    world.start({ ...wire, backoff: { initial_ms: 5_000 } });
    world.spawner.last(T1).end({ code: 3, signal: null });
    world.clock.advance(20);
    expect(whys()).toEqual(['1 exit code 3']);
    expect(world.status.restarts).toEqual({ exit: 1 });
  });
});

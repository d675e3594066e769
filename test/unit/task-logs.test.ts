import { describe, expect, test } from 'vitest';
import { logLine } from '../../src/app/log-line.js';
import { type LogSink, TaskLogs } from '../../src/app/task-logs.js';
import { LIMITS } from '../../src/core/limits.js';
import { taskIdOf } from '../../src/core/topics.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';

const cam1 = taskIdOf('cam1');
const START_MS = Date.parse('2026-11-24T07:51:22.123Z');

function world(tasksMax?: number) {
  const clock = new VirtualClock(START_MS);
  const sunk: string[] = [];
  const files: LogSink = {
    write: (taskId, line) => sunk.push(`${taskId}: ${line}`),
    forget: (taskId) => sunk.push(`${taskId} forgotten`),
    close: async () => {
      sunk.push('closed');
    },
  };
  const logs = new TaskLogs({ clock, files, ...(tasksMax === undefined ? {} : { tasksMax }) });
  const add = (line: string, taskId = cam1) => logs.add(taskId, { stream: 'stdout', line });
  const texts = (lines: number, taskId = cam1) => logs.tail(taskId, lines).map(({ line }) => line);
  return { clock, sunk, logs, add, texts };
}

describe('the tail', () => {
  test('has the newest lines of a task, the newest last, with time, stream and worker', () => {
    const { logs, clock } = world();
    logs.add(cam1, { stream: 'stdout', line: 'one', workerId: 'cam1~2' });
    clock.advance(5);
    logs.add(cam1, { stream: 'stderr', line: 'two', workerId: undefined });
    logs.add(taskIdOf('cam2'), { stream: 'stderr', line: 'other' });
    expect(logs.tail(cam1, 10)).toStrictEqual([
      { tsMs: START_MS, stream: 'stdout', line: 'one', workerId: 'cam1~2' },
      { tsMs: START_MS + 5, stream: 'stderr', line: 'two' },
    ]);
    expect(logs.tail(cam1, 1).map(({ line }) => line)).toEqual(['two']);
  });

  test('is empty for a task that wrote nothing', () => {
    expect(world().logs.tail(cam1, 10)).toEqual([]);
  });

  test('holds so many lines, and lets the oldest go', () => {
    const { add, texts } = world();
    for (let count = 1; count <= 3 * LIMITS.logTailLines + 7; count += 1) {
      add(`${count}`);
      if (count % 13 === 0) expect(texts(2)).toEqual([`${count - 1}`, `${count}`]);
    }
    const all = texts(10_000);
    expect(all).toHaveLength(LIMITS.logTailLines);
    expect([all[0], all.at(-1)]).toEqual([`${2 * LIMITS.logTailLines + 8}`, `${3 * LIMITS.logTailLines + 7}`]);
  });

  test('holds so many bytes, and lets the oldest go', () => {
    const { add, texts } = world();
    const line = 'é'.repeat(512);
    for (let count = 0; count < 200; count += 1) add(`${String(count).padStart(3, '0')}${line}`);
    const all = texts(1_000);
    const bytes = all.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    expect(bytes).toBeLessThanOrEqual(LIMITS.logTailBytes);
    expect(bytes).toBeGreaterThan(LIMITS.logTailBytes - 2_048);
    expect(all.map((text) => Number(text.slice(0, 3)))).toEqual(all.map((_, index) => 200 - all.length + index));
    for (let count = 0; count < 10; count += 1) add('short');
    expect(texts(11).slice(1)).toEqual(Array(10).fill('short'));
  });

  test('cuts a huge line, not between the halves of a character', () => {
    const { add, texts } = world();
    add('before');
    add(`${'x'.repeat(8_191)}😀${'y'.repeat(1_000_000)}`);
    expect(texts(2)).toEqual(['before', `${'x'.repeat(8_191)}…`]);
  });

  test('of a forgotten task is gone', () => {
    const { add, texts, logs, sunk } = world();
    add('one');
    logs.forget(cam1);
    expect([texts(10), sunk.at(-1)]).toEqual([[], 'cam1 forgotten']);
  });

  test('is kept for so many tasks; the one silent for longest gives way', () => {
    const { add, texts, clock } = world(2);
    const ids = ['a', 'b', 'c'].map(taskIdOf);
    const [a = cam1, b = cam1, c = cam1] = ids;
    add('1', a);
    clock.advance(1);
    add('1', b);
    clock.advance(1);
    add('2', a);
    add('1', c);
    expect([texts(9, a), texts(9, b), texts(9, c)]).toEqual([['1', '2'], [], ['1']]);
  });
});

describe('the log file', () => {
  test('gets each line with time, stream and text, and the worker of a pool', () => {
    const { logs, sunk } = world();
    logs.add(cam1, { stream: 'stdout', line: 'a  b\tc ' });
    logs.add(cam1, { stream: 'stderr', line: 'd', workerId: 'cam1~2' });
    expect(sunk).toEqual([
      'cam1: 2026-11-24T07:51:22.123Z out a  b\tc ',
      'cam1: 2026-11-24T07:51:22.123Z err:cam1~2 d',
    ]);
  });

  test('is closed with the logs; without files nothing is', async () => {
    const { logs, sunk, clock } = world();
    await logs.close();
    expect(sunk).toEqual(['closed']);
    await new TaskLogs({ clock }).close();
  });

  test('gets a long line whole', () => {
    const { add, sunk } = world();
    add('x'.repeat(100_000));
    expect(sunk[0]).toHaveLength('cam1: 2026-11-24T07:51:22.123Z out '.length + 100_000);
  });

  test.each([
    ['a line feed', 'a\nb', 'a\\u000ab'],
    ['a carriage return', 'a\rb', 'a\\u000db'],
    ['an escape sequence', '\u001b[2Ja', '\\u001b[2Ja'],
    ['a C1 control', '\u009b2Ja', '\\u009b2Ja'],
    ['NUL and DEL', '\u0000\u007f', '\\u0000\\u007f'],
    ['what reorders text', '\u202eabc\u2066\u200f', '\\u202eabc\\u2066\\u200f'],
    ['what Unicode calls a line end', 'a\u0085b\u2028c', 'a\\u0085b\\u2028c'],
  ])('cannot be forged with %s', (_what, text, shown) => {
    expect(logLine(START_MS, 'stdout', undefined, text)).toBe(`2026-11-24T07:51:22.123Z out ${shown}`);
  });
});

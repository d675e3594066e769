import { expect, test } from 'vitest';
import { OTHER_TASKS, type TaskFigures, type TaskGauges, TaskSeries } from '../../src/app/task-series.js';

const GAUGES: TaskGauges = {
  ...{ connections: 1, entries: 2, bytes: 3, entriesLimit: 4, bytesLimit: 5 },
  ...{ oldestAgeS: 6, dead: 7, cpuRatio: 0.5, rssBytes: 8 },
};

function figuresOf(task: string, puts = 0, over: Partial<TaskFigures> = {}): TaskFigures {
  const counters = { puts, fetched: 0, dropped: 0, restarts: {} };
  return { task, states: { ready: 1 }, workers: {}, gauges: GAUGES, ...counters, ...over };
}

const named = (all: readonly TaskFigures[]) => all.map(({ task, puts }) => [task, puts]);

test('so many tasks have series of their own, and the others one together', () => {
  const series = new TaskSeries(2);
  const tasks = [figuresOf('a', 1), figuresOf('b', 2), figuresOf('c', 3), figuresOf('d', 4)];
  expect(named(series.place(tasks.slice(0, 2)))).toEqual([
    ['a', 1],
    ['b', 2],
  ]);
  expect(named(series.place(tasks))).toEqual([
    ['a', 1],
    ['b', 2],
    [OTHER_TASKS, 7],
  ]);
});

test('those together are summed, states counted, and the age is that of the oldest', () => {
  const series = new TaskSeries(0);
  const old = figuresOf('old', 0, { states: { backoff: 1 }, gauges: { ...GAUGES, oldestAgeS: 60 } });
  const [others] = series.place([figuresOf('a'), figuresOf('b'), old]);
  expect(others?.states).toEqual({ ready: 2, backoff: 1 });
  expect(others?.gauges).toMatchObject({ connections: 3, cpuRatio: 1.5, oldestAgeS: 60 });
});

test('a task that shares its series goes on to when there is room, so that no counter falls', () => {
  const series = new TaskSeries(1);
  series.place([figuresOf('a', 5), figuresOf('b', 7)]);
  expect(named(series.place([figuresOf('b', 8), figuresOf('c', 1)]))).toEqual([
    ['c', 1],
    [OTHER_TASKS, 8],
  ]);
});

test('what a removed task counted stays with the others, and so it is when it comes again', () => {
  const series = new TaskSeries(0);
  const at = (tasks: readonly TaskFigures[]) => series.place(tasks).map(({ puts, restarts }) => [puts, restarts]);
  const before = [figuresOf('a', 5, { restarts: { exit: 2 } }), figuresOf('b', 7)];
  expect(at(before)).toEqual([[12, { exit: 2 }]]);
  expect(at([figuresOf('b', 8)])).toEqual([[13, { exit: 2 }]]);
  expect(at([figuresOf('a', 1, { restarts: { exit: 1 } }), figuresOf('b', 8)])).toEqual([[14, { exit: 3 }]]);
  expect(at([figuresOf('a', 2), figuresOf('b', 3)])).toEqual([[18, { exit: 3 }]]);
  expect(at([])).toEqual([[18, { exit: 3 }]]);
});

import { expect, test } from 'vitest';
import { type ReadinessPorts, readiness } from '../../src/app/readiness.js';
import { taskIdOf } from '../../src/core/topics.js';
import type { TaskStatus } from '../../src/supervisor/status.js';

function statusOf(taskId: string, state: TaskStatus['state'], over: Partial<TaskStatus> = {}): TaskStatus {
  const counts = { generation: 1, restarts: {}, channels: 0, sinceMs: 0, workers: [], accepting: true };
  return { taskId: taskIdOf(taskId), state, kind: 'process', ...counts, ...over };
}

function look(statuses: readonly TaskStatus[], over: Partial<ReadinessPorts> = {}) {
  return readiness({
    listening: () => true,
    storageErrors: () => ({ queues: undefined, sessions: undefined }),
    tasksBegun: () => true,
    configured: () => ['a', 'b'],
    statuses: () => statuses,
    ...over,
  });
}
const WELL = [statusOf('a', 'ready'), statusOf('b', 'starting')];

test('a node that listens, can write and has begun its tasks is ready', () => {
  expect(look(WELL)).toEqual({
    ready: true,
    checks: {
      listeners: { ok: true },
      store: { ok: true },
      tasks: { ok: true, total: 2, waiting: [], trouble: [] },
    },
  });
});

test('a listener that is not open yet makes it not ready', () => {
  const { ready, checks } = look(WELL, { listening: () => false });
  expect([ready, checks.listeners]).toEqual([false, { ok: false }]);
});

test('queues that cannot be written make it not ready, sessions in memory do not; both are named', () => {
  const storageErrors = () => ({ queues: 'disk full', sessions: 'damaged' });
  const broken = look(WELL, { storageErrors });
  expect([broken.ready, broken.checks.store]).toEqual([
    false,
    { ok: false, error: 'disk full', sessions_error: 'damaged' },
  ]);
  const sessions = look(WELL, { storageErrors: () => ({ queues: undefined, sessions: 'damaged' }) });
  expect([sessions.ready, sessions.checks.store]).toEqual([true, { ok: true, sessions_error: 'damaged' }]);
});

test('a task of the config that is not begun makes it not ready, and is named', () => {
  const some = look([statusOf('a', 'ready'), statusOf('b', 'pending')]);
  expect([some.ready, some.checks.tasks.waiting]).toEqual([false, ['b']]);
  const none = look([], { tasksBegun: () => false });
  expect([none.ready, none.checks.tasks.waiting]).toEqual([false, ['a', 'b']]);
});

test('a task that was removed by command is not waited for', () => {
  expect(look([statusOf('a', 'stopped')]).ready).toBe(true);
});

test('a task of net clients need not have one, but it has to be there', () => {
  const net = [statusOf('a', 'ready'), statusOf('b', 'pending', { kind: 'net' })];
  expect(look(net).ready).toBe(true);
  expect(look(net, { tasksBegun: () => false }).checks.tasks.waiting).toEqual(['b']);
});

test('a task that fails is told with its reason, and the node stays ready for the others', () => {
  const trouble = { cause: 'spawn_error', error: 'no such program', nextStartAtMs: 1_700_000_000_000 } as const;
  const { ready, checks } = look([statusOf('a', 'backoff', trouble), statusOf('b', 'failed', { cause: 'exit' })]);
  expect(ready).toBe(true);
  expect(checks.tasks.trouble).toEqual([
    {
      task_id: 'a',
      state: 'backoff',
      cause: 'spawn_error',
      error: 'no such program',
      next_start_ts: 1_700_000_000_000,
    },
    { task_id: 'b', state: 'failed', cause: 'exit' },
  ]);
});

test('trouble of a task that is none of the config is not told here', () => {
  expect(look([...WELL, statusOf('other', 'failed')]).checks.tasks.trouble).toEqual([]);
});

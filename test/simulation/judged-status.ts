import assert from 'node:assert/strict';
import type { TaskStatus } from '../../src/supervisor/status.js';
import type { FakeProcess } from '../fixtures/fake-spawner.js';

/** As long as one worker serves, so does the pool. */
const BEST_FIRST = [
  ...(['ready', 'starting', 'stopping', 'backoff', 'unkillable', 'failed', 'exited', 'stopped', 'pending'] as const),
];
/** `ready`: stable, stale, exec_timeout, and one for the connection. */
const TIMERS_MAX: Readonly<Record<string, number>> = { starting: 2, ready: 4, stopping: 1, backoff: 1 };
const WITH_PROCESS = new Set(['starting', 'stopping', 'unkillable']);

/** The most timers that these may have: no state leaves one behind that it has no use for. */
export function timersMax(statuses: readonly TaskStatus[]): number {
  let most = 0;
  for (const { workers } of statuses) {
    for (const { state, job } of workers) most += job?.nextRunAtMs !== undefined ? 1 : (TIMERS_MAX[state] ?? 0);
  }
  return most;
}

/** Each state has the processes it says, and a pool stands as its workers do. */
export function checkStatus(taskId: string, status: TaskStatus | undefined, living: readonly FakeProcess[]): void {
  if (status === undefined) {
    assert.equal(living.length, 0, `${living.length} processes of ${taskId}, which is not there`);
    return;
  }
  for (const { instance, state, job, pid } of status.workers) {
    const count = living.filter((one) => one.instance === instance).length;
    const isWaiting = job?.nextRunAtMs !== undefined;
    const expected = WITH_PROCESS.has(state) || (state === 'ready' && !isWaiting) ? 1 : 0;
    assert.equal(count, expected, `${count} processes of ${taskId}~${instance} in state ${state}`);
    assert(count > 0 || pid === undefined, `${taskId}~${instance} shows a pid without a process`);
    assert(!isWaiting || state === 'ready', `${taskId} has a next run in state ${state}`);
  }
  const best = BEST_FIRST.find((state) => status.workers.some((worker) => worker.state === state));
  assert.equal(status.state, best, `the state of ${taskId} beside its workers'`);
}

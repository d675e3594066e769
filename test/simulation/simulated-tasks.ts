import type { TaskWire } from '../../src/core/task-schema.js';
import { taskIdOf } from '../../src/core/topics.js';
import type { FakeBehaviour } from '../fixtures/fake-spawner.js';
import type { SeededRandom } from '../fixtures/seeded-random.js';

/** A pool that is restarted at once, a program whose lines are data, a worker with every limit, a job. */
export const TASKS = [taskIdOf('pool'), taskIdOf('lines'), taskIdOf('limits'), taskIdOf('job')] as const;
export const [POOL, LINES, LIMITED] = TASKS;
const [, , , JOB] = TASKS;
export const MEMORY_LIMIT_KB = 1_000;
export const STALE_AFTER_MS = 4_000;

const backoff = { initial_ms: 500, max_ms: 4_000, reset_ms: 1e9 };
const common = { backoff, ready_timeout_ms: 3_000, second_sig_duration: 2_000, heartbeat_interval: 2_000 };

export const FIELDS: Readonly<Record<string, Partial<TaskWire>>> = {
  [POOL]: { ...common, second_sig_duration: 0, backoff: { ...backoff, initial_ms: 0 } },
  [LINES]: { ...common, ready: 'spawn', stdout: 'data' },
  [LIMITED]: { ...common, exec_timeout_ms: 20_000, stale_after_ms: STALE_AFTER_MS, memory_limit_kb: MEMORY_LIMIT_KB },
  [JOB]: { ...common, exec_interval: 5_000, exec_timeout_ms: 7_000 },
};

/** What the next process does. Throws: the spawner does. */
export function behaviourOf(random: SeededRandom): FakeBehaviour {
  if (random.chance(0.02)) throw new Error('spawn E2BIG');
  const exit = random.pick([
    { code: random.between(0, 7), signal: null },
    { code: random.between(0, 7), signal: null },
    { code: null, signal: 'SIGSEGV' },
    { code: null, signal: 'SIGKILL', oom: true },
  ]);
  return {
    spawnMs: random.pick([0, 0, 0, 50, 2_500]),
    ...(random.chance(0.15) && { fails: 'spawn ENOENT' }),
    ...(random.chance(0.4) && { runsMs: random.between(0, 6_000), exit }),
    endsOn: random.pick(['signal', 'signal', 'SIGKILL', 'nothing']),
    diesMs: random.pick([0, 10, 1_000]),
    restMs: random.pick([0, 0, 30, 5_000]),
    ...(random.chance(0.1) && { pipesHeldMs: 400 }),
    ...(random.chance(0.1) && { echoMs: random.pick([0, 50, 3_000]) }),
  };
}

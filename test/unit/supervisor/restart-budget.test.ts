import { beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { RestartBudget } from '../../../src/supervisor/restart-budget.js';
import { Supervised } from '../../fixtures/supervised.js';
import { recordOf, T1 } from '../../fixtures/supervisor-world.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

const SLOT_MS = 1_000 / LIMITS.restartsPerSecond;

describe('the budget of restarts', () => {
  let clock: VirtualClock;
  let budget: RestartBudget;

  function plan(count: number): number[] {
    return Array.from({ length: count }, () => {
      const ms = budget.waitMs();
      budget.spend();
      return ms;
    });
  }

  beforeEach(() => {
    clock = new VirtualClock();
    budget = new RestartBudget(clock);
  });

  test('lets a burst through at once and spreads what comes after it', () => {
    expect(plan(LIMITS.restartBurst)).toEqual(Array(LIMITS.restartBurst).fill(0));
    expect(plan(3)).toEqual([SLOT_MS, 2 * SLOT_MS, 3 * SLOT_MS]);
  });

  test('fills again with time, up to the burst and no further', () => {
    plan(LIMITS.restartBurst);
    clock.advance(5 * SLOT_MS);
    expect(plan(6)).toEqual([0, 0, 0, 0, 0, SLOT_MS]);
    clock.advance(3_600_000);
    expect(plan(LIMITS.restartBurst + 1).at(-1)).toBe(SLOT_MS);
  });

  test('does not let a question alone cost or earn anything', () => {
    plan(LIMITS.restartBurst);
    for (let at = 0; at < 7; at += 1) {
      clock.advance(1);
      budget.waitMs();
    }
    expect(budget.waitMs()).toBe(SLOT_MS - 7);
  });

  test('takes back what was not used, and never holds more than the burst', () => {
    plan(LIMITS.restartBurst + 2);
    budget.refund();
    expect(budget.waitMs()).toBe(2 * SLOT_MS);
    clock.advance(3_600_000);
    budget.waitMs();
    budget.refund();
    expect(plan(LIMITS.restartBurst + 1).at(-1)).toBe(SLOT_MS);
  });
});

describe('a node whose workers all die at once', () => {
  const POOLS = ['p1', 'p2', 'p3'];
  const wire = { instances: 50, ready: 'spawn', backoff: { initial_ms: 0 } } as const;

  function crashAll(world: Supervised): void {
    world.clock.advance(LIMITS.shortRunMs);
    for (const one of world.spawner.living()) one.end({ code: null, signal: 'SIGSEGV' });
    world.clock.advance(0);
  }

  test('restarts a burst of them, then one each tenth of a second, and tells each its time', () => {
    const world = new Supervised({ tasksMax: 1_000 });
    for (const task_id of POOLS) world.supervisor.start(recordOf({ task_id, ...wire }));
    world.clock.advance(0);
    crashAll(world);
    expect(world.spawner.living()).toHaveLength(LIMITS.restartBurst);
    const due = world.report.events.filter(({ type }) => type === 'restarting').map(({ data }) => data.next_start_ts);
    expect(due.at(-1)).toBe(world.clock.wallNow() + 50 * SLOT_MS);
    world.clock.advance(10 * SLOT_MS);
    expect(world.spawner.living()).toHaveLength(LIMITS.restartBurst + 10);
    world.clock.advance(40 * SLOT_MS);
    expect(world.spawner.living()).toHaveLength(150);
  });

  test('starts what is commanded without waiting for the others', () => {
    const world = new Supervised({ tasksMax: 1_000 });
    for (const task_id of POOLS) world.supervisor.start(recordOf({ task_id, ...wire }));
    world.clock.advance(0);
    crashAll(world);
    world.supervisor.start(recordOf({ task_id: 'p3', ...wire }));
    expect(world.spawner.living('p3')).toHaveLength(50);
  });

  test('is not made to wait by somebody who starts one that crashes, again and again', () => {
    const world = new Supervised();
    const crashing = recordOf({ ready: 'spawn', backoff: { initial_ms: 1_000, jitter: 0 } });
    for (let round = 0; round < 3 * LIMITS.restartBurst; round += 1) {
      world.supervisor.start(crashing);
      world.clock.advance(0);
      world.spawner.last(T1).end({ code: null, signal: 'SIGSEGV' });
    }
    world.supervisor.start(recordOf({ task_id: 'other', ready: 'spawn', backoff: { initial_ms: 0 } }));
    world.clock.advance(LIMITS.shortRunMs);
    world.spawner.last('other').end({ code: null, signal: 'SIGSEGV' });
    expect(world.supervisor.status(recordOf({ task_id: 'other' }).taskId).state).toBe('starting');
  });
});

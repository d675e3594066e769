import { describe, expect, test } from 'vitest';
import { step } from '../../../src/supervisor/worker-machine.js';
import type { WorkerPolicy } from '../../../src/supervisor/worker-states.js';
import { eventsOf, JOB_POLICY, POLICY, STATES, show, VARIANTS } from '../../fixtures/worker-table.js';

/** State × event → the new state, then what is done, for the policy of the fixture: timers as `name:ms`, notices in
 *  quotes, answers as `command=outcome`. An event that is not named is ignored. */
const TABLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  pending: {
    start: 'spawning spawn readyTimeout:30000',
    stop: 'stopped "stopped" stop=done',
    restart: 'spawning spawn readyTimeout:30000',
    remove: 'stopped clearTimers remove=done forget',
  },
  stopped: {
    start: 'spawning spawn readyTimeout:30000',
    stop: 'stopped stop=done',
    restart: 'spawning spawn readyTimeout:30000',
    remove: 'stopped clearTimers remove=done forget',
  },
  exited: {
    start: 'spawning spawn readyTimeout:30000',
    stop: 'stopped "stopped" stop=done',
    restart: 'spawning spawn readyTimeout:30000',
    remove: 'stopped clearTimers remove=done forget',
  },
  failed: {
    start: 'spawning spawn readyTimeout:30000',
    stop: 'stopped "stopped" stop=done',
    restart: 'spawning spawn readyTimeout:30000',
    remove: 'stopped clearTimers remove=done forget',
  },
  spawning: {
    stop: 'stopping→stop clearTimers restart=superseded',
    restart: 'stopping→command clearTimers',
    remove: 'stopping→remove clearTimers restart=superseded',
    spawned: 'starting "started" restart=done',
    spawnFailed: 'backoff clearTimers close:3 "spawn_error" restart=done "restarting" backoff:2000',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'spawning',
    channelsDown: 'spawning',
    silent: 'stopping→heartbeat clearTimers',
    overMemory: 'stopping→memory clearTimers',
    readyTimeout: 'stopping→ready_timeout clearTimers',
    execTimeout: 'stopping→exec_timeout clearTimers',
    nextRun: 'spawning miss',
  },
  'spawning, channel up': {
    stop: 'stopping→stop clearTimers restart=superseded',
    restart: 'stopping→command clearTimers',
    remove: 'stopping→remove clearTimers restart=superseded',
    spawned: 'ready "started" restart=done clear:readyTimeout stable:60000 stale:50000 "ready"',
    spawnFailed: 'backoff clearTimers close:3 "spawn_error" restart=done "restarting" backoff:2000',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'spawning',
    channelsDown: 'spawning',
    silent: 'stopping→heartbeat clearTimers',
    overMemory: 'stopping→memory clearTimers',
    readyTimeout: 'stopping→ready_timeout clearTimers',
    execTimeout: 'stopping→exec_timeout clearTimers',
    nextRun: 'spawning miss',
  },
  starting: {
    stop: 'stopping→stop clearTimers SIGTERM kill:10000 restart=superseded',
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    remove: 'stopping→remove clearTimers SIGTERM kill:10000 restart=superseded',
    spawnFailed: 'backoff clearTimers close:3 "spawn_error" restart=done "restarting" backoff:2000',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'ready clear:readyTimeout stable:60000 stale:50000 "ready"',
    channelsDown: 'starting',
    silent: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    overMemory: 'stopping→memory clearTimers SIGTERM kill:10000',
    readyTimeout: 'stopping→ready_timeout clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    nextRun: 'starting miss',
  },
  'starting, rerun': {
    stop: 'stopping→stop clearTimers SIGTERM kill:10000 restart=superseded',
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    remove: 'stopping→remove clearTimers SIGTERM kill:10000 restart=superseded',
    spawnFailed: 'backoff clearTimers close:3 "spawn_error" restart=done "restarting" backoff:2000',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'ready clear:readyTimeout stable:60000 stale:50000',
    channelsDown: 'starting',
    silent: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    overMemory: 'stopping→memory clearTimers SIGTERM kill:10000',
    readyTimeout: 'stopping→ready_timeout clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    nextRun: 'starting miss',
  },
  'ready, none': {
    stop: 'stopping→stop clearTimers SIGTERM kill:10000 restart=superseded',
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    remove: 'stopping→remove clearTimers SIGTERM kill:10000 restart=superseded',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'ready clear:channelGrace clear:readyTimeout',
    channelsDown: 'ready,grace channelGrace:3000',
    silent: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    overMemory: 'stopping→memory clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready,none',
    nextRun: 'ready,none miss',
  },
  ready: {
    stop: 'stopping→stop clearTimers SIGTERM kill:10000 restart=superseded',
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    remove: 'stopping→remove clearTimers SIGTERM kill:10000 restart=superseded',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'ready clear:channelGrace clear:readyTimeout',
    channelsDown: 'ready,grace channelGrace:3000',
    silent: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    overMemory: 'stopping→memory clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready',
    nextRun: 'ready miss',
  },
  'ready, grace': {
    stop: 'stopping→stop clearTimers SIGTERM kill:10000 restart=superseded',
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    remove: 'stopping→remove clearTimers SIGTERM kill:10000 restart=superseded',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'ready clear:channelGrace clear:readyTimeout',
    channelsDown: 'ready,grace channelGrace:3000',
    silent: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    overMemory: 'stopping→memory clearTimers SIGTERM kill:10000',
    channelGrace: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready,grace',
    nextRun: 'ready,grace miss',
  },
  'ready, away': {
    stop: 'stopping→stop clearTimers SIGTERM kill:10000 restart=superseded',
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    remove: 'stopping→remove clearTimers SIGTERM kill:10000 restart=superseded',
    exited: 'stopping→exit clearTimers SIGKILL unkillable:10000',
    gone: 'backoff clearTimers close:3 "restarting" backoff:2000',
    channelUp: 'ready clear:channelGrace clear:readyTimeout',
    channelsDown: 'ready,grace channelGrace:3000',
    silent: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    overMemory: 'stopping→memory clearTimers SIGTERM kill:10000',
    readyTimeout: 'stopping→ready_timeout clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready,away',
    nextRun: 'ready,away miss',
  },
  'stopping → stop, spawning': {
    start: 'stopping→start',
    stop: 'stopping→stop restart=superseded',
    restart: 'stopping→command',
    remove: 'stopping→remove restart=superseded',
    spawned: 'stopping→stop SIGTERM kill:10000 restart=done',
    spawnFailed: 'stopped clearTimers close:3 stop=done "stopped" restart=done',
    gone: 'stopped clearTimers close:3 stop=done "stopped"',
    kill: 'stopping→stop SIGKILL unkillable:10000',
    unkillable: 'unkillable→stop clearTimers close:3 "unkillable" stop=unkillable restart=unkillable remove=unkillable',
  },
  'stopping → stop': {
    start: 'stopping→start',
    stop: 'stopping→stop restart=superseded',
    restart: 'stopping→command',
    remove: 'stopping→remove restart=superseded',
    spawnFailed: 'stopped clearTimers close:3 stop=done "stopped" restart=done',
    gone: 'stopped clearTimers close:3 stop=done "stopped"',
    kill: 'stopping→stop SIGKILL unkillable:10000',
    unkillable: 'unkillable→stop clearTimers close:3 "unkillable" stop=unkillable restart=unkillable remove=unkillable',
  },
  'stopping → start': {
    stop: 'stopping→stop restart=superseded',
    restart: 'stopping→command',
    remove: 'stopping→remove restart=superseded',
    spawnFailed: 'spawning clearTimers close:3 stop=done "stopped" spawn readyTimeout:30000 restart=done',
    gone: 'spawning clearTimers close:3 stop=done "stopped" spawn readyTimeout:30000',
    kill: 'stopping→start SIGKILL unkillable:10000',
    unkillable:
      'unkillable→start clearTimers close:3 "unkillable" stop=unkillable restart=unkillable remove=unkillable',
  },
  'stopping → remove': {
    restart: 'stopping→remove restart=superseded',
    spawnFailed: 'stopped clearTimers close:3 stop=done clearTimers remove=done forget restart=done',
    gone: 'stopped clearTimers close:3 stop=done clearTimers remove=done forget',
    kill: 'stopping→remove SIGKILL unkillable:10000',
    unkillable:
      'unkillable→remove clearTimers close:3 "unkillable" stop=unkillable restart=unkillable remove=unkillable',
  },
  'stopping → command': {
    stop: 'stopping→stop restart=superseded',
    restart: 'stopping→command',
    remove: 'stopping→remove restart=superseded',
    spawnFailed: 'spawning clearTimers close:3 stop=done "restarting" spawn readyTimeout:30000',
    gone: 'spawning clearTimers close:3 stop=done "restarting" spawn readyTimeout:30000',
    kill: 'stopping→command SIGKILL unkillable:10000',
    unkillable:
      'unkillable→command clearTimers close:3 "unkillable" stop=unkillable restart=unkillable remove=unkillable',
  },
  'stopping → heartbeat': {
    stop: 'stopping→stop restart=superseded',
    restart: 'stopping→command',
    remove: 'stopping→remove restart=superseded',
    spawnFailed: 'backoff clearTimers close:3 stop=done "restarting" backoff:2000 restart=done',
    gone: 'backoff clearTimers close:3 stop=done "restarting" backoff:2000',
    kill: 'stopping→heartbeat SIGKILL unkillable:10000',
    unkillable:
      'unkillable→heartbeat clearTimers close:3 "unkillable" stop=unkillable restart=unkillable remove=unkillable',
  },
  backoff: {
    start: 'spawning clearTimers spawn readyTimeout:30000',
    stop: 'stopped clearTimers "stopped" stop=done',
    restart: 'spawning clearTimers spawn readyTimeout:30000',
    remove: 'stopped clearTimers remove=done forget',
    backoff: 'spawning clearTimers spawn readyTimeout:30000',
  },
  waiting: {
    stop: 'stopped clearTimers "stopped" stop=done',
    restart: 'spawning clearTimers spawn readyTimeout:30000',
    remove: 'stopped clearTimers remove=done forget',
    nextRun: 'spawning spawn readyTimeout:30000',
  },
  'unkillable → stop': {
    start: 'unkillable→start',
    stop: 'unkillable→stop SIGKILL restart=superseded stop=unkillable restart=unkillable remove=unkillable',
    restart: 'unkillable→command SIGKILL stop=unkillable restart=unkillable remove=unkillable',
    remove: 'unkillable→remove SIGKILL restart=superseded stop=unkillable restart=unkillable remove=unkillable',
    gone: 'stopped clearTimers close:3 stop=done "stopped"',
  },
  'unkillable → remove': {
    stop: 'unkillable→remove SIGKILL stop=unkillable restart=unkillable remove=unkillable',
    restart: 'unkillable→remove SIGKILL restart=superseded stop=unkillable restart=unkillable remove=unkillable',
    remove: 'unkillable→remove SIGKILL stop=unkillable restart=unkillable remove=unkillable',
    gone: 'stopped clearTimers close:3 stop=done clearTimers remove=done forget',
  },
};

/** Where a job answers otherwise than any other worker: at the end of a run. */
const JOB_TABLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  spawning: {
    restart: 'stopping→command clearTimers',
    spawned: 'ready,none "started" restart=done clear:readyTimeout "ready"',
    spawnFailed: 'waiting clearTimers close:3 "spawn_error" restart=done nextRun:spawn_error "run_failed"',
    gone: 'waiting clearTimers close:3 nextRun:exit "run_failed"',
  },
  'starting, rerun': {
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    spawnFailed: 'waiting clearTimers close:3 "spawn_error" restart=done nextRun:spawn_error "run_failed"',
    gone: 'waiting clearTimers close:3 nextRun:exit "run_failed"',
  },
  'ready, none': {
    restart: 'stopping→command clearTimers SIGTERM kill:10000',
    gone: 'waiting clearTimers close:3 nextRun:exit "run_failed"',
  },
  waiting: {
    restart: 'spawning clearTimers spawn',
    nextRun: 'spawning spawn',
  },
  'stopping → heartbeat': {
    restart: 'stopping→command',
    spawnFailed: 'waiting clearTimers close:3 stop=done nextRun:heartbeat "run_failed" restart=done',
    gone: 'waiting clearTimers close:3 stop=done nextRun:heartbeat "run_failed"',
  },
};

describe('the table of a worker', () => {
  for (const [name, state] of Object.entries(STATES)) {
    test(`in ${name}, every event has its answer`, () => {
      const answers = eventsOf(state.generation).map((event) => [
        event.type,
        show(state, step(state, event, POLICY, 0.5)),
      ]);
      expect(Object.fromEntries(answers.filter(([, answer]) => answer !== '·'))).toEqual(TABLE[name]);
    });

    test(`in ${name}, what another generation tells is ignored`, () => {
      for (const generation of [state.generation - 1, state.generation + 1]) {
        for (const event of eventsOf(generation).filter((one) => 'generation' in one)) {
          expect(show(state, step(state, event, POLICY, 0.5)), event.type).toBe('·');
        }
      }
    });
  }

  for (const [name, answers] of Object.entries(JOB_TABLE)) {
    test(`of a job, in ${name}: the end of a run leads to the next one`, () => {
      const state = STATES[name];
      if (state === undefined) throw new Error(`no state ${name}`);
      for (const event of eventsOf(state.generation)) {
        const expected = answers[event.type];
        if (expected !== undefined) expect(show(state, step(state, event, JOB_POLICY, 0.5))).toBe(expected);
      }
    });
  }

  test('has a variant of each state under its name, and an event of each type', () => {
    for (const [name, variants] of Object.entries(VARIANTS)) {
      for (const state of Object.values(variants)) expect(state.name).toBe(name);
    }
    expect(new Set(eventsOf(1).map(({ type }) => type)).size).toBe(eventsOf(1).length);
    expect(Object.keys(TABLE).toSorted()).toEqual(Object.keys(STATES).toSorted());
  });

  test('whatever the policy, no pair throws, and only a start moves the generation, by one', () => {
    const variants: Partial<WorkerPolicy>[] = [
      {},
      { ready: 'spawn', execTimeoutMs: 5, staleAfterMs: 0, secondSigMs: 0 },
      { restart: 'never', firstSig: 'SIGKILL' },
      { restart: 'on-failure', maxRestarts: 0 },
      { ready: 'spawn', execIntervalMs: 1_000, maxRestarts: 1 },
      { backoff: { initialMs: 0, factor: 2, maxMs: 0, jitter: 1, resetMs: 0 } },
    ];
    for (const variant of variants) {
      for (const state of Object.values(STATES)) {
        for (const event of eventsOf(state.generation)) {
          const { worker, effects } = step(state, event, { ...POLICY, ...variant }, 0.5);
          const spawns = effects.filter((effect) => effect.do === 'spawn').length;
          expect(worker.generation - state.generation, `${state.name} × ${event.type}`).toBe(spawns);
        }
      }
    }
  });
});

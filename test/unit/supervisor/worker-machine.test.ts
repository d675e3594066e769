import { describe, expect, test } from 'vitest';
import { step } from '../../../src/supervisor/worker-machine.js';
import type { WorkerEvent, WorkerPolicy, WorkerState } from '../../../src/supervisor/worker-states.js';
import { eventsOf, POLICY, STATES, show } from '../../fixtures/worker-table.js';

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
    readyTimeout: 'stopping→ready_timeout clearTimers',
    execTimeout: 'stopping→exec_timeout clearTimers',
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
    readyTimeout: 'stopping→ready_timeout clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
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
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready',
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
    channelGrace: 'stopping→heartbeat clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready,grace',
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
    readyTimeout: 'stopping→ready_timeout clearTimers SIGTERM kill:10000',
    execTimeout: 'stopping→exec_timeout clearTimers SIGTERM kill:10000',
    stale: 'stopping→stale clearTimers SIGTERM kill:10000',
    stable: 'ready,away',
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
  'stopping → restart': {
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

  test('whatever the policy, no pair throws, and only a start moves the generation, by one', () => {
    const variants: Partial<WorkerPolicy>[] = [
      {},
      { ready: 'spawn', execTimeoutMs: 5, staleAfterMs: 0, secondSigMs: 0 },
      { restart: 'never', firstSig: 'SIGKILL' },
      { restart: 'on-failure', maxRestarts: 0 },
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

/** The state a worker gets to from `from` by these events, with the policy of the fixture but for `over`. */
function outcome(from: string, over: Partial<WorkerPolicy>, ...events: WorkerEvent[]): string {
  let state: WorkerState | undefined = STATES[from];
  let shown = '';
  for (const event of events) {
    if (state === undefined) throw new Error(`no state ${from}`);
    const taken = step(state, event, { ...POLICY, ...over }, 0.5);
    shown = show(state, taken);
    state = taken.worker;
  }
  return shown;
}

const gone = (code: number | null, signal: string | null = null): WorkerEvent => {
  return { type: 'gone', generation: 3, exit: { code, signal } };
};

describe('the restart policy', () => {
  test('always: a success is restarted too', () => {
    expect(outcome('ready', {}, gone(0))).toContain('backoff');
  });

  test('on-failure: a success code ends it as exited, a failure restarts it', () => {
    expect(outcome('ready', { restart: 'on-failure', successCodes: [0, 7] }, gone(7))).toMatch(/^exited/);
    expect(outcome('ready', { restart: 'on-failure' }, gone(1))).toMatch(/^backoff/);
    expect(outcome('ready', { restart: 'on-failure' }, gone(null, 'SIGSEGV'))).toMatch(/^backoff/);
  });

  test('never: exited after a success, failed after anything else', () => {
    expect(outcome('ready', { restart: 'never' }, gone(0))).toMatch(/^exited/);
    expect(outcome('ready', { restart: 'never' }, gone(1))).toMatch(/^failed/);
    expect(outcome('ready', { restart: 'never' }, { type: 'silent', generation: 3 }, gone(0))).toMatch(/^failed/);
  });

  test('max_restarts: so many in a row, then failed', () => {
    expect(outcome('ready', { maxRestarts: 2 }, gone(1))).toMatch(/^backoff/);
    expect(outcome('ready', { maxRestarts: 1 }, gone(1))).toMatch(/^failed/);
  });

  test('being ready for reset_ms begins the count anew', () => {
    expect(outcome('ready', { maxRestarts: 1 }, { type: 'stable', generation: 3 }, gone(1))).toContain('backoff:1000');
  });

  test('a command restarts at once, also where the policy would not', () => {
    expect(outcome('ready', { restart: 'never' }, { type: 'restart' }, gone(0))).toMatch(/^spawning/);
  });

  test('initial_ms 0 starts again in the same step, without a timer', () => {
    const backoff = { ...POLICY.backoff, initialMs: 0 };
    expect(outcome('ready', { backoff }, gone(1))).toMatch(/^spawning .* spawn /);
  });

  test('a program that cannot be started is not tried in a busy loop even then', () => {
    const backoff = { ...POLICY.backoff, initialMs: 0 };
    const failed: WorkerEvent = { type: 'spawnFailed', generation: 3, message: 'ENOENT' };
    expect(outcome('spawning', { backoff }, failed)).toContain('backoff:100');
  });
});

describe('the end of a worker', () => {
  test('second_sig_duration 0 sends SIGKILL right after the first signal', () => {
    expect(outcome('ready', { secondSigMs: 0 }, { type: 'stop' })).toContain('SIGTERM SIGKILL unkillable:10000');
  });

  test('first_sig SIGKILL needs no second one', () => {
    expect(outcome('ready', { firstSig: 'SIGKILL' }, { type: 'stop' })).toContain(
      'clearTimers SIGKILL unkillable:10000',
    );
  });

  test('a leader that ends on a stop leaves the rest of its group its time', () => {
    const exited: WorkerEvent = { type: 'exited', generation: 3, exit: { code: 0, signal: null } };
    expect(outcome('ready', {}, { type: 'stop' }, exited)).toBe('·');
  });

  test('an unkillable one that goes after all becomes what was wanted last', () => {
    expect(outcome('unkillable → stop', {}, { type: 'restart' }, gone(null, 'SIGKILL'))).toMatch(/^spawning/);
    expect(outcome('unkillable → stop', {}, { type: 'remove' }, gone(null, 'SIGKILL'))).toMatch(/forget$/);
  });
});

describe('the signs of life', () => {
  const down = (how: 'closed' | 'disconnect'): WorkerEvent => ({ type: 'channelsDown', generation: 3, how });

  test('a ready worker without a channel has the shorter of 5 s and 1.5 heartbeats', () => {
    expect(outcome('ready', { heartbeatMs: 0 }, down('closed'))).toBe('ready,grace channelGrace:5000');
    expect(outcome('ready', { heartbeatMs: 1_000 }, down('closed'))).toBe('ready,grace channelGrace:1500');
  });

  test('one that said goodbye has as long as it had to connect at first', () => {
    expect(outcome('ready', {}, down('disconnect'))).toBe('ready,away readyTimeout:30000');
  });

  test('ready: spawn lives by its process alone, until it had a channel that broke off', () => {
    const spawn = { ready: 'spawn' } as const;
    const spawned: WorkerEvent = { type: 'spawned', generation: 3 };
    expect(outcome('spawning', spawn, spawned)).toMatch(/^ready,none/);
    expect(outcome('ready', spawn, down('disconnect'))).toBe('ready,none');
    expect(outcome('ready', spawn, down('closed'))).toMatch(/^ready,grace/);
  });

  test('the stale timer waits on for what is left since the last put', () => {
    expect(outcome('ready', {}, { type: 'stale', generation: 3, idleMs: 20_000 })).toBe('ready stale:30000');
  });

  test('exec_timeout counts from the spawn', () => {
    expect(outcome('spawning', { execTimeoutMs: 700 }, { type: 'spawned', generation: 3 })).toContain(
      'execTimeout:700',
    );
  });
});

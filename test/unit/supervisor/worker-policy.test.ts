import { describe, expect, test } from 'vitest';
import { step } from '../../../src/supervisor/worker-machine.js';
import type { WorkerEvent, WorkerPolicy, WorkerState } from '../../../src/supervisor/worker-states.js';
import { JOB_POLICY, POLICY, STATES, show } from '../../fixtures/worker-table.js';

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

describe('a job', () => {
  const jobOutcome = (from: string, over: Partial<WorkerPolicy>, ...events: WorkerEvent[]) =>
    outcome(from, { ...JOB_POLICY, ...over }, ...events);

  test('waits for its next run after a good one and after a bad one, whatever `restart` says', () => {
    for (const restart of ['always', 'on-failure', 'never'] as const) {
      expect(jobOutcome('ready', { restart }, gone(0))).toBe('waiting clearTimers close:3 nextRun:ok');
      expect(jobOutcome('ready', { restart }, gone(1))).toMatch(/^waiting .* nextRun:exit "run_failed"$/);
    }
  });

  test('is given up after max_restarts failed runs in a row, and sets no timer for a next one', () => {
    expect(jobOutcome('ready', { maxRestarts: 1 }, gone(1))).toMatch(/^failed .* clear:nextRun "failed"$/);
    expect(jobOutcome('ready', { maxRestarts: 2 }, gone(1))).toMatch(/^waiting/);
  });

  test('begins its count anew with a good run', () => {
    const { worker } = step(
      { name: 'ready', generation: 3, restartsInARow: 2, channel: 'none' },
      gone(0),
      { ...JOB_POLICY, maxRestarts: 2 },
      0.5,
    );
    expect(worker).toEqual({ name: 'waiting', generation: 3, restartsInARow: 0 });
  });

  test('is not told to be started or ready again with each run', () => {
    expect(jobOutcome('waiting', {}, { type: 'nextRun', generation: 3 }, { type: 'spawned', generation: 4 })).toBe(
      'ready,none restart=done clear:readyTimeout',
    );
  });
});

describe('an end by the kernel for want of memory', () => {
  const oom: WorkerEvent = { type: 'gone', generation: 3, exit: { code: null, signal: 'SIGKILL', oom: true } };

  test('is a restart of its own cause', () => {
    const { effects } = step({ name: 'ready', generation: 3, restartsInARow: 0, channel: 'up' }, oom, POLICY, 0.5);
    expect(effects).toContainEqual({ do: 'tell', notice: { type: 'restarting', cause: 'oom', delayMs: 1_000 } });
  });

  test('is no success, whatever its exit code', () => {
    const exit = { code: 0, signal: null, oom: true };
    expect(outcome('ready', { restart: 'never' }, { type: 'gone', generation: 3, exit })).toMatch(/^failed/);
  });
});

describe('a restart by policy', () => {
  test('waits for its turn when too many came before it', () => {
    const state: WorkerState = { name: 'ready', generation: 3, restartsInARow: 0, channel: 'up' };
    const delay = (stormMs: number) => show(state, step(state, gone(1), POLICY, 0.5, 60_000, stormMs));
    expect(delay(700)).toContain('backoff:1000');
    expect(delay(1_700)).toContain('backoff:1700');
  });

  test('by command does not wait', () => {
    const state: WorkerState = {
      name: 'stopping',
      generation: 3,
      restartsInARow: 0,
      process: 'running',
      next: { do: 'restart', cause: 'command' },
    };
    expect(show(state, step(state, gone(1), POLICY, 0.5, 60_000, 1_700))).toMatch(/^spawning/);
  });
});

import { LIMITS } from '../core/limits.js';
import type { ProcessExit } from '../core/ports.js';
import type { RestartCause } from '../core/restart-causes.js';
import { backoffDelayMs } from './backoff.js';
import type { Context, Next, Ready, Starting, Step, WorkerEffect, WorkerPolicy, WorkerState } from './worker-states.js';

/** The moves that several cells of the table share. */

/** The event means nothing in this state. */
export function ignored(worker: WorkerState): Step {
  return { worker, effects: [] };
}

/** The next start: a new generation. `restartsInARow` is kept; a command that begins anew passes `fresh(worker)`. */
export function begin(
  worker: WorkerState,
  { policy }: Context,
  before: readonly WorkerEffect[] = [],
  rerun = false,
): Step {
  const effects: WorkerEffect[] = [...before, { do: 'spawn' }];
  if (policy.ready === 'connect') effects.push({ do: 'setTimer', name: 'readyTimeout', ms: policy.readyTimeoutMs });
  return {
    worker: {
      name: 'starting',
      generation: worker.generation + 1,
      restartsInARow: worker.restartsInARow,
      process: 'spawning',
      channel: 'none',
      rerun,
    },
    effects,
  };
}

export function fresh<W extends WorkerState>(worker: W): W {
  return { ...worker, restartsInARow: 0 };
}

export function becomeReady(
  worker: Starting,
  channel: Ready['channel'],
  { policy }: Context,
  before: readonly WorkerEffect[] = [],
): Step {
  const effects: WorkerEffect[] = [...before, { do: 'clearTimer', name: 'readyTimeout' }];
  // The runs of a job stand for themselves: only one that went well ends a row of failures.
  const resetMs = policy.execIntervalMs > 0 ? Number.POSITIVE_INFINITY : policy.backoff.resetMs;
  if (resetMs > 0 && Number.isFinite(resetMs)) effects.push({ do: 'setTimer', name: 'stable', ms: resetMs });
  if (policy.staleAfterMs > 0) effects.push({ do: 'setTimer', name: 'stale', ms: policy.staleAfterMs });
  if (!worker.rerun) effects.push({ do: 'tell', notice: { type: 'ready' } });
  const restartsInARow = resetMs > 0 ? worker.restartsInARow : 0;
  return { worker: { name: 'ready', generation: worker.generation, restartsInARow, channel }, effects };
}

/** Begins the end of a process; what follows waits until the whole group is gone. */
export function end(worker: Starting | Ready, next: Next, { policy }: Context): Step {
  const process = worker.name === 'starting' ? worker.process : 'running';
  return {
    worker: { name: 'stopping', ...counts(worker), process, next },
    effects: [{ do: 'clearTimers' }, ...(process === 'running' ? firstSignal(policy) : []), ...overtaken(next)],
  };
}

/** The leader ended by itself: what it left of its group has no reason to live on. */
export function endRest(worker: Starting | Ready, exit: ProcessExit): Step {
  return {
    worker: {
      name: 'stopping',
      ...counts(worker),
      process: 'running',
      next: { do: 'restart', cause: causeOf(exit) },
    },
    effects: [{ do: 'clearTimers' }, ...lastSignal()],
  };
}

export function firstSignal(policy: WorkerPolicy): WorkerEffect[] {
  if (policy.firstSig === 'SIGKILL') return lastSignal();
  const first: WorkerEffect = { do: 'signal', signal: policy.firstSig };
  if (policy.secondSigMs === 0) return [first, ...lastSignal()];
  return [first, { do: 'setTimer', name: 'kill', ms: policy.secondSigMs }];
}

export function lastSignal(): WorkerEffect[] {
  return [
    { do: 'signal', signal: 'SIGKILL' },
    { do: 'setTimer', name: 'unkillable', ms: LIMITS.unkillableMs },
  ];
}

/** No process is left of this generation: what was planned for now happens.
 *  A `stop` was promised that the process would be gone, which holds whatever comes next. */
export function ended(worker: WorkerState, next: Next, exit: ProcessExit | undefined, context: Context): Step {
  const effects: WorkerEffect[] = [...cleared(worker), { do: 'answer', command: 'stop', outcome: 'done' }];
  switch (next.do) {
    case 'stop':
      return rest(worker, 'stopped', [...effects, { do: 'tell', notice: { type: 'stopped' } }]);
    case 'remove':
      return forget(worker, effects);
    case 'start':
      return begin(fresh(worker), context, [...effects, { do: 'tell', notice: { type: 'stopped' } }]);
    case 'restart':
      return again(worker, next.cause, exit, context, effects);
  }
}

/** What the restart policy says to an ending with this cause. */
export function again(
  worker: WorkerState,
  cause: RestartCause,
  exit: ProcessExit | undefined,
  context: Context,
  before: readonly WorkerEffect[],
): Step {
  const { policy, chance, ranMs, stormMs } = context;
  const restarting = (delayMs: number): WorkerEffect[] => [
    ...before,
    { do: 'tell', notice: { type: 'restarting', cause, delayMs } },
  ];
  if (cause === 'command') return begin(fresh(worker), context, restarting(0));

  const success = cause === 'exit' && exit?.code != null && policy.successCodes.includes(exit.code);
  if (policy.execIntervalMs > 0) return afterRun(worker, cause, success, context, before);
  if (success && policy.restart !== 'always') {
    return rest(worker, 'exited', [...before, { do: 'tell', notice: { type: 'exited' } }]);
  }
  const spent = policy.maxRestarts !== undefined && worker.restartsInARow >= policy.maxRestarts;
  if (policy.restart === 'never' || spent) {
    return rest(worker, 'failed', [...before, { do: 'tell', notice: { type: 'failed', cause } }]);
  }
  // A killed one is started at once: whoever kills it does not do so for ever.
  const shortRun = cause === 'spawn_error' || (cause === 'exit' && ranMs < LIMITS.shortRunMs);
  const delayMs = Math.max(
    backoffDelayMs(policy.backoff, worker.restartsInARow, chance),
    shortRun ? LIMITS.shortRunPauseMs : 0,
    stormMs,
  );
  const restartsInARow = worker.restartsInARow + 1;
  if (delayMs === 0) return begin({ ...worker, restartsInARow }, context, restarting(0));
  return {
    worker: { name: 'backoff', generation: worker.generation, restartsInARow },
    effects: [...restarting(delayMs), { do: 'setTimer', name: 'backoff', ms: delayMs }],
  };
}

/** A job's run is over, well or not: the next one comes in its time, unless too many went wrong in a row. */
function afterRun(
  worker: WorkerState,
  cause: RestartCause,
  success: boolean,
  { policy }: Context,
  before: readonly WorkerEffect[],
): Step {
  const { maxRestarts } = policy;
  const ran: WorkerEffect[] = [...before, { do: 'awaitNextRun', cause, failed: !success }];
  if (success) return { worker: { name: 'waiting', generation: worker.generation, restartsInARow: 0 }, effects: ran };
  if (maxRestarts !== undefined && worker.restartsInARow >= maxRestarts) {
    return rest(worker, 'failed', [
      ...ran,
      { do: 'clearTimer', name: 'nextRun' },
      { do: 'tell', notice: { type: 'failed', cause } },
    ]);
  }
  return {
    worker: { name: 'waiting', generation: worker.generation, restartsInARow: worker.restartsInARow + 1 },
    effects: [...ran, { do: 'tell', notice: { type: 'run_failed', cause } }],
  };
}

export function rest(
  worker: WorkerState,
  name: 'stopped' | 'exited' | 'failed',
  effects: readonly WorkerEffect[],
): Step {
  return { worker: { name, ...counts(worker) }, effects };
}

export function forget(worker: WorkerState, before: readonly WorkerEffect[] = []): Step {
  return rest(worker, 'stopped', [
    ...before,
    { do: 'clearTimers' },
    { do: 'answer', command: 'remove', outcome: 'done' },
    { do: 'forget' },
  ]);
}

/** After a process: no timer and no connection of its generation stays. */
export function cleared(worker: WorkerState): WorkerEffect[] {
  return [{ do: 'clearTimers' }, { do: 'closeChannels', generation: worker.generation }];
}

export function causeOf(exit: ProcessExit): RestartCause {
  if (exit.oom) return 'oom';
  return exit.code === null ? 'signal' : 'exit';
}

/** A restart that still waits for its start will not see it once a stop or a remove came. */
export function overtaken(next: Next): WorkerEffect[] {
  return next.do === 'stop' || next.do === 'remove'
    ? [{ do: 'answer', command: 'restart', outcome: 'superseded' }]
    : [];
}

function counts(worker: WorkerState) {
  return { generation: worker.generation, restartsInARow: worker.restartsInARow };
}

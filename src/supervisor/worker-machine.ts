import { LIMITS } from '../core/limits.js';
import { backingOff, resting, waiting } from './worker-idle.js';
import type {
  Context,
  Ready,
  Starting,
  Step,
  Stopping,
  Unkillable,
  WorkerEvent,
  WorkerPolicy,
  WorkerState,
} from './worker-states.js';
import {
  again,
  becomeReady,
  causeOf,
  cleared,
  end,
  ended,
  endRest,
  firstSignal,
  fresh,
  ignored,
  lastSignal,
  overtaken,
} from './worker-transitions.js';

/** The table of a worker that is a child process: one function per state, one answer per event.
 *
 *  ```
 *  pending ─start→ starting ─→ ready ─→ stopping ─gone→ stopped | backoff | exited | failed | starting
 *                     └───────exit, failure, gone──────→ backoff | exited | failed | starting
 *  stopping ─SIGKILL did not help→ unkillable ─gone→ as planned
 *  a job: ready ─gone→ waiting ─its time→ starting
 *  ```
 *
 *  Who waits for what: `stop` until the process is gone, also when a `start` or `restart` came meanwhile; `restart`
 *  until the next process was spawned or could not be, unless a `stop` or `remove` overtakes it; `remove` until the
 *  task is forgotten, and nothing overtakes it. */
export function step(
  worker: WorkerState,
  event: WorkerEvent,
  policy: WorkerPolicy,
  chance: number,
  ranMs = Number.POSITIVE_INFINITY,
  stormMs = 0,
): Step {
  if ('generation' in event && event.generation !== worker.generation) return ignored(worker);
  const context = { policy, chance, ranMs, stormMs };
  switch (worker.name) {
    case 'pending':
    case 'stopped':
    case 'exited':
    case 'failed':
      return resting(worker, event, context);
    case 'starting':
      return starting(worker, event, context);
    case 'ready':
      return ready(worker, event, context);
    case 'waiting':
      return waiting(worker, event, context);
    case 'stopping':
      return stopping(worker, event, context);
    case 'backoff':
      return backingOff(worker, event, context);
    case 'unkillable':
      return unkillable(worker, event, context);
  }
}

function starting(worker: Starting, event: WorkerEvent, context: Context): Step {
  switch (event.type) {
    case 'stop':
    case 'remove':
      return end(worker, { do: event.type }, context);
    case 'restart':
      return end(worker, { do: 'restart', cause: 'command' }, context);
    case 'spawned':
      return worker.process === 'spawning' ? spawned(worker, context) : ignored(worker);
    case 'spawnFailed':
      return again(worker, 'spawn_error', undefined, context, [
        ...cleared(worker),
        { do: 'tell', notice: { type: 'spawn_error' } },
        { do: 'answer', command: 'restart', outcome: 'done' },
      ]);
    case 'exited':
      return endRest(worker, event.exit);
    case 'gone':
      return again(worker, causeOf(event.exit), event.exit, context, cleared(worker));
    case 'channelUp':
      if (worker.process === 'running') return becomeReady(worker, 'up', context);
      return { worker: { ...worker, channel: 'up' }, effects: [] };
    case 'channelsDown':
      return { worker: { ...worker, channel: 'none' }, effects: [] };
    case 'silent':
      return end(worker, { do: 'restart', cause: 'heartbeat' }, context);
    case 'readyTimeout':
      return end(worker, { do: 'restart', cause: 'ready_timeout' }, context);
    case 'execTimeout':
      return end(worker, { do: 'restart', cause: 'exec_timeout' }, context);
    case 'overMemory':
      return end(worker, { do: 'restart', cause: 'memory' }, context);
    case 'start':
    case 'backoff':
    case 'kill':
    case 'unkillable':
    case 'channelGrace':
    case 'stale':
    case 'stable':
      return ignored(worker);
    case 'nextRun':
      return { worker, effects: [{ do: 'missRun' }] };
  }
}

function spawned(worker: Starting, context: Context): Step {
  const { policy } = context;
  const running: Starting = { ...worker, process: 'running' };
  const effects: Step['effects'] = [
    ...(policy.execTimeoutMs > 0 ? ([{ do: 'setTimer', name: 'execTimeout', ms: policy.execTimeoutMs }] as const) : []),
    ...(worker.rerun ? [] : ([{ do: 'tell', notice: { type: 'started' } }] as const)),
    { do: 'answer', command: 'restart', outcome: 'done' },
  ];
  if (policy.ready === 'spawn' || worker.channel === 'up')
    return becomeReady(running, worker.channel, context, effects);
  return { worker: running, effects };
}

function ready(worker: Ready, event: WorkerEvent, context: Context): Step {
  const { policy } = context;
  switch (event.type) {
    case 'stop':
    case 'remove':
      return end(worker, { do: event.type }, context);
    case 'restart':
      return end(worker, { do: 'restart', cause: 'command' }, context);
    case 'exited':
      return endRest(worker, event.exit);
    case 'gone':
      return again(worker, causeOf(event.exit), event.exit, context, cleared(worker));
    case 'channelUp':
      return {
        worker: { ...worker, channel: 'up' },
        effects: [
          { do: 'clearTimer', name: 'channelGrace' },
          { do: 'clearTimer', name: 'readyTimeout' },
        ],
      };
    case 'channelsDown':
      return event.how === 'disconnect' ? wentAway(worker, policy) : brokeOff(worker, policy);
    case 'silent':
      return end(worker, { do: 'restart', cause: 'heartbeat' }, context);
    case 'channelGrace':
      return worker.channel === 'grace' ? end(worker, { do: 'restart', cause: 'heartbeat' }, context) : ignored(worker);
    case 'readyTimeout':
      return worker.channel === 'away'
        ? end(worker, { do: 'restart', cause: 'ready_timeout' }, context)
        : ignored(worker);
    case 'execTimeout':
      return end(worker, { do: 'restart', cause: 'exec_timeout' }, context);
    case 'overMemory':
      return end(worker, { do: 'restart', cause: 'memory' }, context);
    case 'stale':
      return stale(worker, event.idleMs, context);
    case 'stable':
      return { worker: fresh(worker), effects: [] };
    case 'start':
    case 'spawned':
    case 'spawnFailed':
    case 'backoff':
    case 'kill':
    case 'unkillable':
      return ignored(worker);
    case 'nextRun':
      return { worker, effects: [{ do: 'missRun' }] };
  }
}

/** The last channel closed with a DISCONNECT, or the node closed it: that is no failure of the heartbeat. */
function wentAway(worker: Ready, policy: WorkerPolicy): Step {
  // A program that is watched by its process alone may come and go as it likes.
  if (policy.ready === 'spawn') return { worker: { ...worker, channel: 'none' }, effects: [] };
  return {
    worker: { ...worker, channel: 'away' },
    effects: [{ do: 'setTimer', name: 'readyTimeout', ms: policy.readyTimeoutMs }],
  };
}

function brokeOff(worker: Ready, policy: WorkerPolicy): Step {
  const heartbeatMs = policy.heartbeatMs || LIMITS.workerKeepaliveS * 1_000;
  const ms = Math.min(LIMITS.channelGraceMs, LIMITS.keepaliveTolerance * heartbeatMs);
  return { worker: { ...worker, channel: 'grace' }, effects: [{ do: 'setTimer', name: 'channelGrace', ms }] };
}

/** A put does not move the timer, since puts come by the ten thousand; the timer asks when it is due. */
function stale(worker: Ready, idleMs: number, context: Context): Step {
  const leftMs = context.policy.staleAfterMs - idleMs;
  if (leftMs <= 0) return end(worker, { do: 'restart', cause: 'stale' }, context);
  return { worker, effects: [{ do: 'setTimer', name: 'stale', ms: leftMs }] };
}

function stopping(worker: Stopping, event: WorkerEvent, context: Context): Step {
  switch (event.type) {
    case 'start':
      return turnedRound(worker);
    case 'stop':
    case 'restart':
    case 'remove':
      return command(worker, event.type);
    case 'spawned':
      if (worker.process === 'running') return ignored(worker);
      return {
        worker: { ...worker, process: 'running' },
        effects: [...firstSignal(context.policy), ...startSeen(worker)],
      };
    case 'spawnFailed': {
      const { effects, ...after } = ended(worker, worker.next, undefined, context);
      return { ...after, effects: [...effects, ...startSeen(worker)] };
    }
    case 'gone':
      return ended(worker, worker.next, event.exit, context);
    case 'kill':
      return { worker, effects: lastSignal() };
    case 'unkillable':
      return {
        worker: { ...worker, name: 'unkillable' },
        effects: [...cleared(worker), { do: 'tell', notice: { type: 'unkillable' } }, ...giveUp()],
      };
    // The leader of a planned end is gone; the rest of its group still has its time until SIGKILL.
    case 'exited':
    case 'channelUp':
    case 'channelsDown':
    case 'silent':
    case 'backoff':
    case 'readyTimeout':
    case 'channelGrace':
    case 'execTimeout':
    case 'overMemory':
    case 'stale':
    case 'stable':
    case 'nextRun':
      return ignored(worker);
  }
}

function unkillable(worker: Unkillable, event: WorkerEvent, context: Context): Step {
  switch (event.type) {
    case 'start':
      return turnedRound(worker);
    case 'stop':
    case 'restart':
    case 'remove': {
      const planned = command(worker, event.type);
      return { ...planned, effects: [{ do: 'signal', signal: 'SIGKILL' }, ...planned.effects, ...giveUp()] };
    }
    case 'gone':
      return ended(worker, worker.next, event.exit, context);
    case 'spawned':
    case 'spawnFailed':
    case 'exited':
    case 'channelUp':
    case 'channelsDown':
    case 'silent':
    case 'backoff':
    case 'kill':
    case 'unkillable':
    case 'readyTimeout':
    case 'channelGrace':
    case 'execTimeout':
    case 'overMemory':
    case 'stale':
    case 'stable':
    case 'nextRun':
      return ignored(worker);
  }
}

/** A restart that waits for this start has it, unless a later one has to see the next start. */
function startSeen({ next }: Stopping): Step['effects'] {
  const later = next.do === 'restart' && next.cause === 'command';
  return later ? [] : [{ do: 'answer', command: 'restart', outcome: 'done' }];
}

/** Only a stop can be turned round; a restart starts by itself, and a removed task is no more. */
function turnedRound(worker: Stopping | Unkillable): Step {
  return worker.next.do === 'stop' ? { worker: { ...worker, next: { do: 'start' } }, effects: [] } : ignored(worker);
}

/** A command to a worker that is on its way out: the last one decides what follows, but nothing undoes a remove. */
function command(worker: Stopping | Unkillable, type: 'stop' | 'restart' | 'remove'): Step {
  if (worker.next.do === 'remove') {
    return { worker, effects: type === 'restart' ? overtaken(worker.next) : [] };
  }
  const next = type === 'restart' ? ({ do: 'restart', cause: 'command' } as const) : ({ do: type } as const);
  return { worker: { ...worker, next }, effects: overtaken(next) };
}

function giveUp(): Step['effects'] {
  return (['stop', 'restart', 'remove'] as const).map((name) => ({
    do: 'answer',
    command: name,
    outcome: 'unkillable',
  }));
}

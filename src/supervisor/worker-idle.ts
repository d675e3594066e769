import type { BackingOff, Context, Resting, Step, Waiting, WorkerEvent } from './worker-states.js';
import { begin, forget, fresh, ignored, rest } from './worker-transitions.js';

/** The rows of the table where no process is: at rest, in a pause before the next start, between two runs of a job. */

export function resting(worker: Resting, event: WorkerEvent, context: Context): Step {
  switch (event.type) {
    case 'start':
    case 'restart':
      return begin(fresh(worker), context);
    case 'stop':
      return rest(worker, 'stopped', [
        ...(worker.name === 'stopped' ? [] : ([{ do: 'tell', notice: { type: 'stopped' } }] as const)),
        { do: 'answer', command: 'stop', outcome: 'done' },
      ]);
    case 'remove':
      return forget(worker);
    case 'spawned':
    case 'spawnFailed':
    case 'exited':
    case 'gone':
    case 'channelUp':
    case 'channelsDown':
    case 'silent':
    case 'backoff':
    case 'kill':
    case 'unkillable':
    case 'readyTimeout':
    case 'channelGrace':
    case 'execTimeout':
    case 'stale':
    case 'stable':
    case 'nextRun':
    case 'overMemory':
      return ignored(worker);
  }
}

/** A job between two runs: there is no process. */
export function waiting(worker: Waiting, event: WorkerEvent, context: Context): Step {
  switch (event.type) {
    case 'nextRun':
      return begin(worker, context, [], true);
    case 'restart':
      return begin(fresh(worker), context, [{ do: 'clearTimers' }]);
    case 'stop':
      return stopped(worker);
    case 'remove':
      return forget(worker);
    case 'start':
    case 'spawned':
    case 'spawnFailed':
    case 'exited':
    case 'gone':
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
      return ignored(worker);
  }
}

export function backingOff(worker: BackingOff, event: WorkerEvent, context: Context): Step {
  switch (event.type) {
    // A start does not wait any longer, but callers that repeat it do not reset the backoff.
    case 'start':
    case 'backoff':
      return begin(worker, context, [{ do: 'clearTimers' }]);
    case 'restart':
      return begin(fresh(worker), context, [{ do: 'clearTimers' }]);
    case 'stop':
      return stopped(worker);
    case 'remove':
      return forget(worker);
    case 'spawned':
    case 'spawnFailed':
    case 'exited':
    case 'gone':
    case 'channelUp':
    case 'channelsDown':
    case 'silent':
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

/** A stop where no process is, but one would come by itself. */
function stopped(worker: Waiting | BackingOff): Step {
  return rest(worker, 'stopped', [
    { do: 'clearTimers' },
    { do: 'tell', notice: { type: 'stopped' } },
    { do: 'answer', command: 'stop', outcome: 'done' },
  ]);
}

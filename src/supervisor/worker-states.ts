import type { ProcessExit } from '../core/ports.js';
import type { RestartCause } from '../core/restart-causes.js';
import type { TaskRecord } from '../core/task-record.js';

/** What happens once a process that is being ended is gone. */
export type Next =
  | { readonly do: 'stop' }
  | { readonly do: 'remove' }
  /** A start that came while the stop was under way. */
  | { readonly do: 'start' }
  /** Cause `command` starts at once; every other one asks the restart policy. */
  | { readonly do: 'restart'; readonly cause: RestartCause };

interface Base {
  /** Counts the starts of the worker, from 1; 0 before the first. */
  readonly generation: number;
  /** Restarts in a row since it was last ready for `backoff.resetMs`, or since a command began anew. Of a job with
   *  `execIntervalMs`: its failed runs in a row. */
  readonly restartsInARow: number;
}

/** No process, and none will come by itself. */
export interface Resting extends Base {
  readonly name: 'pending' | 'stopped' | 'exited' | 'failed';
}

export interface Starting extends Base {
  readonly name: 'starting';
  /** `spawning`: the spawner has not answered yet, so there is nothing to signal. */
  readonly process: 'spawning' | 'running';
  readonly channel: 'none' | 'up';
  /** A further run of a job: people see it as ready, and are not told of each one. */
  readonly rerun: boolean;
}

export interface Ready extends Base {
  readonly name: 'ready';
  /** `none`: never had one, or said goodbye, and lives by its process alone (`ready: spawn`).
   *  `grace`: the last one broke off and may come back at once.
   *  `away`: it said goodbye, or the node closed it, and has as long to come back as it had at its start. */
  readonly channel: 'none' | 'up' | 'grace' | 'away';
}

/** A job between two runs. People see it as ready. */
export interface Waiting extends Base {
  readonly name: 'waiting';
}

/** Being ended: `firstSig`, after `secondSigMs` SIGKILL, after LIMITS.unkillableMs more given up on. */
export interface Stopping extends Base {
  readonly name: 'stopping';
  readonly process: 'spawning' | 'running';
  readonly next: Next;
}

export interface BackingOff extends Base {
  readonly name: 'backoff';
}

/** SIGKILL did not end it (state D, or no longer verifiable). No second copy is started. */
export interface Unkillable extends Base {
  readonly name: 'unkillable';
  readonly next: Next;
}

export type WorkerState = Resting | Starting | Ready | Waiting | Stopping | BackingOff | Unkillable;

export type TimerName =
  | 'backoff'
  | 'kill'
  | 'unkillable'
  | 'readyTimeout'
  | 'channelGrace'
  | 'execTimeout'
  | 'stale'
  | 'stable'
  | 'nextRun';

/** Commands have no generation; everything that a process, a channel or a timer tells has one. */
export type WorkerEvent =
  | { readonly type: 'start' | 'stop' | 'restart' | 'remove' }
  | { readonly type: 'spawned'; readonly generation: number }
  | { readonly type: 'spawnFailed'; readonly generation: number; readonly message: string }
  /** The leader ended, others of its group live. */
  | { readonly type: 'exited'; readonly generation: number; readonly exit: ProcessExit }
  /** The whole group is gone. */
  | { readonly type: 'gone'; readonly generation: number; readonly exit: ProcessExit }
  /** The first channel of this generation opened. */
  | { readonly type: 'channelUp'; readonly generation: number }
  /** Its last channel closed. */
  | { readonly type: 'channelsDown'; readonly generation: number; readonly how: 'closed' | 'disconnect' }
  /** All its channels went silent for 1.5 × the heartbeat. */
  | { readonly type: 'silent'; readonly generation: number }
  /** Its process tree was over `memoryLimitKb` in `LIMITS.memorySamples` samples running. */
  | { readonly type: 'overMemory'; readonly generation: number }
  /** The stale timer; `idleMs` since the last entry was put, or since ready. */
  | { readonly type: 'stale'; readonly generation: number; readonly idleMs: number }
  | { readonly type: Exclude<TimerName, 'stale'>; readonly generation: number };

export type AnsweredCommand = 'stop' | 'restart' | 'remove';
/** `superseded`: a later command overtook it. `unkillable`: SIGKILL did not end the process. */
export type Outcome = 'done' | 'superseded' | 'unkillable';

/** What people are told in `m/event`. */
export type Notice =
  | { readonly type: 'started' | 'ready' | 'stopped' | 'exited' | 'unkillable' | 'spawn_error' | 'run_late' }
  | { readonly type: 'restarting'; readonly cause: RestartCause; readonly delayMs: number }
  /** A run of a job went wrong; the next one comes in its time. */
  | { readonly type: 'run_failed'; readonly cause: RestartCause }
  | { readonly type: 'failed'; readonly cause: RestartCause };

export type WorkerEffect =
  /** Start the process of `worker.generation`. */
  | { readonly do: 'spawn' }
  | { readonly do: 'signal'; readonly signal: string }
  /** Sets the timer anew if it runs already. */
  | { readonly do: 'setTimer'; readonly name: TimerName; readonly ms: number }
  | { readonly do: 'clearTimer'; readonly name: TimerName }
  | { readonly do: 'clearTimers' }
  /** Keeps what the run of a job came to, and sets the timer of the next one on its grid. */
  | { readonly do: 'awaitNextRun'; readonly cause: RestartCause; readonly failed: boolean }
  /** The time of the next run has come while this one is under way. */
  | { readonly do: 'missRun' }
  /** Closes what connections this generation still holds; they are not to count as failures. */
  | { readonly do: 'closeChannels'; readonly generation: number }
  | { readonly do: 'tell'; readonly notice: Notice }
  /** Answers everybody who waits for this command. */
  | { readonly do: 'answer'; readonly command: AnsweredCommand; readonly outcome: Outcome }
  /** The task is removed; nothing follows. */
  | { readonly do: 'forget' };

export interface Step {
  readonly worker: WorkerState;
  readonly effects: readonly WorkerEffect[];
}

/** The fields of a record that the machine decides by. */
export type WorkerPolicy = Pick<
  TaskRecord,
  | 'ready'
  | 'readyTimeoutMs'
  | 'heartbeatMs'
  | 'execIntervalMs'
  | 'execTimeoutMs'
  | 'staleAfterMs'
  | 'firstSig'
  | 'secondSigMs'
  | 'restart'
  | 'successCodes'
  | 'backoff'
  | 'maxRestarts'
>;

/** What a transition may look at beside the state and the event. */
export interface Context {
  readonly policy: WorkerPolicy;
  /** Uniform in [0, 1); spreads the backoff. */
  readonly chance: number;
  /** How long the process that ended had run; 0 when it could not be started. Milliseconds. */
  readonly ranMs: number;
  /** Least pause before a restart by policy, because too many came before it. Milliseconds. */
  readonly stormMs: number;
}

export const NEW_WORKER: WorkerState = { name: 'pending', generation: 0, restartsInARow: 0 };

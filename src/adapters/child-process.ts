import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { describe } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type {
  Cancel,
  Clock,
  ProcessExit,
  ProcessIdentity,
  ProcessListener,
  ProcessSpawner,
  ProcessSpec,
  SignalResult,
} from '../core/ports.js';
import { isErrno } from './errno.js';
import { hasProc, identityOf, type ProcessStat, statOf } from './proc.js';
import { groupIsGone, killTree, signalGroup } from './process-group.js';
import { userIds } from './user.js';

/** A process that was spawned and whose group is not gone yet. */
interface Child {
  readonly identity: ProcessIdentity;
  leaderGone: boolean;
}

/** A group of zombies is looked for at most so often; it means to read all of /proc. */
const THOROUGH_POLLS_MAX = 32;

/** Signals after which a stopped process needs SIGCONT to see them; SIGKILL needs none, SIGSTOP would be undone. */
const WITHOUT_CONT = new Set(['SIGKILL', 'SIGSTOP', 'SIGCONT']);

/** Starts programs by node:child_process, each in a session and group of its own. */
export class ChildProcessSpawner implements ProcessSpawner {
  readonly #clock: Clock;
  readonly #children = new Map<number, Child>();

  readonly #waiting: (() => void)[] = [];
  #pausing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  spawn(spec: ProcessSpec, listener: ProcessListener): void {
    this.#waiting.push(() => this.#launch(spec, listener));
    if (!this.#pausing) this.#next();
  }

  /** One start a turn: each stops the event loop for as long as fork(2) takes, and a hundred in a row would keep
   *  everybody's PING waiting. */
  #next(): void {
    const start = this.#waiting.shift();
    this.#pausing = start !== undefined;
    if (!start) return;
    start();
    this.#clock.soon(() => this.#next());
  }

  #launch(spec: ProcessSpec, listener: ProcessListener): void {
    let process: ChildProcess;
    try {
      process = launch(spec);
    } catch (thrown) {
      // E2BIG, ENOTDIR, a NUL byte, an unknown user: these throw at once, the others come as 'error'.
      queueMicrotask(() => listener.failed(failureOf(spec, thrown)));
      return;
    }
    this.#follow(process, spec, listener);
  }

  signal(identity: ProcessIdentity, signal: string): SignalResult {
    const child = this.#children.get(identity.pid);
    if (child?.identity.startTime !== identity.startTime) return 'gone';
    const verdict = verify(child);
    if (verdict !== 'ours') return verdict;
    if (signal === 'SIGKILL') return killTree(identity);
    const result = signalGroup(identity.pid, signal);
    if (result === 'sent' && !WITHOUT_CONT.has(signal)) signalGroup(identity.pid, 'SIGCONT');
    return result;
  }

  #follow(process: ChildProcess, spec: ProcessSpec, listener: ProcessListener): void {
    let child: Child | undefined;
    // Without a handler 'error' would end the node; after 'spawn' it has nothing more to say.
    process.on('error', (error) => {
      if (child === undefined) listener.failed(failureOf(spec, error));
    });
    process.once('spawn', () => {
      if (process.pid === undefined) return;
      child = { identity: identityOf(process.pid), leaderGone: false };
      this.#children.set(process.pid, child);
      listener.spawned(child.identity);
    });
    process.once('exit', (code, signal) => {
      if (child !== undefined) this.#exited(child, { code, signal }, listener);
      this.#drain(process);
    });
    process.stdout?.on('data', (chunk: Uint8Array) => listener.output('stdout', chunk));
    process.stderr?.on('data', (chunk: Uint8Array) => listener.output('stderr', chunk));
    process.stdout?.on('error', ignorePipeError);
    process.stderr?.on('error', ignorePipeError);
  }

  /** The death of the leader, which 'exit' tells at once; 'close' would wait for whoever holds its pipes. */
  #exited(child: Child, exit: ProcessExit, listener: ProcessListener): void {
    const { pid } = child.identity;
    child.leaderGone = true;
    const gone = () => {
      this.#children.delete(pid);
      listener.gone(exit);
    };
    if (groupIsGone(pid, false)) {
      gone();
      return;
    }
    listener.exited(exit);
    const poll = (polls: number, thoroughAt: number) => {
      const thorough = polls === thoroughAt;
      if (groupIsGone(pid, thorough)) gone();
      else {
        const next = thorough ? polls + Math.min(2 * polls, THOROUGH_POLLS_MAX) : thoroughAt;
        this.#clock.after(LIMITS.groupPollMs, () => poll(polls + 1, next));
      }
    };
    this.#clock.after(LIMITS.groupPollMs, () => poll(1, 1));
  }

  /** Reads what is still in the pipes, but not for ever: somebody who left the group may hold them open. */
  #drain(process: ChildProcess): void {
    const cancel: Cancel = this.#clock.after(LIMITS.outputDrainMs, () => {
      process.stdout?.destroy();
      process.stderr?.destroy();
    });
    process.once('close', cancel);
  }
}

function launch(spec: ProcessSpec): ChildProcess {
  const [program, ...args] = spec.argv;
  return spawn(program, args, {
    env: { ...spec.env },
    detached: true,
    stdio: ['ignore', spec.stdout, spec.stderr],
    ...(spec.cwd !== undefined && { cwd: spec.cwd }),
    ...(spec.user !== undefined && userIds(spec.user)),
  });
}

/** Whether the pid still means our child. A leader that was not told to have exited is held by the kernel for us; after
 *  that only the rest of its group holds the number, and whoever leads it now is a stranger. */
function verify({ identity, leaderGone }: Child): 'ours' | 'gone' | 'unverified' {
  if (!hasProc()) return 'ours';
  let stat: ProcessStat | undefined;
  try {
    stat = statOf(identity.pid, true);
  } catch (error) {
    if (isErrno(error)) return 'unverified';
    throw error;
  }
  if (leaderGone) return stat === undefined ? 'ours' : 'gone';
  if (identity.startTime === '') return 'ours';
  if (stat === undefined) return 'gone';
  return stat.startTime === identity.startTime ? 'ours' : 'unverified';
}

/** Node says `spawn PROGRAM ENOENT` also when it is the directory that is missing. */
function failureOf(spec: ProcessSpec, thrown: unknown): Error {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (spec.cwd !== undefined && isErrno(error) && error.code === 'ENOENT' && !isDirectory(spec.cwd)) {
    return new Error(`cwd: expected a directory, got ${describe(spec.cwd)}`, { cause: error });
  }
  return error;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** A pipe that breaks is part of an end that 'exit' tells. */
function ignorePipeError(): undefined {
  return undefined;
}

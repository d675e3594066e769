import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import type { Writable } from 'node:stream';
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
  WriteResult,
} from '../core/ports.js';
import { ChildOutput } from './child-output.js';
import { isErrno } from './errno.js';
import { OomWatch } from './oom.js';
import { identityOf, type ProcessStat, pidCursor, pidExists, statOf } from './proc.js';
import { isGroupOfZombies, signalGroup } from './process-group.js';
import { descendantsOf } from './process-tree.js';
import type { Lineage } from './sweep.js';
import { Sweeper } from './sweeper.js';
import { systemRandom } from './system-clock.js';
import { userIds } from './user.js';

/** A process that was spawned, and of which something is left. */
interface Child {
  readonly identity: ProcessIdentity;
  readonly stdin: Writable | null;
  lineage: Lineage;
  leaderGone: boolean;
  /** Ends the looks at a young process. */
  cancelLooks: Cancel;
  /** We sent SIGKILL. */
  killed: boolean;
}

/** An end that took long already is seen a fiftieth of that later: what cannot be killed must not cost a look each
 *  `groupPollMs` for ever. */
const POLL_SHARE = 50;
const POLL_MS_MAX = 1_000;
/** A group of zombies is looked for at most so often; it means to read all of /proc. */
const THOROUGH_POLLS_MAX = 32;

/** How long a turn may be held by starting processes. */
const STARTS_MS = 8;
const SHELL_SIGKILL = 137;
/** When a young process is looked at, after its start and after the look before: one that soon dies by itself may have
 *  left something by then. After that the samples of all trees look. */
const YOUNG_LOOKS_MS = [50, 150, 600];
/** How many processes are remembered to have come from one child, the latest ones. */
const SEEN_MAX = 4_096;
/** Pids given to others between the fork of a child and our look at the cursor. */
const PIDS_BEHIND_MAX = 10_000;
/** Passes in a row that found nothing but may have missed something. */
const SWEEPS_MAX = 4;

/** Signals after which a stopped process needs SIGCONT to see them; SIGKILL needs none, SIGSTOP would be undone. */
const WITHOUT_CONT = new Set(['SIGKILL', 'SIGSTOP', 'SIGCONT']);

/** Where it stands what came from a process, as of some look before. */
export interface KnownTrees {
  treeOf(leader: ProcessIdentity): readonly ProcessStat[];
}

const NO_TREES: KnownTrees = { treeOf: () => [] };

/** Starts programs by node:child_process, each in a session and group of its own. */
export class ChildProcessSpawner implements ProcessSpawner {
  readonly #clock: Clock;
  readonly #trees: KnownTrees;
  readonly #oom: OomWatch;
  readonly #sweeper: Sweeper;
  readonly #children = new Map<number, Child>();

  readonly #waiting: (() => void)[] = [];
  #pausing = false;

  /** @param trees Asked for what a child that died by itself has left, which nobody could look at before its death */
  constructor(clock: Clock, trees: KnownTrees = NO_TREES) {
    this.#clock = clock;
    this.#trees = trees;
    this.#oom = new OomWatch(clock);
    this.#sweeper = new Sweeper(clock, (group) => this.#children.has(group));
  }

  spawn(spec: ProcessSpec, listener: ProcessListener): void {
    this.#waiting.push(() => this.#launch(spec, listener));
    if (!this.#pausing) this.#next();
  }

  signal(identity: ProcessIdentity, signal: string): SignalResult {
    const child = this.#childOf(identity);
    if (child === undefined) return 'gone';
    const verdict = verify(child);
    if (verdict !== 'ours') return verdict;
    // Before it takes the parents, by whom the children are known.
    if (!child.leaderGone) remember(child, descendantsOf(identity.pid));
    const result = signalGroup(identity.pid, signal);
    if (signal === 'SIGKILL') {
      child.killed = true;
      // What left the group goes with it; the end that follows looks whether it did.
      this.#sweeper.sweep(child.lineage);
    }
    if (result === 'sent' && !WITHOUT_CONT.has(signal)) signalGroup(identity.pid, 'SIGCONT');
    return result;
  }

  /** The pipe leads to this very child, whoever has its pid by now: there is nothing to verify beyond the identity. */
  write(identity: ProcessIdentity, bytes: Uint8Array): WriteResult {
    const stdin = this.#childOf(identity)?.stdin;
    if (!stdin?.writable) return 'gone';
    if (stdin.writableLength >= LIMITS.stdinBytes) return 'full';
    // A copy: the pipe may take the bytes later than now.
    stdin.write(Buffer.from(bytes));
    return 'written';
  }

  #childOf({ pid, startTime }: ProcessIdentity): Child | undefined {
    const child = this.#children.get(pid);
    return child?.identity.startTime === startTime ? child : undefined;
  }

  /** So many starts a turn as fit into `STARTS_MS`: each stops the event loop for as long as fork(2) takes, and a hundred
   *  in a row would keep everybody's PING waiting. */
  #next(): void {
    const endMs = this.#clock.now() + STARTS_MS;
    this.#pausing = this.#waiting.length > 0;
    while (this.#waiting.length > 0 && this.#clock.now() < endMs) this.#waiting.shift()?.();
    if (this.#pausing) this.#clock.soon(() => this.#next());
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

  #follow(process: ChildProcess, spec: ProcessSpec, listener: ProcessListener): void {
    const output = new ChildOutput(process, listener, this.#clock);
    let child: Child | undefined;
    // Without a handler 'error' would end the node; after 'spawn' it has nothing more to say.
    process.on('error', (error) => {
      if (child === undefined) listener.failed(failureOf(spec, error));
    });
    process.once('spawn', () => {
      if (process.pid === undefined) return;
      child = childOf(process.pid, process.stdin, spec);
      this.#children.set(process.pid, child);
      this.#lookIn(child, YOUNG_LOOKS_MS);
      this.#oom.start();
      listener.spawned(child.identity);
    });
    process.once('exit', (code, signal) => {
      process.stdin?.destroy();
      const drained = output.drain();
      if (child !== undefined) this.#exited(child, { code, signal }, listener, drained);
    });
    // It may close its end before we know; what was written is lost then, as with any process that does not read.
    process.stdin?.on('error', () => process.stdin?.destroy());
    output.follow();
  }

  /** The death of the leader, which 'exit' tells at once; 'close' would wait for whoever holds its pipes. */
  #exited(child: Child, { code, signal }: ProcessExit, listener: ProcessListener, drained: Promise<void>): void {
    child.leaderGone = true;
    child.cancelLooks();
    remember(child, this.#trees.treeOf(child.identity));
    // A shell around the program tells its death by SIGKILL as a code.
    const killed = signal === 'SIGKILL' || code === SHELL_SIGKILL;
    const oom = killed && !child.killed && this.#oom.explains();
    const exit = { code, signal, ...(oom && { oom }) };
    const ended = this.#end(child, () => listener.exited(exit));
    Promise.all([ended, drained]).then(() => {
      this.#children.delete(child.identity.pid);
      if (this.#children.size === 0) this.#oom.stop();
      listener.gone(exit);
    });
  }

  #lookIn(child: Child, [delayMs, ...further]: readonly number[]): void {
    if (delayMs === undefined) return;
    child.cancelLooks = this.#clock.after(delayMs, () => {
      remember(child, descendantsOf(child.identity.pid));
      this.#lookIn(child, further);
    });
  }

  /** Waits until nothing is left: of the group, which the supervisor signals, and then of what left the group, which
   *  has nobody any more and is killed.
   *  @param survived Told once, when something lives on. */
  async #end(child: Child, survived: () => void): Promise<void> {
    const beganMs = this.#clock.now();
    let thoroughAt = 1;
    for (let polls = 0; ; polls += 1) {
      const thorough = polls === thoroughAt;
      if (thorough) thoroughAt += Math.min(2 * polls, THOROUGH_POLLS_MAX);
      if ((await this.#isGroupGone(child, thorough)) && (await this.#isSwept(child))) return;
      if (polls === 0) survived();
      const pollMs = Math.max(LIMITS.groupPollMs, (this.#clock.now() - beganMs) / POLL_SHARE);
      await new Promise<void>((resolve) => this.#clock.after(Math.min(pollMs, POLL_MS_MAX), resolve));
    }
  }

  /** Asks the kernel first. A number that was free once means others from then on. */
  async #isGroupGone(child: Child, thorough: boolean): Promise<boolean> {
    const { group } = child.lineage;
    if (group === undefined || signalGroup(group, 0) === 'gone') return true;
    return thorough && (await isGroupOfZombies(group));
  }

  /** Where strangers come and go while it looks, it looks again at once: the next start waits for it. */
  async #isSwept(child: Child): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      const { living, inGroup, complete } = await this.#sweeper.sweep(child.lineage);
      if (complete && !inGroup) child.lineage = { ...child.lineage, group: undefined };
      if (complete || living.length > 0 || tries === SWEEPS_MAX) return complete && living.length === 0;
    }
  }
}

function childOf(pid: number, stdin: Writable | null, { env }: ProcessSpec): Child {
  const identity = identityOf(pid);
  const tokenHash = env.SN_TOKEN === undefined ? undefined : systemRandom.hash(env.SN_TOKEN);
  const cursor = pidCursor();
  // A cursor that is not about our pids, as in some containers, says nothing.
  const isOurs = cursor !== undefined && cursor.last >= pid && cursor.last - pid < PIDS_BEHIND_MAX;
  const since = isOurs ? { ...cursor, last: pid - 1 } : undefined;
  const lineage = { tokenHash, group: pid, seen: [], startTime: identity.startTime, since };
  return { identity, stdin, lineage, leaderGone: false, cancelLooks: () => undefined, killed: false };
}

function launch(spec: ProcessSpec): ChildProcess {
  const [program, ...args] = spec.argv;
  return spawn(program, args, {
    env: { ...spec.env },
    detached: true,
    stdio: [spec.stdin, spec.stdout, spec.stderr],
    ...(spec.cwd !== undefined && { cwd: spec.cwd }),
    ...(spec.user !== undefined && userIds(spec.user)),
  });
}

/** Adds to what is known to have come from a child. */
function remember(child: Child, processes: readonly ProcessStat[]): void {
  const seen = new Map(child.lineage.seen.map((stat) => [stat.pid, stat]));
  for (const stat of processes) seen.set(stat.pid, stat);
  child.lineage = { ...child.lineage, seen: [...seen.values()].slice(-SEEN_MAX) };
}

/** Whether the number still means our child. The kernel holds it for a leader whose end we were not told of, and for the
 *  rest of its group after that: who has it as his pid then is a stranger, and the group is gone. A look into /proc may
 *  fail, as without a free descriptor, and then says nothing against it. */
function verify({ identity, leaderGone, lineage }: Child): 'ours' | 'gone' | 'unverified' {
  if (lineage.group === undefined) return 'gone';
  if (leaderGone) return pidExists(identity.pid) ? 'gone' : 'ours';
  const stat = identity.startTime === '' ? undefined : statOf(identity.pid);
  return stat === undefined || stat.startTime === identity.startTime ? 'ours' : 'unverified';
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

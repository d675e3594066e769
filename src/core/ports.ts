import type { RememberedTask } from './task-record.js';

/** What the node needs from the world. Adapters implement these; tests bring their own. */

/** Ends something that was begun: a timer, a subscription. Idempotent. */
export type Cancel = () => void;

export interface Clock {
  /** Monotonic milliseconds, fractions allowed; the origin means nothing. */
  now(): number;
  /** Milliseconds since 1970-01-01 UTC. May jump; only for what people and protocols read. */
  wallNow(): number;
  /** Runs `run` once, `delayMs` from now. Any non-negative delay, also beyond 2³¹ − 1. */
  after(delayMs: number, run: () => void): Cancel;
  /** Runs `run` each `periodMs`. Does not keep the process alive. */
  every(periodMs: number, run: () => void): Cancel;
  /** Runs `run` once all input that is ready now has been read: the end of a turn. */
  soon(run: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). Not for secrets. */
  fraction(): number;
  /** `bytes` bytes of cryptographic strength, as base64url text. */
  secret(bytes: number): string;
  /** SHA-256 of the text, hex: how a secret is remembered and compared. */
  hash(text: string): string;
}

/** The part of pino the rooms use. Fields first, then a sentence. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Who a process is, beyond a pid that the kernel will use again.
 *  Linux: `/proc/PID/stat` field 22 and `/proc/sys/kernel/random/boot_id` (proc(5)); elsewhere both empty. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
  readonly bootId: string;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The kernel ended it because memory ran out, as far as its cgroup tells. */
  readonly oom?: boolean;
}

export interface ProcessSpec {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  readonly user: string | undefined;
  readonly stdin: 'pipe' | 'ignore';
  readonly stdout: 'pipe' | 'ignore';
  readonly stderr: 'pipe' | 'ignore';
}

/** What the spawner tells about one process, in this order: `failed`, or `spawned` then perhaps `exited` then `gone`.
 *  `failed` and `gone` end the story; only `output` still in the pipe may follow `gone`, for `outputDrainMs`. */
export interface ProcessListener {
  /** It runs. */
  spawned(identity: ProcessIdentity): void;
  /** It could not be started, in whichever of spawn's ways. */
  failed(error: Error): void;
  /** The leader ended, but others of its group live on. Left out when it was alone. */
  exited(exit: ProcessExit): void;
  /** The leader, everything of its group, and what left the group are gone. `exit` is the leader's. */
  gone(exit: ProcessExit): void;
  /** The bytes are only good during the call. A promise: nothing more of this stream is read until it is settled, so
   *  that the process waits in its write(2). */
  output(stream: 'stdout' | 'stderr', chunk: Uint8Array): undefined | Promise<void>;
  /** No output comes any more. Once, after `spawned`; before `gone` unless somebody else holds the pipes open. */
  outputEnded(): void;
}

export type SignalResult = 'sent' | 'gone' | 'unverified';
/** `full`: it does not read, and `LIMITS.stdinBytes` wait for it already. */
export type WriteResult = 'written' | 'full' | 'gone';

export interface ProcessSpawner {
  /** Starts a process in a session and group of its own. Never throws; never calls the listener before it returns. */
  spawn(spec: ProcessSpec, listener: ProcessListener): void;
  /** Signals the whole group, after checking that it is still the same one. `SIGCONT` follows every signal but
   *  SIGKILL and SIGSTOP, so that a stopped process sees it. */
  signal(identity: ProcessIdentity, signal: string): SignalResult;
  /** Writes to its stdin, which its spec made a pipe. All of the bytes, or nothing. */
  write(identity: ProcessIdentity, bytes: Uint8Array): WriteResult;
}

/** Where it stands what was commanded, so that it outlives the node. */
export interface TaskStore {
  /** Replaces all of it. Resolves when it is flushed, or cannot be, which is told in the log and tried again; never
   *  rejects. The last one asked for wins. */
  save(tasks: readonly RememberedTask[]): Promise<void>;
}

/** What a process and all that came from it take, as of a sample. */
export interface ProcessUsage {
  /** Share of one core since the sample before; 100 is one whole core. */
  readonly cpuPercent: number;
  /** Resident memory, that of shared pages counted for each process. */
  readonly rssKb: number;
  /** How many processes that is, the leader included. */
  readonly processes: number;
}

/** A child as the journal remembers it across a crash of the node. */
export interface ChildRecord {
  readonly taskId: string;
  readonly generation: number;
  /** SHA-256 of SN_TOKEN, hex. The token itself is never stored. */
  readonly tokenHash: string;
  readonly identity: ProcessIdentity | undefined;
}

/** Where children stand from before their spawn, so that the next start can end what a crash left. Never throws: a
 *  worker is worth more than the note of it. */
export interface ChildJournal {
  spawning(record: ChildRecord): void;
  spawned(record: ChildRecord): void;
  gone(record: ChildRecord): void;
}

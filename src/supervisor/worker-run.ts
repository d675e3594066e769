import { LIMITS } from '../core/limits.js';
import type { ChildRecord, Clock, ProcessIdentity, ProcessSpec, ProcessUsage } from '../core/ports.js';
import { argvOf, type OutputUse, type TaskRecord } from '../core/task-record.js';
import type { WorkerKey } from '../core/worker-key.js';
import { LineBudget, LineSplitter, lineText } from './output-lines.js';
import type { OutputStream, SupervisorPorts } from './status.js';

/** UTF-8 takes at most four bytes a character. */
const TAIL_LINE_BYTES = 4 * LIMITS.lastStderrLineChars;
const OPEN_BRACE = 123;
/** How often the clock is looked at: after the first line, which may be a very long one, and then each so many. */
const LINES_PER_LOOK = 16;
const STREAMS = ['stdout', 'stderr'] as const;

/** What belongs to one start of a worker: its secret, its process, its channels, its output. */
export class WorkerRun {
  readonly key: WorkerKey;
  /** SHA-256 of SN_TOKEN, hex. */
  readonly tokenHash: string;
  readonly channels = new Set<string>();
  identity: ProcessIdentity | undefined;
  /** As of the last sample. */
  usage: ProcessUsage | undefined;
  /** Samples running in which the tree was over its limit. */
  samplesOverMemory = 0;
  /** Wall clock, ms. */
  startedAtMs: number | undefined;
  /** Monotonic, ms. */
  #startedMs: number | undefined;
  readonly #record: TaskRecord;
  readonly #ports: SupervisorPorts;
  readonly #splitters = {
    stdout: new LineSplitter(LIMITS.outputLineBytes),
    stderr: new LineSplitter(LIMITS.outputLineBytes),
  };
  readonly #budget = new LineBudget({
    linesPerSecond: LIMITS.outputLinesPerSecond,
    linesBurst: LIMITS.outputLinesBurst,
    bytesPerSecond: LIMITS.outputBytesPerSecond,
    bytesBurst: LIMITS.outputBytesBurst,
  });
  readonly #tails: Record<OutputStream, Uint8Array[]> = { stdout: [], stderr: [] };
  /** Of a chunk whose lines did not fit into one turn. */
  readonly #unfinished: Record<OutputStream, Promise<void> | undefined> = { stdout: undefined, stderr: undefined };
  #muted = false;
  #cutTold = 0;
  #lossToldMs = Number.NEGATIVE_INFINITY;

  constructor(record: TaskRecord, key: WorkerKey, tokenHash: string, ports: SupervisorPorts) {
    this.#record = record;
    this.key = key;
    this.tokenHash = tokenHash;
    this.#ports = ports;
  }

  get generation(): number {
    return this.key.generation;
  }

  started(identity: ProcessIdentity): void {
    this.identity = identity;
    this.startedAtMs = this.#ports.clock.wallNow();
    this.#startedMs = this.#ports.clock.now();
  }

  /** As the journal keeps it. */
  child(): ChildRecord {
    const { key, tokenHash, identity } = this;
    return { taskId: key.taskId, generation: key.generation, tokenHash, identity };
  }

  /** For how long the process runs, or ran until now. Milliseconds. */
  ranMs(): number {
    return this.#startedMs === undefined ? 0 : this.#ports.clock.now() - this.#startedMs;
  }

  /** A promise: what came has not found its place yet, and no more is to be read until it has. */
  output(stream: OutputStream, chunk: Uint8Array): undefined | Promise<void> {
    const before = this.#unfinished[stream];
    const { taken, wait } = before ? { taken: 0, wait: before } : this.#some(stream, chunk);
    if (taken === chunk.length) return wait;
    // Lines come by the ten thousand in one chunk, or are long to deal with; others have their turn between them.
    const rest = this.#rest(stream, Uint8Array.from(chunk.subarray(taken)), wait);
    this.#unfinished[stream] = rest;
    rest.then(() => {
      if (this.#unfinished[stream] === rest) this.#unfinished[stream] = undefined;
    });
    return rest;
  }

  /** The outputs are through: ends the unfinished lines and tells what was left out. */
  flush(): void {
    for (const stream of STREAMS) {
      const end = () => {
        this.#lines((onLine) => this.#splitters[stream].flush((line) => onLine(stream, line)));
        this.#tellLoss();
      };
      const unfinished = this.#unfinished[stream];
      if (unfinished === undefined) end();
      else unfinished.then(end);
    }
  }

  /** The task is gone: what still comes is nobody's. */
  mute(): void {
    this.#muted = true;
  }

  /** The last lines of an output: always of stderr, which explains an exit; of stdout for a job. */
  tail(stream: OutputStream): string[] {
    return this.#tails[stream].map((line) => lineText(line).slice(0, LIMITS.lastStderrLineChars));
  }

  #some(stream: OutputStream, chunk: Uint8Array): { taken: number; wait: undefined | Promise<void> } {
    let taken = 0;
    const goesOn = turnOf(this.#ports.clock);
    const wait = this.#lines((onLine) => {
      taken = this.#splitters[stream].push(chunk, (line) => onLine(stream, line), goesOn);
    });
    return { taken, wait };
  }

  async #rest(stream: OutputStream, chunk: Uint8Array, before: undefined | Promise<void>): Promise<void> {
    await before;
    for (let from = 0; from < chunk.length && !this.#muted; ) {
      await new Promise<void>((resolve) => this.#ports.clock.soon(resolve));
      const { taken, wait } = this.#some(stream, chunk.subarray(from));
      from += taken;
      await wait;
    }
  }

  #lines(feed: (onLine: (stream: OutputStream, line: Uint8Array) => void) => void): undefined | Promise<void> {
    const waits: Promise<void>[] = [];
    feed((stream, line) => {
      const wait = this.#guarded(stream, line);
      if (wait !== undefined) waits.push(wait);
    });
    return waits.length === 0 ? undefined : Promise.allSettled(waits).then(ignore);
  }

  /** A line that cannot be handed on must not take the next ones with it. */
  #guarded(stream: OutputStream, line: Uint8Array): undefined | Promise<void> {
    if (this.#muted) return undefined;
    try {
      return this.#line(stream, line);
    } catch (error) {
      this.#ports.log.error({ task_id: this.key.taskId, err: error }, 'a line of output could not be handed on');
      return undefined;
    }
  }

  #line(stream: OutputStream, line: Uint8Array): undefined | Promise<void> {
    if (stream === 'stderr' || this.#record.execIntervalMs > 0) this.#keepTail(stream, line);
    if (stream === 'stdout' && this.#record.stdin === 'lines' && line[0] === OPEN_BRACE) {
      const answered = this.#ports.report.answer(this.key, line);
      if (answered !== undefined) return answered === 'taken' ? undefined : answered;
    }
    const use: OutputUse = this.#record[stream];
    if (use === 'data') return this.#data(line);
    if (use === 'log' && this.#budget.admit(this.#ports.clock.now(), line.length)) {
      this.#ports.report.output(this.key, stream, lineText(line));
      this.#tellLossSometimes();
    }
    return undefined;
  }

  #data(line: Uint8Array): undefined | Promise<void> {
    const wait = this.#ports.report.data(this.key, line);
    this.#tellLossSometimes();
    return wait;
  }

  /** The tail also has the lines that the log has no room for. */
  #keepTail(stream: OutputStream, line: Uint8Array): void {
    const tail = this.#tails[stream];
    tail.push(Uint8Array.from(line.subarray(0, TAIL_LINE_BYTES)));
    if (tail.length > LIMITS.lastStderrLines) tail.shift();
  }

  #tellLossSometimes(): void {
    if (this.#ports.clock.now() - this.#lossToldMs >= LIMITS.dropEventMs) this.#tellLoss();
  }

  #tellLoss(): void {
    const lines = this.#budget.takeDropped();
    const cut = this.#splitters.stdout.cut + this.#splitters.stderr.cut - this.#cutTold;
    if (lines === 0 && cut === 0) return;
    this.#cutTold += cut;
    this.#lossToldMs = this.#ports.clock.now();
    this.#ports.report.event('output_dropped', this.key.taskId, { lines, cut });
  }
}

/** Whether one turn has room for another line: some cost less than a look at the clock, others are parsed, or told to
 *  thousands. */
function turnOf(clock: Clock): () => boolean {
  const endMs = clock.now() + LIMITS.outputTurnMs;
  let lines = 0;
  return () => {
    lines += 1;
    if (lines >= LIMITS.outputLinesPerTurn) return false;
    return lines % LINES_PER_LOOK !== 1 || clock.now() < endMs;
  };
}

function ignore(): void {
  // Only that they are through matters, not what came of each.
}

/** What is started for a record. */
export function specOf(record: TaskRecord, env: Readonly<Record<string, string>>): ProcessSpec {
  const { taskId, cwd, user, stdin, stdout, stderr } = record;
  const argv = argvOf(record);
  if (argv === undefined) throw new Error(`task ${taskId}: expected a command, got none`);
  const reads = stdin === 'lines';
  return {
    argv,
    env,
    cwd,
    user,
    stdin: reads ? 'pipe' : 'ignore',
    // Answers come on stdout, whatever becomes of the other lines.
    stdout: reads ? 'pipe' : pipeOr(stdout),
    stderr: pipeOr(stderr),
  };
}

function pipeOr(use: OutputUse): 'pipe' | 'ignore' {
  return use === 'ignore' ? 'ignore' : 'pipe';
}

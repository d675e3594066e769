import { LIMITS } from '../core/limits.js';
import type { ProcessIdentity } from '../core/ports.js';
import type { TaskRecord } from '../core/task-record.js';
import { LineBudget, LineSplitter, lineText } from './output-lines.js';
import type { SupervisorPorts } from './status.js';

type Stream = 'stdout' | 'stderr';

/** UTF-8 takes at most four bytes a character. */
const TAIL_LINE_BYTES = 4 * LIMITS.lastStderrLineChars;

/** What belongs to one start of a worker: its secret, its process, its channels, its output. */
export class WorkerRun {
  readonly generation: number;
  /** SHA-256 of SN_TOKEN, hex. */
  readonly tokenHash: string;
  readonly channels = new Set<string>();
  identity: ProcessIdentity | undefined;
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
  readonly #budget = new LineBudget(LIMITS.outputLinesPerSecond, LIMITS.outputBytesPerSecond);
  #tail: Uint8Array[] = [];
  #cutTold = 0;

  constructor(record: TaskRecord, generation: number, tokenHash: string, ports: SupervisorPorts) {
    this.#record = record;
    this.generation = generation;
    this.tokenHash = tokenHash;
    this.#ports = ports;
  }

  started(identity: ProcessIdentity): void {
    this.identity = identity;
    this.startedAtMs = this.#ports.clock.wallNow();
    this.#startedMs = this.#ports.clock.now();
  }

  /** For how long the process runs, or ran until now. Milliseconds. */
  ranMs(): number {
    return this.#startedMs === undefined ? 0 : this.#ports.clock.now() - this.#startedMs;
  }

  output(stream: Stream, chunk: Uint8Array): void {
    this.#splitters[stream].push(chunk, (line) => this.#line(stream, line));
  }

  /** Ends the unfinished lines and tells what was left out. */
  flush(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#splitters[stream].flush((line) => this.#line(stream, line));
    }
    this.#tellLoss();
  }

  stderrTail(): string[] {
    return this.#tail.map((line) => lineText(line).slice(0, LIMITS.lastStderrLineChars));
  }

  #line(stream: Stream, line: Uint8Array): void {
    if (stream === 'stderr') this.#keepTail(line);
    if (!this.#budget.admit(this.#ports.clock.now(), line.length)) return;
    this.#ports.report.output(this.#record.taskId, stream, lineText(line));
    this.#tellLoss();
  }

  /** The tail explains an exit, so it also has the lines that the log has no room for. */
  #keepTail(line: Uint8Array): void {
    this.#tail.push(Uint8Array.from(line.subarray(0, TAIL_LINE_BYTES)));
    if (this.#tail.length > LIMITS.lastStderrLines) this.#tail.shift();
  }

  #tellLoss(): void {
    const lines = this.#budget.takeDropped();
    const cut = this.#splitters.stdout.cut + this.#splitters.stderr.cut - this.#cutTold;
    if (lines === 0 && cut === 0) return;
    this.#cutTold += cut;
    this.#ports.report.event('output_dropped', this.#record.taskId, { lines, cut });
  }
}

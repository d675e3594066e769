import assert from 'node:assert/strict';
import { LIMITS } from '../../src/core/limits.js';
import type { FakeProcess } from '../fixtures/fake-spawner.js';
import type { SeededRandom } from '../fixtures/seeded-random.js';

const OVERLONG = Buffer.alloc(LIMITS.outputLineBytes + 10, 120);
const FLOOD_LINES = LIMITS.outputLinesBurst + 50;

/** What one process wrote as data, and what came of it. */
interface Writer {
  readonly process: FakeProcess;
  lines: number;
  /** Bytes of the line that is not finished yet. */
  partial: string;
  readonly sent: string[];
  readonly received: string[];
  /** It waits in its write(2). */
  isPaused: boolean;
  /** Its task is removed: what has not come yet is nobody's. */
  isOrphan: boolean;
}

/** Programs that write, and an intake that lets them wait: what is written arrives once and in order. */
export class JudgedOutput {
  readonly #random: SeededRandom;
  readonly #errors: unknown[];
  readonly #writers = new Map<number, Writer>();
  /** Places for lines that the intake has not found yet. */
  readonly #held: (() => void)[] = [];
  #loggedLines = 0;
  #writtenToLog = 0;
  #flooded = 0;
  #writtenLate = 0;
  readonly #removed = new Set<string>();
  readonly #flooding = new Set<FakeProcess>();
  #dropped = 0;
  #cut = 0;
  #overlong = 0;

  constructor(random: SeededRandom, errors: unknown[]) {
    this.#random = random;
    this.#errors = errors;
  }

  get isPausing(): boolean {
    return this.#held.length > 0 || this.#writers.size > 0;
  }

  /** The process writes some lines, and perhaps a part of the next one. */
  write(process: FakeProcess, isData: boolean): void {
    if (!mayWrite(process) || this.#flooding.has(process)) return;
    const count = this.#random.between(0, 4);
    if (!isData) {
      this.#writtenToLog += count;
      if (process.state !== 'running') this.#writtenLate += count;
      if (count > 0) process.write('stdout', 'a line\n'.repeat(count));
      return;
    }
    const writer = this.#writerOf(process);
    if (writer.isPaused) return;
    let text = '';
    for (let left = count; left > 0; left -= 1) text += this.#line(writer);
    if (writer.partial === '' && this.#random.chance(0.3)) {
      // A line is told by its pid, which is therefore never torn.
      writer.partial = `${process.identity.pid}.`;
      text += writer.partial;
    }
    this.#send(writer, Buffer.from(text));
  }

  /** More lines in a moment than the log takes at once, and more than one turn takes. */
  flood(process: FakeProcess, nowMs: number): void {
    if (!mayWrite(process) || this.#flooding.has(process)) return;
    this.#writtenToLog += FLOOD_LINES;
    this.#flooded += FLOOD_LINES;
    const before = this.#loggedLines;
    this.#flooding.add(process);
    const taken = process.write('stdout', 'flood\n'.repeat(FLOOD_LINES)) ?? Promise.resolve();
    taken.then(() => this.#flooding.delete(process));
    const passed = this.#loggedLines - before;
    if (passed > LIMITS.outputLinesPerTurn) this.#errors.push(`${passed} lines passed the log in one turn at ${nowMs}`);
  }

  /** A line that is longer than any may be: its rest is cut off. */
  overlong(process: FakeProcess): void {
    if (!mayWrite(process)) return;
    const writer = this.#writerOf(process);
    if (writer.isPaused || writer.partial !== '') return;
    const head = `${process.identity.pid}.`;
    this.#overlong += 1;
    writer.sent.push(head + OVERLONG.toString('latin1', 0, LIMITS.outputLineBytes - head.length));
    this.#send(writer, Buffer.concat([Buffer.from(head), OVERLONG, Buffer.from('\n')]));
  }

  data(line: Uint8Array): undefined | Promise<void> {
    const text = Buffer.from(line).toString('latin1');
    const writer = this.#writers.get(Number(text.slice(0, text.indexOf('.'))));
    if (writer === undefined) {
      this.#errors.push(`a line of nobody: ${text}`);
      return undefined;
    }
    writer.received.push(text);
    if (!this.#random.chance(0.2)) return undefined;
    return new Promise((resolve) => void this.#held.push(resolve));
  }

  removed(taskId: string): void {
    this.#removed.add(taskId);
    for (const writer of this.#writers.values()) if (writer.process.taskId === taskId) writer.isOrphan = true;
  }

  logged(): void {
    this.#loggedLines += 1;
  }

  dropped({ lines, cut }: Record<string, unknown>): void {
    this.#dropped += Number(lines);
    this.#cut += Number(cut);
  }

  /** The intake has room for all that waits. */
  drain(): void {
    for (const resolve of this.#held.splice(0)) resolve();
  }

  /** Whoever can write no more has been heard to the end. */
  check(): void {
    for (const [pid, { process, sent, partial, received, isOrphan }] of this.#writers) {
      if (!process.outputIsOver) continue;
      const all = partial === '' ? sent : [...sent, partial];
      const expected = isOrphan ? all.slice(0, received.length) : all;
      assert.deepEqual(received, expected, `the lines of ${process.taskId}, pid ${pid}`);
      this.#writers.delete(pid);
    }
  }

  /** At the very end: what was written to the log is there, or was told as dropped. */
  finish(): void {
    this.check();
    assert.equal(this.#writers.size, 0);
    // What is left of a flood, and what still comes, when its task is removed is nobody's.
    const lost = this.#writtenToLog - this.#loggedLines - this.#dropped;
    assert(
      lost >= 0 && lost <= this.#flooded + this.#writtenLate,
      `${lost} lines of the log were neither logged nor dropped`,
    );
    assert.equal(this.#cut, this.#overlong, 'lines cut');
  }

  #writerOf(process: FakeProcess): Writer {
    const { pid } = process.identity;
    let writer = this.#writers.get(pid);
    if (writer === undefined) {
      // Its first words may come when its task is removed already.
      const isOrphan = process.state !== 'running' && this.#removed.has(process.taskId);
      writer = { process, lines: 0, partial: '', sent: [], received: [], isPaused: false, isOrphan };
      this.#writers.set(pid, writer);
    }
    return writer;
  }

  /** What is missing of the next line, which counts as sent. */
  #line(writer: Writer): string {
    const line = `${writer.process.identity.pid}.${writer.lines}`;
    writer.lines += 1;
    writer.sent.push(line);
    const rest = line.slice(writer.partial.length);
    writer.partial = '';
    return `${rest}\n`;
  }

  #send(writer: Writer, bytes: Buffer): void {
    if (bytes.length === 0) return;
    const wait = writer.process.writeBytes('stdout', bytes);
    if (wait === undefined) return;
    writer.isPaused = true;
    wait.then(
      () => {
        writer.isPaused = false;
      },
      (error: unknown) => this.#errors.push(error),
    );
  }
}

function mayWrite(process: FakeProcess): boolean {
  return process.spawnedAtMs !== undefined && !process.outputIsOver;
}

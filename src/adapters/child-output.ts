import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, ProcessListener } from '../core/ports.js';

/** A listener that keeps output waiting may hold up the end of the reading for so many times `outputDrainMs`, or a
 *  promise that is never kept would hold a pipe for ever. */
const DRAINS_MAX = 10;

type StreamName = 'stdout' | 'stderr';

/** Carries what a child writes to its listener, no faster than it takes it, and not for ever once the child ended. */
export class ChildOutput {
  readonly #process: ChildProcess;
  readonly #listener: ProcessListener;
  readonly #clock: Clock;
  readonly #held = new Set<StreamName>();
  #told: (() => void) | undefined;
  #cancelQuiet: Cancel | undefined;
  #cancelLongest: Cancel | undefined;
  #cancelWait: Cancel | undefined;

  constructor(process: ChildProcess, listener: ProcessListener, clock: Clock) {
    this.#process = process;
    this.#listener = listener;
    this.#clock = clock;
  }

  follow(): void {
    const { stdout, stderr } = this.#process;
    if (stdout) this.#read('stdout', stdout);
    if (stderr) this.#read('stderr', stderr);
    this.#process.once('close', () => this.#ended());
  }

  /** The child ended. Reads what is still in the pipes until their end, but not for ever, since somebody who left the
   *  group may hold them open. Time in which the listener keeps output waiting is not the pipe's, and does not count.
   *  @returns When the end was told, or `outputDrainMs` have passed: nobody's next start waits longer for it. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#told = resolve;
      this.#cancelWait = this.#clock.after(LIMITS.outputDrainMs, resolve);
      this.#cancelLongest = this.#clock.after(DRAINS_MAX * LIMITS.outputDrainMs, () => this.#destroy());
      this.#countQuiet();
    });
  }

  #read(name: StreamName, stream: Readable): void {
    stream.on('data', (chunk: Uint8Array) => {
      const taken = this.#listener.output(name, chunk);
      if (taken === undefined) return;
      this.#held.add(name);
      stream.pause();
      this.#countQuiet();
      const goOn = () => this.#goOn(name, stream);
      taken.then(goOn, goOn);
    });
    // At its exit node:child_process resumes the streams of a child, whoever paused them.
    stream.on('resume', () => {
      if (this.#held.has(name)) stream.pause();
    });
    // A pipe that breaks is part of an end that 'exit' tells.
    stream.on('error', () => stream.destroy());
  }

  #goOn(name: StreamName, stream: Readable): void {
    this.#held.delete(name);
    stream.resume();
    this.#countQuiet();
  }

  #countQuiet(): void {
    if (!this.#told) return;
    this.#cancelQuiet?.();
    this.#cancelQuiet =
      this.#held.size > 0 ? undefined : this.#clock.after(LIMITS.outputDrainMs, () => this.#destroy());
  }

  #destroy(): void {
    this.#process.stdout?.destroy();
    this.#process.stderr?.destroy();
  }

  /** 'close' comes after the exit and the end of all pipes; also when it could not be started, which is no end. */
  #ended(): void {
    const told = this.#told;
    if (!told) return;
    this.#told = undefined;
    for (const cancel of [this.#cancelQuiet, this.#cancelLongest, this.#cancelWait]) cancel?.();
    this.#listener.outputEnded();
    told();
  }
}

import type { Clock } from '../core/ports.js';
import { isErrno } from './errno.js';
import { hasProc } from './proc.js';
import { type Lineage, type SweepResult, sweep } from './sweep.js';

const NOTHING_LEFT: SweepResult = { living: [], inGroup: false, complete: true };
const NOTHING_KNOWN: SweepResult = { living: [], inGroup: false, complete: false };

interface Waiting {
  readonly lineage: Lineage;
  readonly done: (result: SweepResult) => void;
}

/** Sweeps for all who ask for it in one turn together. Who asks while a pass is under way waits for the next, since
 *  that one may have looked past what he asks for already. */
export class Sweeper {
  readonly #clock: Clock;
  readonly #ofOthers: (group: number) => boolean;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(clock: Clock, ofOthers: (group: number) => boolean) {
    this.#clock = clock;
    this.#ofOthers = ofOthers;
  }

  /** Kills all that came from a child. Where /proc is not, nothing more can be found. */
  sweep(lineage: Lineage): Promise<SweepResult> {
    if (!hasProc()) return Promise.resolve(NOTHING_LEFT);
    return new Promise((done) => {
      this.#waiting.push({ lineage, done });
      if (this.#busy) return;
      this.#busy = true;
      this.#clock.soon(() => this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const asked = this.#waiting;
      this.#waiting = [];
      const results = await this.#look(asked.map(({ lineage }) => lineage));
      for (const { lineage, done } of asked) done(results.get(lineage) ?? NOTHING_KNOWN);
    }
    this.#busy = false;
  }

  /** A failure to look is not "nothing is left". */
  async #look(lineages: readonly Lineage[]): Promise<ReadonlyMap<Lineage, SweepResult>> {
    try {
      return await sweep(lineages, this.#ofOthers);
    } catch (error) {
      if (isErrno(error)) return new Map();
      throw error;
    }
  }
}

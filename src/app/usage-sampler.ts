import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, ProcessIdentity, ProcessUsage } from '../core/ports.js';

export interface UsagePorts {
  readonly clock: Clock;
  /** The leaders of the process trees to look at now. */
  leaders(): readonly ProcessIdentity[];
  usageOf(leaders: readonly ProcessIdentity[]): Promise<ReadonlyMap<number, ProcessUsage>>;
  /** After each sample. */
  sampled(usage: ReadonlyMap<number, ProcessUsage>): void;
  /** It could not look, or what follows from it failed. */
  failed(error: unknown): void;
}

/** CPU and memory of the workers, looked at once in a while, all in one go. */
export class UsageSampler {
  readonly #ports: UsagePorts;
  #latest: ReadonlyMap<number, ProcessUsage> = new Map();
  #cancel: Cancel | undefined;
  #isBusy = false;

  constructor(ports: UsagePorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#cancel ??= this.#ports.clock.every(LIMITS.usageMs, () => this.#sample());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** As of the last sample; undefined for a process that is younger than it. */
  latest(pid: number): ProcessUsage | undefined {
    return this.#latest.get(pid);
  }

  #sample(): void {
    const { leaders, usageOf, sampled, failed } = this.#ports;
    // One that takes longer than the pause to the next counts once.
    if (this.#isBusy) return;
    this.#isBusy = true;
    usageOf(leaders())
      .then((usage) => {
        this.#latest = usage;
        if (this.#cancel !== undefined) sampled(usage);
      })
      .catch(failed)
      .finally(() => {
        this.#isBusy = false;
      });
  }
}

import pidusage from 'pidusage';
import type { ProcessUsage } from '../core/ports.js';

const NONE: ReadonlyMap<number, ProcessUsage> = new Map();

let running: Promise<ReadonlyMap<number, ProcessUsage>> | undefined;

/** CPU and memory of processes, by pid; those that are gone are left out. One call at a time: concurrent ones leak
 *  descriptors in pidusage 4, so whoever asks meanwhile gets the answer that is under way. */
export function usageOf(pids: readonly number[]): Promise<ReadonlyMap<number, ProcessUsage>> {
  if (pids.length === 0) return Promise.resolve(NONE);
  running ??= sample(pids).finally(() => {
    running = undefined;
  });
  return running;
}

async function sample(pids: readonly number[]): Promise<ReadonlyMap<number, ProcessUsage>> {
  try {
    const figures = await pidusage([...pids]);
    return new Map(
      Object.entries(figures)
        .filter(([, figure]) => figure)
        .map(([pid, { cpu, memory }]) => [Number(pid), { cpuPercent: round(cpu), rssKb: Math.round(memory / 1_024) }]),
    );
  } catch {
    // A process that ends during the call fails it for all of them; the next sample is seconds away.
    return NONE;
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

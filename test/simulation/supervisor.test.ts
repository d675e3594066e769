import { test } from 'vitest';
import { Schedule } from './supervisor-schedule.js';

/** Random schedules of everything that can befall a supervisor, and what must hold after each step.
 *  SN_SIM_RUNS: how many, default 2000. SN_SIM_SEED: the one to replay. */
const RUNS = Number(process.env.SN_SIM_RUNS ?? 2_000);
const REPLAY = process.env.SN_SIM_SEED;
const STEPS = 25;

test(
  'whatever is commanded and whatever dies, no worker has two processes and each start has a reason',
  async () => {
    const first = REPLAY === undefined ? Math.floor(Math.random() * 1e9) : Number(REPLAY);
    const last = REPLAY === undefined ? first + RUNS - 1 : first;
    // Most errors here are refusals that are expected, and a trace costs more than the rest of them.
    if (REPLAY === undefined) Error.stackTraceLimit = 0;
    const beganMs = performance.now();
    for (let seed = first; seed <= last; seed += 1) {
      const schedule = new Schedule(seed);
      try {
        await schedule.run(STEPS);
      } catch (error) {
        const trace = REPLAY === undefined ? '' : `\n${schedule.steps.join('\n')}`;
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`${why}\nreplay with SN_SIM_SEED=${seed}${trace}`, { cause: error });
      }
    }
    Error.stackTraceLimit = 10;
    const runs = last - first + 1;
    const seconds = (performance.now() - beganMs) / 1_000;
    console.log(`${runs} schedules from seed ${first}, ${Math.round(runs / seconds)} a second`);
  },
  60_000 + 12 * RUNS,
);

// From SIGKILL of a worker to the first act of the next one.
import { setTimeout as pause } from 'node:timers/promises';
import { nodeWith, pm2With } from '../lib/contestants.mjs';
import { openFifo } from '../lib/fifo.mjs';
import { script, startNode, stop } from '../lib/processes.mjs';
import { met } from '../lib/report.mjs';
import { alternate, median, pairedDifference, pairedRatio, quantile } from '../lib/stats.mjs';
import { left, remember } from '../lib/tidy.mjs';

const GOAL_MS = 10;
/** What the last start left to do must not slow the next one. Three supervisors take turns, so that each restarts less
 *  than three times a second: no limit on restarts is met. */
const QUIET_MS = 120;
const ROUNDS = { quick: 20, full: 50 };
const PROGRAMS = {
  '/bin/sh': (fifo) => ['/bin/sh', '-c', 'echo $$ > "$0"; exec sleep 1000', fifo],
  'a Node script': (fifo) => [process.execPath, script('announcer.mjs'), fifo],
};
/** PM2 gives up on what ran less than `min_uptime` 16 times; how fast it restarts does not depend on it. 100 is the
 *  least it takes. */
const PM2_APP = { restart_delay: 0, min_uptime: 100 };

export async function measureRestarts({ quick, pm2 }) {
  const rounds = quick ? ROUNDS.quick : ROUNDS.full;
  const supervisors = {
    bare: async (command) => {
      const child = startNode(script('bare-spawner.mjs'), command, { talk: 'not' });
      return { pid: child.pid, stop: () => stop(child) };
    },
    node: (command) => nodeWith([command], { backoff: { initial_ms: 0 } }),
    pm2: (command) => pm2With(pm2.command, [command], { app: PM2_APP }),
  };
  const rows = [];
  const details = [];
  for (const [program, commandOf] of Object.entries(PROGRAMS)) {
    const results = await killInTurns(rounds, supervisors, commandOf);
    const extra = pairedDifference(results.node, results.bare);
    const ratio = pairedRatio(results.node, results.pm2);
    rows.push({
      program,
      'bare spawn ms (p95)': times(results.bare),
      'node ms (p95)': times(results.node),
      'PM2 ms (p95)': times(results.pm2),
      'node − bare, ms': extra.toFixed(1),
      'PM2 − bare, ms': pairedDifference(results.pm2, results.bare).toFixed(1),
      'node / PM2': ratio.toFixed(2),
      [`goal ≤ bare + ${GOAL_MS}, < PM2`]: met(extra <= GOAL_MS && ratio < 1),
    });
    details.push({ program, results });
  }
  return [{ title: `SIGKILL to the next start, medians of ${rounds}`, rows, details }];
}

async function killInTurns(rounds, supervisors, commandOf) {
  const supervised = {};
  for (const [name, start] of Object.entries(supervisors)) {
    const fifo = openFifo();
    const supervisor = await start(commandOf(fifo.path));
    const { text } = await fifo.line();
    supervised[name] = { fifo, supervisor, pid: Number(text) };
    remember(supervisor.pid);
  }
  const turns = Object.entries(supervised).map(([name, one]) => [name, () => kill(one)]);
  const results = await alternate(rounds, Object.fromEntries(turns));
  for (const { fifo, supervisor } of Object.values(supervised)) {
    remember(supervisor.pid);
    await supervisor.stop();
    fifo.close();
  }
  if ((await left()) > 0) console.error('restart: a worker outlived its supervisor');
  return results;
}

async function kill(supervised) {
  await pause(QUIET_MS);
  const killedMs = performance.now();
  process.kill(supervised.pid, 'SIGKILL');
  const { text, atMs } = await supervised.fifo.line();
  supervised.pid = Number(text);
  return atMs - killedMs;
}

function times(values) {
  return `${median(values).toFixed(1)} (${quantile(values, 0.95).toFixed(1)})`;
}

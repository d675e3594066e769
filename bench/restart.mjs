// From SIGKILL of a worker to the first act of the next one: the node, with no pause between, against a bare
// child_process.spawn on 'exit'. Goal: at most 10 ms more at the median.
import { setTimeout as pause } from 'node:timers/promises';
import { openFifo } from './lib/fifo.mjs';
import { runNode } from './lib/node.mjs';
import { script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { alternate, median, pairedDifference, quantile } from './lib/stats.mjs';

const GOAL_MS = 10;
const QUIET_MS = 100;
const PROGRAMS = {
  '/bin/sh': (fifo) => ['/bin/sh', '-c', 'echo $$ > "$0"; exec sleep 1000', fifo],
  'a Node script': (fifo) => [process.execPath, script('announcer.mjs'), fifo],
};
const SUPERVISORS = {
  bare: async (command) => startNode(script('bare-spawner.mjs'), command, { talk: 'not' }),
  node: async (command) => {
    const worker = { command, ready: 'spawn', backoff: { initial_ms: 0 } };
    const { child, client } = await runNode({ workers: { worker }, tasks: [{ task_id: 'bench', worker: 'worker' }] });
    client.close();
    return child;
  },
};

const given = options('SIGKILL of a worker to its next start: the node against a bare spawn', {
  rounds: { default: '50', help: 'kills per program and supervisor' },
});
const rounds = count(given.rounds, 'rounds');

const rows = [];
const details = [];
for (const [program, commandOf] of Object.entries(PROGRAMS)) {
  const supervised = {};
  for (const [name, start] of Object.entries(SUPERVISORS)) {
    const fifo = openFifo();
    const supervisor = await start(commandOf(fifo.path));
    const { text } = await fifo.line();
    supervised[name] = { fifo, supervisor, pid: Number(text) };
  }
  const results = await alternate(rounds, { bare: () => kill(supervised.bare), node: () => kill(supervised.node) });
  for (const { fifo, supervisor } of Object.values(supervised)) {
    await stop(supervisor);
    fifo.close();
  }
  const extra = pairedDifference(results.node, results.bare);
  rows.push({
    program,
    'bare spawn ms': median(results.bare).toFixed(1),
    'node ms': median(results.node).toFixed(1),
    'node p90 ms': quantile(results.node, 0.9).toFixed(1),
    'more, ms': extra.toFixed(1),
    [`goal ≤ ${GOAL_MS}`]: met(extra <= GOAL_MS),
  });
  details.push({ program, results });
}
print(given, [{ title: `SIGKILL to the next start, medians of ${rounds}`, rows, details }]);

async function kill(supervised) {
  // What the last start left to do must not slow this one.
  await pause(QUIET_MS);
  const killedMs = performance.now();
  process.kill(supervised.pid, 'SIGKILL');
  const { text, atMs } = await supervised.fifo.line();
  supervised.pid = Number(text);
  return atMs - killedMs;
}

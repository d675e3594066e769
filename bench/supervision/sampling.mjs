// What it costs a node to look at its processes once, against pidusage called for the same ones.
import { readdirSync } from 'node:fs';
import { message, runScript, script, startNode, stop } from '../lib/processes.mjs';
import { alternate, median, pairedRatio } from '../lib/stats.mjs';
import { left, remember } from '../lib/tidy.mjs';

const PIDS = [10, 100, 400];
const ROUNDS = { quick: 2, full: 3 };
const WARM_UP = 20;
const LOOKS = 60;

export async function measureSampling({ quick }) {
  const rounds = quick ? ROUNDS.quick : ROUNDS.full;
  const rows = [];
  const details = [];
  for (const count of PIDS) {
    const sleeps = startNode(script('bare-loop.mjs'), [String(count), '/bin/sleep', '100000']);
    const { pids } = await message(sleeps);
    remember(sleeps.pid);
    const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length;
    // A process each time: they keep what they learned of a pid, and what they compiled.
    const results = await alternate(rounds, {
      node: async () => sample('node', pids),
      pidusage: async () => sample('pidusage', pids),
    });
    await stop(sleeps);
    rows.push({
      processes: count,
      'on the machine': all,
      'pidusage, CPU ms': range(results.pidusage),
      'node, CPU ms': range(results.node),
      'node / pidusage': pairedRatio(results.node, results.pidusage).toFixed(2),
      '% of a core, each 2 s': (median(results.node) / 20).toFixed(2),
    });
    details.push({ count, results });
  }
  if ((await left()) > 0) console.error('sampling: a process was left');
  const title = `One look at processes: medians of ${rounds} processes with ${LOOKS} looks each, after ${WARM_UP} to warm up`;
  return [{ title, rows, details }];
}

function sample(kind, pids) {
  const { cpuMs, found } = JSON.parse(
    runScript(script('sampler.mjs'), [kind, String(WARM_UP), String(LOOKS), ...pids.map(String)]),
  );
  if (found !== pids.length) throw new Error(`${kind}: expected ${pids.length} processes in each look, got ${found}`);
  return cpuMs;
}

function range(values) {
  return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
}

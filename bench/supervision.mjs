// What it costs to supervise, beside PM2 in the same run: restarts, memory, CPU, many starts, looking at processes.
// About 7 minutes; the first run installs PM2 into the system's temporary folder.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { installPm2 } from './lib/pm2.mjs';
import { print } from './lib/report.mjs';
import { measureCpu } from './supervision/cpu.mjs';
import { measureMemory } from './supervision/memory.mjs';
import { measureRestarts } from './supervision/restart.mjs';
import { measureSampling } from './supervision/sampling.mjs';
import { measureStarts } from './supervision/start.mjs';

const PARTS = {
  restart: measureRestarts,
  rss: measureMemory,
  cpu: measureCpu,
  start: measureStarts,
  sampling: measureSampling,
};
const WITHOUT_PM2 = 'sampling';
const HELP = `What it costs to supervise: a node beside PM2 and a bare spawn

  --only PART    one of ${Object.keys(PARTS).join(', ')} (default all)
  --quick        fewer rounds, shorter windows
  --json         one JSON document instead of tables`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const { only, quick = false } = values;
if (only !== undefined && !Object.hasOwn(PARTS, only)) {
  throw new Error(`--only: expected one of ${Object.keys(PARTS).join(', ')}, got ${only}`);
}
const pm2 = only === WITHOUT_PM2 ? undefined : installPm2();
const tables = [];
for (const [name, measure] of Object.entries(PARTS)) {
  if (only !== undefined && only !== name) continue;
  const startedMs = performance.now();
  const found = await measure({ quick, pm2 });
  // Above the number of processors, others take part of every time.
  const [load] = loadavg();
  console.error(`${name}: ${((performance.now() - startedMs) / 1_000).toFixed(0)} s, load ${load.toFixed(1)}`);
  if (!values.json) print({}, found);
  tables.push(...found);
}
if (values.json) print({ json: true }, tables);

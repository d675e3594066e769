// Cold start: from spawn to the first accepted CONNECT, the command line's `run` against a bare Aedes script; and what
// each module costs to load. No goal of its own: the figure to watch.
import { pathToFileURL } from 'node:url';
import { accepted, writeConfig } from './lib/node.mjs';
import { cpuMs } from './lib/proc.mjs';
import { CLI, runScript, script, stop } from './lib/processes.mjs';
import { count, options, print } from './lib/report.mjs';
import { alternate, median, pairedDifference, pairedRatio, quantile } from './lib/stats.mjs';

/** In the order in which `run` needs them; what is left for our own files comes last. */
const MODULES = [
  'commander',
  '@sinclair/typebox',
  '@sinclair/typebox/value',
  'yaml',
  'aedes',
  'websocket-stream',
  'pino',
  'pino-pretty',
  ...['cli/program.js', 'app/config-file.js', 'app/daemon.js'].map((path) => `dist/${path}`),
];

const given = options('Cold start of a node against a bare Aedes', {
  rounds: { default: '15', help: 'starts of each' },
  imports: { default: '7', help: 'processes in which loading is measured' },
});
const rounds = count(given.rounds, 'rounds');
const loads = count(given.imports, 'imports');

const config = writeConfig({});
const started = await alternate(rounds, {
  bare: () => start(script('bare-aedes.mjs')),
  node: () => start(CLI, ['run', '-c', config]),
});
const startRows = Object.entries(started).map(([broker, results]) => {
  const wall = results.map(({ wallMs }) => wallMs);
  const cpu = results.map(({ cpu }) => cpu);
  return {
    broker: broker === 'bare' ? 'bare Aedes' : 'super-node run',
    'median ms': median(wall).toFixed(0),
    'p90 ms': quantile(wall, 0.9).toFixed(0),
    'CPU ms': median(cpu).toFixed(0),
    'more, ms': pairedDifference(
      wall,
      started.bare.map(({ wallMs }) => wallMs),
    ).toFixed(0),
    'CPU ratio': pairedRatio(
      cpu,
      started.bare.map(({ cpu }) => cpu),
    ).toFixed(2),
  };
});

const specifiers = MODULES.map((name) =>
  name.startsWith('dist/') ? pathToFileURL(CLI.replace('cli/main.js', name.slice('dist/'.length))).href : name,
);
const loaded = await alternate(loads, {
  run: async () => JSON.parse(runScript(script('import-time.mjs'), specifiers)),
});
const importRows = [
  { module: 'Node itself, to its first line of ours', 'median ms': median(loaded.run.map(({ bootMs }) => bootMs)) },
  ...MODULES.map((module, at) => ({ module, 'median ms': median(loaded.run.map(({ took }) => took[at])) })),
];
const sum = importRows.reduce((total, row) => total + row['median ms'], 0);
importRows.push({ module: 'together', 'median ms': sum });
for (const row of importRows) row['median ms'] = row['median ms'].toFixed(1);

print(given, [
  { title: `Spawn to the first accepted CONNECT, medians of ${rounds}`, rows: startRows, details: started },
  {
    title: `Where it goes: loading modules one after the other, medians of ${loads}`,
    rows: importRows,
    details: loaded,
  },
]);

async function start(file, args) {
  const startedMs = performance.now();
  const { child, client } = await accepted(file, args);
  const wallMs = performance.now() - startedMs;
  const cpu = cpuMs(child.pid);
  client.close();
  await stop(child);
  return { wallMs, cpu };
}

// Resident memory of a broker process: idle, with idle connections, and (the node) with workers that do nothing.
// No goal of its own: the figure to watch.
import { setTimeout as pause } from 'node:timers/promises';
import { openMqtt } from './lib/mqtt.mjs';
import { accepted, runNode } from './lib/node.mjs';
import { memoryKb } from './lib/proc.mjs';
import { script, stop } from './lib/processes.mjs';
import { count, options, print } from './lib/report.mjs';
import { States } from './lib/states.mjs';
import { alternate, median } from './lib/stats.mjs';

const SETTLE_MS = 3_000;
const START_MS = 60_000;

const given = options('Memory of the node and of a bare Aedes', {
  rounds: { default: '3', help: 'processes measured for each figure' },
  connections: { default: '100', help: 'idle MQTT connections' },
  workers: { default: '100', help: 'workers `sleep 1000`, ready when spawned' },
});
const rounds = count(given.rounds, 'rounds');
const connections = count(given.connections, 'connections');
const workers = count(given.workers, 'workers');

const results = await alternate(rounds, {
  'bare Aedes, idle': () => measure(bare),
  'node, idle': () => measure(() => runNode({})),
  [`bare Aedes, ${connections} connections`]: () => measure(bare, connect),
  [`node, ${connections} connections`]: () => measure(() => runNode({}), connect),
  [`node, ${workers} workers`]: () => measure(() => runNode(withWorkers()), allReady),
});
const rows = Object.entries(results).map(([name, kb]) => ({
  process: name,
  'RSS MiB': mib(median(kb)),
  'least to most': `${mib(Math.min(...kb))} to ${mib(Math.max(...kb))}`,
}));
print(given, [{ title: `RSS ${SETTLE_MS / 1_000} s after all is up, medians of ${rounds}`, rows, details: results }]);

function bare() {
  return accepted(script('bare-aedes.mjs'));
}

function withWorkers() {
  const worker = { command: ['sleep', '1000'], ready: 'spawn', second_sig_duration: 100 };
  const tasks = Array.from({ length: workers }, (_, index) => ({ task_id: `bench${index}`, worker: 'worker' }));
  return { workers: { worker }, tasks };
}

async function measure(start, prepare = async () => []) {
  const broker = await start();
  const clients = await prepare(broker);
  await pause(SETTLE_MS);
  const kb = memoryKb(broker.child.pid);
  for (const client of [broker.client, ...clients]) client.close();
  await stop(broker.child);
  return kb;
}

async function connect({ port }) {
  const clients = [];
  for (let index = 0; index < connections; index++) clients.push(await openMqtt(port, `idle${index}`));
  return clients;
}

async function allReady({ client }) {
  const states = new States(client);
  await client.subscribe('m/state/+', 1);
  for (let index = 0; index < workers; index++) await states.reached(`bench${index}`, 'ready', START_MS);
  return [];
}

function mib(kb) {
  return (kb / 1_024).toFixed(1);
}

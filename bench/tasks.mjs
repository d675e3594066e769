// One put at a time, by how many tasks there are: CPU and latency with 10, with 1 000 and with 10 000. Goal: flat, that is
// at most 20 % more than with the fewest.
import { setTimeout as pause } from 'node:timers/promises';
import { diskFolder } from './lib/disk.mjs';
import { runNode } from './lib/node.mjs';
import { cpuMs, settledCpuMs } from './lib/proc.mjs';
import { ask, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { alternate, median, pairedRatio, quantile } from './lib/stats.mjs';

const GOAL = 1.2;
const PLENTY = { length: 10_000_000, bytes: 2 ** 34 };
const FEW = 10;
/** Of the tasks that the node allows, so many may come into being by a put. */
const AUTO_SHARE = 0.8;
const REGISTER_WINDOW = 500;
/** So that all nodes have done the same before they are measured, and compiled their code. */
const WARM_UP = 20_000;
const PAYLOAD_BYTES = 100;

const given = options('CPU and latency of a single put, by the number of tasks', {
  rounds: { default: '3', help: 'measured runs of each case' },
  tasks: { default: '10,1000,10000', help: 'how many tasks there are, the fewest first' },
  disk: { default: '3000', help: 'durable puts of one run' },
  memory: { default: '20000', help: 'puts into memory of one run' },
  idle: { default: '2', help: 'seconds for which an idle node is watched' },
  profile: { default: '', help: 'folder for CPU profiles of the node' },
});
const rounds = count(given.rounds, 'rounds');
const numbers = given.tasks.split(',').map((text) => count(text, 'tasks'));
const idleMs = count(given.idle, 'idle') * 1_000;
const execArgv = given.profile ? ['--cpu-prof', '--cpu-prof-dir', given.profile] : [];

const load = startNode(script('load.mjs'), [], { cpu: 1 });
const rows = [];
const details = [];
for (const storage of ['disk', 'memory']) {
  const puts = count(given[storage], storage);
  // A process for each run: several that are there together disturb each other at the disk.
  const candidates = Object.fromEntries(numbers.map((number) => [number, () => run(storage, number, puts)]));
  const results = await alternate(rounds, candidates);
  for (const to of ['few', 'all']) rows.push(...numbers.map((number) => row(storage, number, to, results)));
  details.push({ storage, results });
}
await stop(load);
print(given, [{ title: `One put of ${PAYLOAD_BYTES} B at a time, QoS 1, medians of ${rounds}`, rows, details }]);

function row(storage, number, to, results) {
  const of = (name, which) => results[which].map((result) => result[to][name]);
  const ratio = (name) => pairedRatio(of(name, number), of(name, numbers[0]));
  return {
    storage,
    tasks: number,
    'put to': to === 'few' ? FEW : number,
    'CPU µs a put': median(of('us', number)).toFixed(1),
    'median ms': median(of('medianMs', number)).toFixed(3),
    'p99 ms': median(of('p99Ms', number)).toFixed(3),
    'idle, % of a core': (100 * median(results[number].map(({ idle }) => idle))).toFixed(1),
    'CPU ÷ fewest': ratio('us').toFixed(2),
    'median ÷ fewest': ratio('medianMs').toFixed(2),
    [`goal ≤ ${GOAL}`]: met(ratio('us') <= GOAL && ratio('medianMs') <= GOAL),
  };
}

async function run(storage, number, puts) {
  const { child, port, topics } = await node(storage, number);
  const idle = await idleShare(child.pid);
  const few = await measure(child.pid, port, topics.slice(0, FEW), puts, idle);
  const all = await measure(child.pid, port, topics, puts, idle);
  await stop(child);
  return { idle, few, all };
}

/** What the node does anyway is not counted: it is in a column of its own. */
async function measure(pid, port, topics, puts, idle) {
  const startedMs = performance.now();
  const before = cpuMs(pid);
  const { ackMs } = await put(port, topics, puts, 1);
  const cpuUs = (cpuMs(pid) - before - idle * (performance.now() - startedMs)) * 1_000;
  return { us: cpuUs / puts, medianMs: median(ackMs), p99Ms: quantile(ackMs, 0.99) };
}

/** Tasks that came into being by a put each. */
async function node(storage, number) {
  const limits = { tasks: Math.ceil(number / AUTO_SHARE), queue_bytes: PLENTY.bytes };
  const config = { data_dir: diskFolder(), queue: { storage, ...PLENTY }, limits };
  const { child, port } = await runNode(config, { cpu: 0, execArgv });
  const topics = Array.from({ length: number }, (_, index) => `w/ch/bench${String(index).padStart(5, '0')}`);
  await put(port, topics, Math.max(number, WARM_UP), REGISTER_WINDOW);
  await settledCpuMs(child.pid);
  return { child, port, topics };
}

async function put(port, topics, amount, windowMax) {
  const what = { port, topics, qos: 1, payloadBytes: PAYLOAD_BYTES, count: amount, windowMax };
  const answer = await ask(load, what);
  if (answer.acknowledged !== amount) throw new Error(`expected ${amount} PUBACKs, got ${answer.acknowledged}`);
  return answer;
}

/** The share of a core that a node takes to which nobody speaks. */
async function idleShare(pid) {
  const before = cpuMs(pid);
  await pause(idleMs);
  return (cpuMs(pid) - before) / idleMs;
}

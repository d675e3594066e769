// CPU per message of a broker process that is published to: plain Aedes against the same Aedes with the node attached.
// Goal: at most 1.15 times Aedes' CPU.
import { cpuMs, memoryKb, settledCpuMs } from './lib/proc.mjs';
import { message, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { alternate, median, pairedRatio } from './lib/stats.mjs';

const GOAL = 1.15;
const TASK = 'bench';
const PUT = `w/ch/${TASK}`;
const PLACES = [
  { to: 'a task, nobody listens', topic: PUT },
  { to: 'a task, one subscriber', topic: PUT, subscribe: { plain: PUT, node: `m/data/${TASK}` } },
  { to: 'an ordinary topic, nobody listens', topic: 'plant/line' },
  {
    to: 'an ordinary topic, one subscriber',
    topic: 'plant/line',
    subscribe: { plain: 'plant/line', node: 'plant/line' },
  },
];

const given = options('CPU per published message: the node against plain Aedes', {
  rounds: { default: '5', help: 'measured runs of each broker per case' },
  messages: { default: '100000', help: 'publishes of one run' },
  window: { default: '500', help: 'QoS 1 publishes without PUBACK' },
  only: { default: '', help: 'only cases whose name contains this, such as "QoS 1, 100 B"' },
  profile: { default: '', help: 'folder for CPU profiles of both brokers' },
});
const rounds = count(given.rounds, 'rounds');
const messages = count(given.messages, 'messages');
const windowMax = count(given.window, 'window');
const execArgv = given.profile ? ['--cpu-prof', '--cpu-prof-dir', given.profile] : [];

const cases = PLACES.flatMap((place) =>
  [0, 1].flatMap((qos) =>
    [100, 1_024].map((payloadBytes) => ({
      ...place,
      qos,
      payloadBytes,
      name: `QoS ${qos}, ${payloadBytes} B, ${place.to}`,
    })),
  ),
).filter(({ name }) => name.includes(given.only));

const load = startNode(script('load.mjs'), [], { cpu: 1 });
const rows = [];
const details = [];
for (const each of cases) {
  const { row, detail } = await measure(each);
  rows.push(row);
  details.push(detail);
}
await stop(load);
print(given, [{ title: `CPU µs per message, medians of ${rounds} × ${messages}`, rows, details }]);

async function measure({ name, topic, subscribe, qos, payloadBytes }) {
  const brokers = { plain: startNode(script('broker.mjs'), ['plain'], { cpu: 0, execArgv }) };
  brokers.node = startNode(script('broker.mjs'), ['node', TASK], { cpu: 0, execArgv });
  const ports = {};
  for (const [kind, broker] of Object.entries(brokers)) ports[kind] = (await message(broker)).port;

  const run = async (kind) => {
    const { pid } = brokers[kind];
    const before = cpuMs(pid);
    const order = { port: ports[kind], topic, qos, payloadBytes, count: messages, windowMax };
    load.send({ ...order, subscribe: subscribe?.[kind] });
    const { error, received, publishMs } = await message(load);
    if (error) throw new Error(`${name}, ${kind}: ${error}`);
    const cpuUs = ((await settledCpuMs(pid)) - before) * 1_000;
    const lost = subscribe ? messages - received : 0;
    return { us: cpuUs / messages, perSecond: (messages / publishMs) * 1_000, lost };
  };
  const candidates = { node: () => run('node'), plain: () => run('plain') };
  await alternate(1, candidates);
  const results = await alternate(rounds, candidates);
  const peakKb = { node: memoryKb(brokers.node.pid, 'VmHWM'), plain: memoryKb(brokers.plain.pid, 'VmHWM') };
  await Promise.all(Object.values(brokers).map(stop));

  const node = results.node.map(({ us }) => us);
  const plain = results.plain.map(({ us }) => us);
  const ratio = pairedRatio(node, plain);
  const share = (runs) => ((100 * runs.reduce((sum, { lost }) => sum + lost, 0)) / (runs.length * messages)).toFixed(1);
  const mib = (kb) => Math.round(kb / 1_024);
  const row = {
    case: name,
    'Aedes µs': median(plain).toFixed(2),
    'node µs': median(node).toFixed(2),
    ratio: ratio.toFixed(2),
    [`goal ≤ ${GOAL}`]: met(ratio <= GOAL),
    'peak RSS MiB, Aedes / node': `${mib(peakKb.plain)} / ${mib(peakKb.node)}`,
    'lost %, Aedes / node': `${share(results.plain)} / ${share(results.node)}`,
  };
  return { row, detail: { name, results, peakKb } };
}

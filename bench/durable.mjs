// CPU per durable message that is taken in and kept for somebody who is away: the node's queue on disk and in memory,
// Mosquitto's and NATS's stored sessions. Goal: the node's disk cheaper than either.
import { setTimeout as pause } from 'node:timers/promises';
import { diskFolder, mibOnDisk } from './lib/disk.mjs';
import { openMqtt } from './lib/mqtt.mjs';
import { runNode } from './lib/node.mjs';
import { cpuMs, settledCpuMs } from './lib/proc.mjs';
import { ask, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { requests } from './lib/requests.mjs';
import { installed, startMosquitto, startNats, versionOf } from './lib/rivals.mjs';
import { alternate, median, pairedRatio } from './lib/stats.mjs';

const OURS = 'node, disk';
const SIZES = [100, 1_024];
const PLENTY_BYTES = 2 ** 34;
/** What a broker does a little later belongs to its messages. */
const LATER_MS = 1_100;
const AWAY = { id: 'away', topic: 'bench/durable' };

const given = options('CPU per durable QoS 1 message taken in: the node, Mosquitto, NATS', {
  rounds: { default: '3', help: 'measured runs of each broker per size' },
  messages: { default: '50000', help: 'publishes of one run' },
  window: { default: '500', help: 'publishes without PUBACK' },
  'save-every': { default: '10000', help: 'messages after which Mosquitto writes all it holds to its file' },
  only: { default: '', help: 'only brokers whose name contains this, beside the node on disk' },
  profile: { default: '', help: 'folder for CPU profiles of the node' },
});
const rounds = count(given.rounds, 'rounds');
const messages = count(given.messages, 'messages');
const windowMax = count(given.window, 'window');
const saveEvery = count(given['save-every'], 'save-every');
const execArgv = given.profile ? ['--cpu-prof', '--cpu-prof-dir', given.profile] : [];

const paths = installed('mosquitto', 'nats-server');
const mosquitto = (settings) => () => away(startMosquitto(paths.mosquitto, { cpu: 0, ...settings }));
const nats = (settings) => () => away(startNats(paths['nats-server'], { cpu: 0, ...settings }));
const BROKERS = {
  [OURS]: { start: () => node('disk'), flushes: 'yes' },
  'node, memory': { start: () => node('memory'), flushes: 'no disk' },
  [`Mosquitto, saves each ${saveEvery}`]: { start: mosquitto({ saveEvery }), flushes: 'no', goal: true },
  'Mosquitto, saves later': { start: mosquitto({}), flushes: 'not written' },
  'NATS, default': { start: nats({}), flushes: 'no', goal: true },
  'NATS, sync always': { start: nats({ sync: 'always' }), flushes: 'yes', goal: true },
};

const load = startNode(script('load.mjs'), [], { cpu: 1 });
const brokers = {};
for (const [name, { start }] of Object.entries(BROKERS)) {
  if (name !== OURS && !name.includes(given.only)) continue;
  const broker = await start();
  if (broker) brokers[name] = broker;
  else console.error(`${name}: left out, this version knows no such setting`);
}
const rows = [];
const details = [];
for (const payloadBytes of SIZES) {
  const candidates = Object.fromEntries(
    Object.entries(brokers).map(([name, broker]) => [name, () => run(name, broker, payloadBytes)]),
  );
  await alternate(1, candidates);
  const results = await alternate(rounds, candidates);
  rows.push(...Object.keys(results).map((name) => row(name, payloadBytes, results)));
  details.push({ payloadBytes, results });
}
await Promise.all([load, ...Object.values(brokers).map(({ child }) => child)].map(stop));
const versions = `${versionOf(paths.mosquitto, '-h')}, ${versionOf(paths['nats-server'])}`;
const title = `QoS 1 into what is kept, window ${windowMax}, medians of ${rounds} × ${messages}; ${versions}`;
print(given, [{ title, rows, details }]);

function row(name, payloadBytes, results) {
  const us = (broker) => results[broker].map((result) => result.us);
  const ratio = pairedRatio(us(name), us(OURS));
  return {
    broker: name,
    bytes: payloadBytes,
    'CPU µs a message': median(us(name)).toFixed(2),
    'messages a second': Math.round(median(results[name].map(({ perSecond }) => perSecond))),
    'flushed before PUBACK': BROKERS[name].flushes,
    'MiB on disk at the end': results[name].at(-1).mib.toFixed(0),
    '÷ node, disk': ratio.toFixed(2),
    'goal > 1': BROKERS[name].goal ? met(ratio > 1) : '',
  };
}

async function run(name, { child, port, folder, prepare, forget }, payloadBytes) {
  const topic = await prepare();
  await settledCpuMs(child.pid);
  const before = cpuMs(child.pid);
  const what = { port, topic, qos: 1, payloadBytes, count: messages, windowMax };
  const { acknowledged, publishMs } = await ask(load, what);
  if (acknowledged !== messages) throw new Error(`${name}: expected ${messages} PUBACKs, got ${acknowledged}`);
  await pause(LATER_MS);
  const cpuUs = ((await settledCpuMs(child.pid)) - before) * 1_000;
  const mib = mibOnDisk(folder);
  await forget();
  return { us: cpuUs / messages, perSecond: (messages / publishMs) * 1_000, mib };
}

/** A task for each run. On disk the earlier ones stay: deleting them little by little would count with the next run. */
async function node(storage) {
  const folder = diskFolder();
  const queue = { storage, length: 10_000_000, bytes: PLENTY_BYTES, overflow: 'drop_oldest' };
  const limits = { queue_bytes: PLENTY_BYTES, queue_disk_bytes: PLENTY_BYTES };
  const { child, port, client } = await runNode({ data_dir: folder, queue, limits }, { cpu: 0, execArgv });
  const request = await requests(client);
  let runs = 0;
  const task = () => `bench${runs}`;
  const prepare = async () => {
    runs++;
    return `w/ch/${task()}`;
  };
  const forget = async () => {
    const { queue: held } = await request(`m/stat/${task()}`);
    if (held.length !== messages) throw new Error(`node, ${storage}: expected ${messages} entries, got ${held.length}`);
    if (storage === 'memory') await request('m/cmd', { cmd: 'remove', task_id: task() });
  };
  return { child, port, folder, prepare, forget };
}

/** A broker that keeps messages for a session whose client is away: a new one for each run. */
async function away(starting) {
  const broker = await starting;
  if (!broker) return undefined;
  const visit = async (clean) => {
    const client = await openMqtt(broker.port, AWAY.id, { clean });
    if (!clean) await client.subscribe(AWAY.topic, 1);
    await client.close();
  };
  const prepare = async () => {
    await visit(false);
    return AWAY.topic;
  };
  return { ...broker, prepare, forget: () => visit(true) };
}

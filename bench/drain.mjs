// CPU of the server per entry that is taken out: the node's queue on disk and in memory, by fetch and by subscription,
// beside a Redis stream that flushes each time. Goal: the node's disk cheaper than Redis.
import { diskFolder } from './lib/disk.mjs';
import { runNode } from './lib/node.mjs';
import { cpuMs, settledCpuMs } from './lib/proc.mjs';
import { ask, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { requests } from './lib/requests.mjs';
import { command, openRedis } from './lib/resp.mjs';
import { installed, startRedis, versionOf } from './lib/rivals.mjs';
import { alternate, median, pairedRatio } from './lib/stats.mjs';

const GROUP = 'bench';
const NAME = 'bench';
/** As much as the node keeps of its disk in memory, and more: what was put before is then on the disk alone. */
const FLUSHER = { name: 'other', payloadBytes: 65_536, count: 400 };
const SIZES = [100, 1_024];
const PLENTY_BYTES = 2 ** 34;
const WINDOW = 500;
/** As many entries as the node hands to one who takes before it is told. */
const PREFETCH = 32;

const given = options('CPU of the server per entry taken out: the node and Redis Streams', {
  rounds: { default: '3', help: 'measured runs of each way per size' },
  entries: { default: '50000', help: 'entries of one run' },
  batch: { default: '100', help: 'entries of one fetch, and of one XREADGROUP' },
  only: { default: '', help: 'only ways whose name contains this, beside the last of Redis' },
  profile: { default: '', help: 'folder for CPU profiles of the node' },
});
const rounds = count(given.rounds, 'rounds');
const entries = count(given.entries, 'entries');
const batch = count(given.batch, 'batch');
const execArgv = given.profile ? ['--cpu-prof', '--cpu-prof-dir', given.profile] : [];

const path = installed('redis-server')['redis-server'];
const load = startNode(script('load.mjs'), [], { cpu: 1 });
const taker = startNode(script('taker.mjs'), [], { cpu: 1 });
const servers = { disk: await node('disk'), memory: await node('memory'), redis: await redis() };
const THEIRS = 'Redis, XACK and XDEL';
const ALL_WAYS = {
  [`node disk, fetch ${batch}`]: { server: servers.disk, how: 'fetch', goal: true },
  'node disk, take': { server: servers.disk, how: 'take', goal: true },
  [`node disk, read back, fetch ${batch}`]: { server: servers.disk, how: 'fetch', isCold: true, goal: true },
  'node disk, read back, take': { server: servers.disk, how: 'take', isCold: true, goal: true },
  [`node memory, fetch ${batch}`]: { server: servers.memory, how: 'fetch' },
  'node memory, take': { server: servers.memory, how: 'take' },
  'Redis, XACK alone': { server: servers.redis, how: 'ack' },
  [THEIRS]: { server: servers.redis, how: 'ackAndDelete' },
  [`Redis, COUNT ${PREFETCH}, XACK and XDEL each`]: { server: servers.redis, how: 'ackAndDeleteEach', batch: PREFETCH },
};
const ways = Object.entries(ALL_WAYS).filter(([name]) => name === THEIRS || name.includes(given.only));

const rows = [];
const details = [];
for (const payloadBytes of SIZES) {
  const candidates = Object.fromEntries(ways.map(([name, way]) => [name, () => run(name, way, payloadBytes)]));
  await alternate(1, candidates);
  const results = await alternate(rounds, candidates);
  rows.push(...ways.map(([name, { goal }]) => row(name, goal, payloadBytes, results)));
  details.push({ payloadBytes, results });
}
await Promise.all([load, taker, ...Object.values(servers).map(({ child }) => child)].map(stop));
const title = `Entries taken out, medians of ${rounds} × ${entries}; ${versionOf(path)}, appendfsync always`;
print(given, [{ title, rows, details }]);

function row(name, goal, payloadBytes, results) {
  const us = (way) => results[way].map((result) => result.us);
  const ratio = pairedRatio(us(THEIRS), us(name));
  return {
    way: name,
    bytes: payloadBytes,
    'CPU µs an entry': median(us(name)).toFixed(2),
    'entries a second': Math.round(median(results[name].map(({ perSecond }) => perSecond))),
    [`${THEIRS} ÷ it`]: ratio.toFixed(2),
    'goal > 1': goal ? met(ratio > 1) : '',
  };
}

async function run(name, { server, how, isCold = false, batch: perRead = batch }, payloadBytes) {
  const { pid } = server.child;
  await server.fill(payloadBytes, isCold);
  await settledCpuMs(pid);
  const before = cpuMs(pid);
  const what = { how, port: server.port, name: NAME, count: entries, batch: perRead };
  const { takeMs, taken } = await ask(taker, what);
  const cpuUs = ((await settledCpuMs(pid)) - before) * 1_000;
  const left = await server.left();
  if (taken !== entries || left !== 0) throw new Error(`${name}: took ${taken} of ${entries}, ${left} are left`);
  return { us: cpuUs / entries, perSecond: (entries / takeMs) * 1_000 };
}

async function node(storage) {
  const queue = { storage, length: 10_000_000, bytes: PLENTY_BYTES, overflow: 'drop_oldest' };
  const tasks = [{ task_id: NAME }, { task_id: FLUSHER.name, queue: { length: FLUSHER.count } }];
  const limits = { queue_bytes: PLENTY_BYTES, queue_disk_bytes: PLENTY_BYTES };
  const config = { data_dir: diskFolder(), queue, tasks, limits };
  const { child, port, client } = await runNode(config, { cpu: 0, execArgv });
  const request = await requests(client);
  const put = async (task, payloadBytes, amount) => {
    const what = { port, topic: `w/ch/${task}`, qos: 1, payloadBytes, count: amount, windowMax: WINDOW };
    const { acknowledged } = await ask(load, what);
    if (acknowledged !== amount) throw new Error(`filling: expected ${amount} PUBACKs, got ${acknowledged}`);
  };
  const fill = async (payloadBytes, isCold) => {
    await put(NAME, payloadBytes, entries);
    if (isCold) await put(FLUSHER.name, FLUSHER.payloadBytes, FLUSHER.count);
  };
  const left = async () => (await request(`m/stat/${NAME}`)).queue.length;
  return { child, port, fill, left };
}

async function redis() {
  const { child, port } = await startRedis(path, { cpu: 0 });
  const client = await openRedis(port);
  const fill = async (payloadBytes) => {
    await client.send(command('DEL', NAME), command('XGROUP', 'CREATE', NAME, GROUP, '0', 'MKSTREAM'));
    const add = command('XADD', NAME, '*', 'payload', Buffer.alloc(payloadBytes, 'x'));
    for (let rest = entries; rest > 0; rest -= WINDOW) {
      await client.send(...Array(Math.min(rest, WINDOW)).fill(add));
    }
  };
  /** Those that the group has not acknowledged, or was never given. */
  const left = async () => {
    const [group] = await client.send(command('XINFO', 'GROUPS', NAME));
    const fields = Object.fromEntries(pairs(group[0]));
    return fields.pending + (fields.lag ?? 0);
  };
  child.once('exit', () => client.close());
  return { child, port, fill, left };
}

function pairs(list) {
  return Array.from({ length: list.length / 2 }, (_, index) => [String(list[2 * index]), list[2 * index + 1]]);
}

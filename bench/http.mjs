// CPU per request of a node over HTTP, beside a bare Fastify that takes and gives the same bytes. Goal: at most 1.3 times
// its CPU.
import { runNode } from './lib/node.mjs';
import { memoryKb, settledCpuMs } from './lib/proc.mjs';
import { ask, message, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { alternate, median, pairedRatio } from './lib/stats.mjs';

const GOAL = 1.3;
const PER_FETCH = 100;
const LINES_PER_POST = 5_000;

const given = options('CPU per HTTP request: the node against a bare Fastify', {
  rounds: { default: '5', help: 'measured runs of each server per case' },
  requests: { default: '20000', help: 'requests of one run that puts' },
  fetches: { default: '4000', help: 'requests of one run that fetches' },
  connections: { default: '50', help: 'connections at a time' },
  only: { default: '', help: 'only cases whose name contains this' },
  profile: { default: '', help: 'folder for CPU profiles of both servers' },
});
const rounds = count(given.rounds, 'rounds');
const requests = count(given.requests, 'requests');
const fetches = count(given.fetches, 'fetches');
const connections = count(given.connections, 'connections');
const execArgv = given.profile ? ['--cpu-prof', '--cpu-prof-dir', given.profile] : [];

const cases = ['memory', 'disk'].flatMap((storage) => [
  { name: `put 100 B, ${storage}`, storage, put: 100 },
  { name: `put 1 KiB, ${storage}`, storage, put: 1_024 },
  { name: `fetch ${PER_FETCH} × 100 B, ${storage}`, storage, entry: 100 },
  { name: `the same, bare makes its JSON anew, ${storage}`, storage, entry: 100, isMade: true },
]);

const load = startNode(script('http-load.mjs'), [], { cpu: 1 });
const rows = [];
const details = [];
for (const each of cases.filter(({ name }) => name.includes(given.only))) {
  const { row, detail } = await measure(each);
  rows.push(row);
  details.push(detail);
}
await stop(load);
const title = `CPU µs per request, medians of ${rounds} × ${requests} puts or ${fetches} fetches, ${connections} connections`;
print(given, [{ title, rows, details }]);

async function measure({ name, storage, put, entry, isMade }) {
  const { bare, node } = await servers(storage);
  const order = put
    ? { method: 'POST', path: '/w/ch/bench', body: 'x'.repeat(put), amount: requests }
    : { method: 'GET', path: `/m/fetch/bench?max=${PER_FETCH}`, amount: fetches };
  if (entry) {
    await fill(node.url, entry, PER_FETCH);
    await ask(bare.child, { answer: await (await fetch(node.url + order.path)).text(), isMade });
  }
  const run = async ({ child, url }, isNode) => {
    if (entry && isNode) await fill(url, entry, fetches * PER_FETCH);
    if (!entry && isNode) await purge(url);
    const before = await settledCpuMs(child.pid);
    const result = await ask(load, { ...order, url: url + order.path, connections });
    if (result.failed > 0) throw new Error(`${name}: ${result.failed} requests failed`);
    const us = ((await settledCpuMs(child.pid)) - before) * 1_000;
    return { us: us / order.amount, perSecond: (order.amount / result.tookMs) * 1_000, p99Ms: result.p99Ms };
  };
  const candidates = { node: () => run(node, true), bare: () => run(bare, false) };
  await alternate(2, candidates);
  const results = await alternate(rounds, candidates);
  const peakKb = { node: memoryKb(node.child.pid, 'VmHWM'), bare: memoryKb(bare.child.pid, 'VmHWM') };
  node.client.close();
  await Promise.all([node.child, bare.child].map(stop));
  return { row: rowOf(name, results, peakKb), detail: { name, results, peakKb } };
}

function rowOf(name, { node, bare }, peakKb) {
  const of = (runs, field, digits) => median(runs.map((run) => run[field])).toFixed(digits);
  const ratio = pairedRatio(
    node.map(({ us }) => us),
    bare.map(({ us }) => us),
  );
  const mib = (kb) => Math.round(kb / 1_024);
  return {
    case: name,
    'bare µs': of(bare, 'us', 1),
    'node µs': of(node, 'us', 1),
    ratio: ratio.toFixed(2),
    [`goal ≤ ${GOAL}`]: met(ratio <= GOAL),
    'requests/s, bare / node': `${of(bare, 'perSecond', 0)} / ${of(node, 'perSecond', 0)}`,
    'p99 ms, bare / node': `${of(bare, 'p99Ms', 0)} / ${of(node, 'p99Ms', 0)}`,
    'peak RSS MiB, bare / node': `${mib(peakKb.bare)} / ${mib(peakKb.node)}`,
  };
}

function httpUrl(client) {
  return new Promise((resolve) => {
    client.onMessage = (_topic, payload) => resolve(JSON.parse(payload).listeners.find((l) => l.type === 'http').url);
    client.subscribe('m/info', 1);
  });
}

async function servers(storage) {
  const child = startNode(script('bare-fastify.mjs'), [], { cpu: 0, execArgv });
  const { port } = await message(child);
  const queue = { length: 2_000_000, bytes: 2 ** 30, storage };
  const node = await runNode(
    {
      listeners: [
        { type: 'mqtt', port: 0 },
        { type: 'http', port: 0 },
      ],
      tasks: [{ task_id: 'bench', queue }],
      limits: { queue_bytes: 2 ** 30 },
    },
    { cpu: 0, execArgv },
  );
  return { bare: { child, url: `http://127.0.0.1:${port}` }, node: { ...node, url: await httpUrl(node.client) } };
}

async function fill(url, entryBytes, entries) {
  const line = `${'x'.repeat(entryBytes)}\n`;
  for (let left = entries; left > 0; left -= LINES_PER_POST) {
    const body = line.repeat(Math.min(left, LINES_PER_POST));
    const headers = { 'content-type': 'application/x-ndjson' };
    const response = await fetch(`${url}/w/ch/bench`, { method: 'POST', headers, body });
    if (!response.ok) throw new Error(`filling: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}

async function purge(url) {
  const body = JSON.stringify({ cmd: 'purge', task_id: 'bench' });
  const response = await fetch(`${url}/m/cmd`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  await response.arrayBuffer();
}

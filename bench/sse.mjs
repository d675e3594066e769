// What server-sent events cost: many listeners to the live copies of one task, put over MQTT, beside a bare HTTP server
// that writes each event to each listener. CPU per delivered event, how long it takes to arrive, memory.
import { setTimeout as pause } from 'node:timers/promises';
import { publishFrame } from './lib/mqtt.mjs';
import { runNode } from './lib/node.mjs';
import { memoryKb, settledCpuMs } from './lib/proc.mjs';
import { ask, message, script, startNode, stop } from './lib/processes.mjs';
import { count, options, print } from './lib/report.mjs';
import { alternate, median, pairedRatio } from './lib/stats.mjs';

const TASK = 'bench';
const LATE_MS = 10_000;

const given = options('Server-sent events to many listeners', {
  rounds: { default: '3', help: 'runs of each server' },
  listeners: { default: '1000', help: 'listeners, in a process of their own' },
  rate: { default: '100', help: 'events a second' },
  seconds: { default: '10', help: 'of one run' },
  bytes: { default: '100', help: 'bytes of one payload, at least 32' },
});
const rounds = count(given.rounds, 'rounds');
const listeners = count(given.listeners, 'listeners');
const rate = count(given.rate, 'rate');
const seconds = count(given.seconds, 'seconds');
const payloadBytes = count(given.bytes, 'bytes');
const events = rate * seconds;

const results = await alternate(rounds, { bare: () => run(startBare), node: () => run(startWhole) });
const rows = Object.entries(results).map(([name, runs]) => {
  const of = (figure) => median(runs.map((each) => each[figure]));
  return {
    server: name === 'node' ? 'node' : 'bare node:http',
    'CPU µs a delivery': of('us').toFixed(2),
    'p50 ms': of('p50Ms').toFixed(1),
    'p99 ms': of('p99Ms').toFixed(1),
    'RSS MiB, at most': Math.round(of('peakKb') / 1_024),
    'delivered %': ((100 * of('received')) / (events * listeners)).toFixed(1),
    'CPU ÷ bare': pairedRatio(cpuOf(runs), cpuOf(results.bare)).toFixed(2),
  };
});
const title = `${listeners} listeners, ${rate} events a second of ${payloadBytes} B for ${seconds} s, medians of ${rounds}`;
print(given, [{ title, rows, details: results }]);

function cpuOf(runs) {
  return runs.map(({ us }) => us);
}

/** @param {() => Promise<{ child, port, path, put: (payload: string) => void, close: () => void }>} start */
async function run(start) {
  const server = await start();
  const hearing = startNode(script('sse-listeners.mjs'), [], { cpu: 1 });
  await ask(hearing, { port: server.port, path: server.path, count: listeners });
  const before = await settledCpuMs(server.child.pid);
  await putAll(server.put);
  const heard = await ask(hearing, { until: events, limitMs: LATE_MS });
  const cpuMs = (await settledCpuMs(server.child.pid)) - before;
  const peakKb = memoryKb(server.child.pid, 'VmHWM');
  server.close();
  await Promise.all([hearing, server.child].map(stop));
  return { us: (cpuMs * 1_000) / heard.received, peakKb, ...heard };
}

/** Evenly, and all of them, also where a timer comes late. */
async function putAll(put) {
  const startMs = performance.now();
  for (let sent = 0; sent < events; ) {
    const due = Math.min(events, Math.floor(((performance.now() - startMs) * rate) / 1_000) + 1);
    for (; sent < due; sent++) put(`${process.hrtime.bigint()} `.padEnd(payloadBytes, 'x'));
    await pause(1);
  }
}

async function startWhole() {
  const host = '127.0.0.1';
  const config = {
    listeners: ['mqtt', 'http'].map((type) => ({ type, host, port: 0 })),
    tasks: [{ task_id: TASK, queue: { storage: 'memory', overflow: 'drop_oldest' } }],
  };
  const { child, client } = await runNode(config, { cpu: 0 });
  const port = await new Promise((resolve) => {
    client.onMessage = (_topic, payload) => resolve(JSON.parse(payload).listeners.find((l) => l.type === 'http').port);
    client.subscribe('m/info', 1);
  });
  const put = (payload) => client.write(publishFrame(`w/ch/${TASK}`, Buffer.from(payload), 0));
  return { child, port, path: `/m/data/${TASK}`, put, close: () => client.close() };
}

async function startBare() {
  const child = startNode(script('bare-sse.mjs'), [], { cpu: 0 });
  const { port } = await message(child);
  return { child, port, path: '/', put: (event) => child.send({ event }), close: () => undefined };
}

// CPU of the node per entry that comes over a WebSocket: as a JSON WebSocket's message, and as MQTT in one.
import { runNode } from './lib/node.mjs';
import { settledCpuMs } from './lib/proc.mjs';
import { ask, script, startNode, stop } from './lib/processes.mjs';
import { count, options, print } from './lib/report.mjs';
import { alternate, median, pairedRatio } from './lib/stats.mjs';

const given = options('CPU per entry over a WebSocket: messages as they are against MQTT', {
  rounds: { default: '5', help: 'measured runs of each way per case' },
  messages: { default: '100000', help: 'entries of one run' },
  window: { default: '500', help: 'unacknowledged entries' },
  only: { default: '', help: 'only cases whose name contains this, such as "QoS 1, 100 B"' },
});
const rounds = count(given.rounds, 'rounds');
const messages = count(given.messages, 'messages');
const windowMax = count(given.window, 'window');

const load = startNode(script('ws-load.mjs'), [], { cpu: 1 });
const listeners = ['mqtt', 'http'].map((type) => ({ type, port: 0 }));
const config = { listeners, tasks: [{ task_id: 'bench', queue: { storage: 'memory' } }] };
const { child, client } = await runNode(config, { cpu: 0 });
const url = await new Promise((resolve) => {
  client.onMessage = (_topic, payload) => resolve(JSON.parse(payload).listeners.find((l) => l.type === 'http').url);
  client.subscribe('m/info', 1);
});

const rows = [];
const details = [];
for (const qos of [0, 1]) {
  for (const payloadBytes of [100, 1_024]) {
    const name = `QoS ${qos}, ${payloadBytes} B`;
    if (!name.includes(given.only)) continue;
    const run = async (kind) => {
      const before = await settledCpuMs(child.pid);
      const order = {
        url: url.replace('http', 'ws'),
        kind,
        task: 'bench',
        payloadBytes,
        qos,
        count: messages,
        windowMax,
      };
      const { publishMs } = await ask(load, order);
      const us = ((await settledCpuMs(child.pid)) - before) * 1_000;
      return { us: us / messages, perSecond: (messages / publishMs) * 1_000 };
    };
    const candidates = { json: () => run('json'), mqtt: () => run('mqtt') };
    await alternate(1, candidates);
    const results = await alternate(rounds, candidates);
    details.push({ name, results });
    rows.push(rowOf(name, results));
  }
}
client.close();
await Promise.all([stop(load), stop(child)]);
const title = `CPU µs per entry, medians of ${rounds} × ${messages}; at QoS 0 nothing is acknowledged`;
print(given, [{ title, rows, details }]);

function rowOf(name, { json, mqtt }) {
  const of = (runs, field, digits) => median(runs.map((run) => run[field])).toFixed(digits);
  const us = (runs) => runs.map((run) => run.us);
  return {
    case: name,
    'MQTT over WebSocket µs': of(mqtt, 'us', 2),
    'JSON WebSocket µs': of(json, 'us', 2),
    ratio: pairedRatio(us(json), us(mqtt)).toFixed(2),
    'entries/s, MQTT / JSON': `${of(mqtt, 'perSecond', 0)} / ${of(json, 'perSecond', 0)}`,
  };
}

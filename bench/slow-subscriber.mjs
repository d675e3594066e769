// What one subscriber that does not read costs: memory and acknowledged publishes after some seconds of QoS 1 publishes.
// Goal: the broker's memory stays bounded, at most 64 MiB above plain Aedes, which stops acknowledging instead.
import { memoryKb } from './lib/proc.mjs';
import { message, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';

const GOAL_MIB = 64;
const TASK = 'bench';
const PUT = `w/ch/${TASK}`;

const given = options('Memory of a broker with a subscriber that does not read', {
  messages: { default: '200000', help: 'publishes offered' },
  bytes: { default: '', help: 'bytes of one payload, instead of 16 and of 1024' },
  seconds: { default: '20', help: 'longest time for them' },
});
const messages = count(given.messages, 'messages');
const seconds = count(given.seconds, 'seconds');

const sizes = given.bytes ? [count(given.bytes, 'bytes')] : [16, 1_024];

const rows = [];
const details = [];
for (const payloadBytes of sizes) {
  const plain = await measure(payloadBytes, ['plain'], PUT);
  const node = await measure(payloadBytes, ['node', TASK], `m/data/${TASK}`);
  rows.push({
    'payload B': payloadBytes,
    'Aedes acknowledged': plain.acknowledged,
    'Aedes RSS MiB, before → after': `${mib(plain.before)} → ${mib(plain.after)}`,
    'node acknowledged': node.acknowledged,
    'node RSS MiB, before → after': `${mib(node.before)} → ${mib(node.after)}`,
    [`goal ≤ Aedes + ${GOAL_MIB}`]: met(node.after - plain.after <= GOAL_MIB * 1_024),
  });
  details.push({ payloadBytes, plain, node });
}
print(given, [{ title: `${messages} publishes at QoS 1, at most ${seconds} s`, rows, details }]);

async function measure(payloadBytes, args, subscribe) {
  const broker = startNode(script('broker.mjs'), args, { cpu: 0 });
  const load = startNode(script('load.mjs'), [], { cpu: 1 });
  const { port } = await message(broker);
  const before = memoryKb(broker.pid);
  const order = { port, topic: PUT, payloadBytes, qos: 1, count: messages, windowMax: 500 };
  load.send({ ...order, subscribe, frozen: true, limitMs: seconds * 1_000 });
  const { error, acknowledged } = await message(load);
  if (error) throw new Error(error);
  const after = memoryKb(broker.pid);
  await Promise.all([load, broker].map(stop));
  return { acknowledged, before, after };
}

function mib(kb) {
  return Math.round(kb / 1_024);
}

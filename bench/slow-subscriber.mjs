// What one subscriber that does not read costs: memory and acknowledged publishes after some seconds of QoS 1 publishes.
// Goal: the broker's memory stays bounded, at most 64 MiB above plain Aedes, which stops acknowledging instead.
import { memoryKb } from './lib/proc.mjs';
import { message, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';

const GOAL_MIB = 64;
const TASK = 'bench';
const PUT = `w/ch/${TASK}`;
const PAYLOAD_BYTES = 1_024;

const given = options('Memory of a broker with a subscriber that does not read', {
  messages: { default: '100000', help: 'publishes of 1 KiB offered' },
  seconds: { default: '10', help: 'longest time for them' },
});
const messages = count(given.messages, 'messages');
const seconds = count(given.seconds, 'seconds');

const results = {
  'plain Aedes': await measure(['plain'], PUT),
  node: await measure(['node', TASK], `m/data/${TASK}`),
};
const rows = Object.entries(results).map(([broker, { acknowledged, before, after }]) => ({
  broker,
  acknowledged,
  'RSS before MiB': mib(before),
  'RSS after MiB': mib(after),
  [`goal ≤ Aedes + ${GOAL_MIB}`]: met(after - results['plain Aedes'].after <= GOAL_MIB * 1_024),
}));
print(given, [{ title: `${messages} × 1 KiB at QoS 1, at most ${seconds} s`, rows, details: results }]);

async function measure(args, subscribe) {
  const broker = startNode(script('broker.mjs'), args, { cpu: 0 });
  const load = startNode(script('load.mjs'), [], { cpu: 1 });
  const { port } = await message(broker);
  const before = memoryKb(broker.pid);
  const order = { port, topic: PUT, payloadBytes: PAYLOAD_BYTES, qos: 1, count: messages, windowMax: 500 };
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

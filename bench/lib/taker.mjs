// Takes entries in a process of its own. One order at a time from its parent: { how, port, name, count, batch }
//   → { takeMs, taken }
// `how`: `fetch` batches from the task `name`, `take` from it by subscription, or read batches of the Redis stream `name`
// and `ack` them, `ackAndDelete` so that entries are gone as those of the node are, or `ackAndDeleteEach`, one by one.
import { openMqtt, publishFrame } from './mqtt.mjs';
import { command, openRedis } from './resp.mjs';

const LIMIT_MS = 60_000;
const GROUP = 'bench';
const WAYS = {
  fetch,
  take,
  ack: (order) => stream(order, (ids) => [xack(order, ids)]),
  ackAndDelete: (order) => stream(order, (ids) => [xack(order, ids), xdel(order, ids)]),
  ackAndDeleteEach: (order) => stream(order, (ids) => ids.flatMap((id) => [xack(order, [id]), xdel(order, [id])])),
};

process.on('message', async (order) => {
  const timer = setTimeout(() => process.send({ error: `${order.how}: not done within ${LIMIT_MS} ms` }), LIMIT_MS);
  try {
    process.send(await WAYS[order.how](order));
  } catch (error) {
    process.send({ error: error.message });
  }
  clearTimeout(timer);
});
process.once('disconnect', () => process.exit(0));

/** The next batch is asked for once the last one is acknowledged. */
async function fetch({ port, name, count, batch }) {
  const client = await openMqtt(port, 'taker');
  await client.subscribe('m/reply', 1);
  const ask = publishFrame(`m/fetch/${name}`, Buffer.from(JSON.stringify({ max: batch })), 1, 1);
  let taken = 0;
  let reply;
  client.onMessage = (_, payload) => {
    reply = JSON.parse(payload.toString());
  };
  const startedMs = performance.now();
  client.write(ask);
  await until(client, () => {
    if (reply === undefined) return false;
    const { data, error } = reply;
    reply = undefined;
    if (error !== undefined || data.entries.length === 0) throw new Error(error ?? `empty after ${taken} entries`);
    taken += data.entries.length;
    if (taken < count) client.write(ask);
    return taken >= count;
  });
  return ended(client, startedMs, taken);
}

async function take({ port, name, count }) {
  const client = await openMqtt(port, 'taker');
  const startedMs = performance.now();
  await client.subscribe(`m/take/${name}`, 1);
  await until(client, () => client.messages >= count);
  return ended(client, startedMs, client.messages);
}

/** Resolves when `isDone`, which is asked once what came is worked off and acknowledged. */
function until(client, isDone) {
  return new Promise((resolve, reject) => {
    client.onProgress = (closed) => {
      try {
        if (closed) throw closed;
        if (isDone()) resolve();
      } catch (error) {
        reject(error);
      }
    };
    client.onProgress();
  });
}

async function ended(client, startedMs, taken) {
  const takeMs = performance.now() - startedMs;
  await client.close();
  return { takeMs, taken };
}

/** What is done with a batch and the request for the next one are written together, as a fetch and the acknowledgement
 *  before it. */
async function stream({ port, name, count, batch }, doneWith) {
  const client = await openRedis(port);
  const read = command('XREADGROUP', 'GROUP', GROUP, 'taker', 'COUNT', batch, 'STREAMS', name, '>');
  const startedMs = performance.now();
  let taken = 0;
  let done = [];
  while (taken < count) {
    const reply = (await client.send(...done, read)).at(-1);
    if (reply === null) throw new Error(`empty after ${taken} entries`);
    const [[, entries]] = reply;
    taken += entries.length;
    done = doneWith(entries.map(([id]) => id));
  }
  await client.send(...done);
  const takeMs = performance.now() - startedMs;
  client.close();
  return { takeMs, taken };
}

function xack({ name }, ids) {
  return command('XACK', name, GROUP, ...ids);
}

function xdel({ name }, ids) {
  return command('XDEL', name, ...ids);
}

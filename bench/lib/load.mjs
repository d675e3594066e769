// An MQTT load in a process of its own. Takes one order at a time from its parent and answers with what came of it:
// { port, topic, payloadBytes, qos, count, windowMax, subscribe? } → { publishMs, received }
import { openMqtt, publishFrame } from './mqtt.mjs';

const PIECE_BYTES = 65_536;
const STALL_MS = 10_000;

process.on('message', async (order) => {
  try {
    process.send(await run(order));
  } catch (error) {
    process.send({ error: error.message });
  }
});
process.once('disconnect', () => process.exit(0));

async function run({ port, topic, payloadBytes, qos, count, windowMax, subscribe }) {
  const subscriber = subscribe && (await openMqtt(port, 'subscriber'));
  if (subscriber) await subscriber.subscribe(subscribe, qos);
  const publisher = await openMqtt(port, 'publisher');
  const payload = Buffer.alloc(payloadBytes, 'x');
  const startedMs = performance.now();
  if (qos === 0) await flood(publisher, publishFrame(topic, payload, 0), count);
  else await pipeline(publisher, topic, payload, count, windowMax);
  const publishMs = performance.now() - startedMs;
  if (subscriber) await reached(subscriber, () => subscriber.messages, count);
  publisher.close();
  subscriber?.close();
  return { publishMs, received: subscriber?.messages ?? 0 };
}

/** As fast as the socket takes it; the answer to a ping says that the broker has read it all. */
async function flood(client, frame, count) {
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / frame.length));
  const piece = Buffer.concat(Array(perPiece).fill(frame));
  for (let left = count; left > 0; left -= perPiece) {
    const roomy = client.write(left >= perPiece ? piece : piece.subarray(0, left * frame.length));
    if (!roomy) await client.drained();
  }
  await client.ping();
}

/** At most `windowMax` publishes without PUBACK. PUBACKs come in order, so the ids go round in a prepared ring. */
async function pipeline(client, topic, payload, count, windowMax) {
  const frames = Array.from({ length: windowMax }, (_, index) => publishFrame(topic, payload, 1, index + 1));
  const ring = Buffer.concat(frames);
  const frameBytes = frames[0].length;
  let sent = 0;
  const topUp = () => {
    let room = Math.min(count, client.acks + windowMax) - sent;
    while (room > 0) {
      const from = sent % windowMax;
      const piece = Math.min(room, windowMax - from);
      client.write(ring.subarray(from * frameBytes, (from + piece) * frameBytes));
      sent += piece;
      room -= piece;
    }
  };
  const done = reached(client, () => client.acks, count, topUp);
  topUp();
  await done;
}

/** Resolves when `value()` is `target`, or has not moved for 10 s. */
function reached(client, value, target, onProgress = () => undefined) {
  return new Promise((resolve, reject) => {
    let seen = -1;
    const finish = () => {
      clearInterval(timer);
      resolve();
    };
    const timer = setInterval(() => {
      if (value() === seen) finish();
      seen = value();
    }, STALL_MS);
    client.onProgress = (error) => {
      if (error) {
        clearInterval(timer);
        reject(error);
        return;
      }
      onProgress();
      if (value() >= target) finish();
    };
    client.onProgress();
  });
}

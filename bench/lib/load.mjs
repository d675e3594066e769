// An MQTT load in a process of its own. Takes one order at a time from its parent and answers with what came of it:
// { port, topic | topics, payloadBytes, qos, count, windowMax, subscribe?, frozen?, limitMs? }
//   → { publishMs, acknowledged, received, ackMs? }
// `topics`, all of one length, are published to in turns, at QoS 1. With `frozen` the subscriber does not read; `limitMs`
// is the longest time for it all. `ackMs`: with a window of 1, how long each PUBACK took.
import { openMqtt, publishFrame } from './mqtt.mjs';
import { answerOrders } from './orders.mjs';

const PIECE_BYTES = 65_536;
const LIMIT_MS = 120_000;
const STALL_MS = 2_000;

answerOrders(run);

async function run({
  port,
  topic,
  topics = [topic],
  payloadBytes,
  qos,
  count,
  windowMax,
  subscribe,
  frozen = false,
  limitMs = LIMIT_MS,
}) {
  const subscriber = subscribe && (await openMqtt(port, 'subscriber'));
  if (subscriber) await subscriber.subscribe(subscribe, qos);
  if (frozen) subscriber.pause();
  const publisher = await openMqtt(port, 'publisher');
  const payload = Buffer.alloc(payloadBytes, 'x');
  const ackMs = qos > 0 && windowMax === 1 ? [] : undefined;
  const startedMs = performance.now();
  if (qos === 0) await flood(publisher, publishFrame(topic, payload, 0), count);
  else await pipeline(publisher, topics, payload, count, windowMax, limitMs, ackMs);
  const publishMs = performance.now() - startedMs;
  if (subscriber && !frozen) await reached(subscriber, () => subscriber.messages, count, limitMs);
  publisher.close();
  subscriber?.close();
  return { publishMs, acknowledged: publisher.acks, received: subscriber?.messages ?? 0, ackMs };
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
async function pipeline(client, topics, payload, count, windowMax, limitMs, ackMs) {
  // Whole windows, so that an id comes again only after its PUBACK.
  const places = Math.ceil(topics.length / windowMax) * windowMax;
  const frames = Array.from({ length: places }, (_, index) =>
    publishFrame(topics[index % topics.length], payload, 1, (index % windowMax) + 1),
  );
  const ring = Buffer.concat(frames);
  const frameBytes = frames[0].length;
  if (ring.length !== places * frameBytes) throw new Error('topics: expected all of one length, got several');
  let sent = 0;
  let sentMs;
  const topUp = () => {
    if (ackMs && client.acks > ackMs.length) ackMs.push(performance.now() - sentMs);
    let room = Math.min(count, client.acks + windowMax) - sent;
    sentMs = performance.now();
    while (room > 0) {
      const from = sent % places;
      const piece = Math.min(room, places - from);
      client.write(ring.subarray(from * frameBytes, (from + piece) * frameBytes));
      sent += piece;
      room -= piece;
    }
  };
  await reached(client, () => client.acks, count, limitMs, topUp);
}

/** Resolves when `value()` is `target`, has stood still for 2 s (what was dropped will not come), or after `limitMs`. */
function reached(client, value, target, limitMs, onProgress = () => undefined) {
  return new Promise((resolve, reject) => {
    const end = (settle, outcome) => {
      clearTimeout(limit);
      clearInterval(watch);
      client.onProgress = () => undefined;
      settle(outcome);
    };
    const limit = setTimeout(() => end(resolve), limitMs);
    let seen = -1;
    const watch = setInterval(() => {
      if (value() === seen) end(resolve);
      seen = value();
    }, STALL_MS);
    client.onProgress = (error) => {
      if (error) return end(reject, error);
      onProgress();
      if (value() >= target) end(resolve);
    };
    client.onProgress();
  });
}

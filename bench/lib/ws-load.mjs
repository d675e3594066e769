// Puts over a WebSocket in a process of their own. Takes one order at a time from its parent and answers with what came of
// it: { url, kind: 'json' | 'mqtt', task, payloadBytes, qos, count, windowMax } → { publishMs, acknowledged }
// Each entry is one message. At QoS 1 at most `windowMax` are unacknowledged, by `{"taken":…}` or by PUBACK.
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { connectFrame, publishFrame } from './mqtt.mjs';
import { answerOrders } from './orders.mjs';

const PUBACK = 4;
const PACKET_IDS = 65_535;
const BUFFERED_BYTES = 262_144;

answerOrders(run);

async function run({ url, kind, task, payloadBytes, qos, count, windowMax }) {
  const socket = kind === 'json' ? await openJson(url, task, qos) : await openMqtt(url);
  const payload = Buffer.alloc(payloadBytes, 'x');
  const frames = kind === 'mqtt' ? mqttFrames(task, payload, qos) : [payload];
  let acknowledged = 0;
  let wake;
  socket.on('message', (data) => {
    acknowledged = kind === 'json' ? JSON.parse(data).taken : acknowledged + pubacksIn(data);
    wake?.();
  });
  const acks = () => new Promise((resolve) => (wake = resolve));
  const startedMs = performance.now();
  for (let sent = 0; sent < count; sent++) {
    while (qos > 0 && sent - acknowledged >= windowMax) await acks();
    const roomy = socket.bufferedAmount < BUFFERED_BYTES;
    if (roomy) socket.send(frames[sent % frames.length]);
    else await new Promise((resolve) => socket.send(frames[sent % frames.length], resolve));
  }
  while (qos > 0 && acknowledged < count) await acks();
  socket.ping();
  await once(socket, 'pong');
  const publishMs = performance.now() - startedMs;
  socket.close();
  await once(socket, 'close');
  return { publishMs, acknowledged };
}

async function openJson(url, task, qos) {
  const socket = new WebSocket(`${url}/w/ch/${task}${qos > 0 ? '?acks=true' : ''}`);
  await once(socket, 'open');
  return socket;
}

async function openMqtt(url) {
  const socket = new WebSocket(`${url}/mqtt`, 'mqtt');
  await once(socket, 'open');
  socket.send(connectFrame('bench-ws', {}));
  await once(socket, 'message');
  return socket;
}

/** One for each packet id, made before the clock runs. */
function mqttFrames(task, payload, qos) {
  if (qos === 0) return [publishFrame(`w/ch/${task}`, payload, 0)];
  return Array.from({ length: PACKET_IDS }, (_, at) => publishFrame(`w/ch/${task}`, payload, 1, at + 1));
}

/** Each is four bytes, and nothing else comes. */
function pubacksIn(data) {
  if (data[0] >> 4 !== PUBACK || data.length % 4 !== 0) throw new Error('expected PUBACKs, got something else');
  return data.length / 4;
}

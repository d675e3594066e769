// Listeners to server-sent events in a process of their own. Takes { port, path, count } and answers { open } once all
// have heard something; then { until, limitMs } (events that each should get) and answers
// { received, gaps, p50Ms, p99Ms }. The payload of an event begins with `process.hrtime` of when it was put.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { answerOrders } from './orders.mjs';
import { quantile } from './stats.mjs';

const LOOK_MS = 20;
/** Of so many events one is timed. */
const TIMED_EACH = 8;
const FIELD = '"payload":"';

const listeners = [];
let received = 0;
let gaps = 0;
const delaysMs = [];

answerOrders((order) => (order.path === undefined ? results(order) : open(order)));

async function open({ port, path, count }) {
  const opening = Array.from({ length: count }, () => openOne(port, path));
  await Promise.all(opening);
  return { open: listeners.length };
}

async function openOne(port, path) {
  const socket = connect({ port, host: '127.0.0.1' });
  listeners.push(socket);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: text/event-stream\r\n\r\n`);
  const [head] = await once(socket, 'data');
  if (!head.toString().startsWith('HTTP/1.1 200'))
    throw new Error(`expected 200, got ${head.toString().slice(0, 200)}`);
  // Every event ends with an empty line; what comes after the last one belongs to the next.
  let rest = '';
  socket.on('data', (chunk) => {
    const text = rest + chunk.latin1Slice();
    const end = text.lastIndexOf('\n\n') + 1;
    rest = text.slice(end);
    take(text.slice(0, end));
  });
  socket.on('error', () => undefined);
}

function take(events) {
  for (let at = events.indexOf(FIELD); at !== -1; at = events.indexOf(FIELD, at)) {
    at += FIELD.length;
    received++;
    if (received % TIMED_EACH !== 0) continue;
    const putNs = BigInt(events.slice(at, events.indexOf(' ', at)));
    delaysMs.push(Number(process.hrtime.bigint() - putNs) / 1e6);
  }
  if (events.includes('event: gap')) gaps++;
}

async function results({ until, limitMs }) {
  const endMs = performance.now() + limitMs;
  while (received < until * listeners.length && performance.now() < endMs) await pause(LOOK_MS);
  for (const socket of listeners) socket.destroy();
  const [p50Ms, p99Ms] = [0.5, 0.99].map((share) => quantile(delaysMs, share));
  return { received, gaps, p50Ms, p99Ms };
}

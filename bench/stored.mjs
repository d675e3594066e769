// A queue on disk with a million entries: how long the daemon takes to open it, what memory it costs. Goals: less than 1 s
// more than with nothing stored, and less than 150 MB resident with all of them.
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { diskFolder, mibOnDisk } from './lib/disk.mjs';
import { accepted, writeConfig } from './lib/node.mjs';
import { memoryKb, settledCpuMs } from './lib/proc.mjs';
import { ask, CLI, script, startNode, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { requests } from './lib/requests.mjs';
import { alternate, median, pairedDifference } from './lib/stats.mjs';

const GOAL_MS = 1_000;
const GOAL_MB = 150;
const NAME = 'bench';
const WINDOW = 2_000;
const BATCH = 100;
const FILL_MS = 600_000;
/** What is garbage by then V8 gives back while nothing happens. */
const REST_MS = 10_000;
const PLENTY_BYTES = 2 ** 34;

const given = options('Opening a queue with many entries on disk, and the memory they cost', {
  rounds: { default: '5', help: 'starts with and without entries' },
  entries: { default: '1000000', help: 'entries on disk' },
  bytes: { default: '100', help: 'payload bytes of each' },
  drain: { default: '100000', help: 'entries taken out at the end' },
});
const rounds = count(given.rounds, 'rounds');
const entries = count(given.entries, 'entries');
const payloadBytes = count(given.bytes, 'bytes');
const drained = Math.min(count(given.drain, 'drain'), entries);

const full = prepared();
const empty = prepared();
const memory = [];
let held = entries;

const first = await start(full);
memory.push(await look('nothing stored yet', first));
await fill(first);
memory.push(await look('filled', first));
await pause(REST_MS);
memory.push(await look(`${REST_MS / 1_000} s later`, first));
await stop(first.child);

const opened = await alternate(rounds, { full: () => open(full, true), empty: () => open(empty, false) });

const last = await start(full);
memory.push(await look('opened again', last));
await drain(last);
memory.push(await look(`${drained} taken out`, last));
await pause(REST_MS);
memory.push(await look(`${REST_MS / 1_000} s later`, last));
await stop(last.child);

const more = pairedDifference(opened.full, opened.empty);
const openRows = [
  { 'data directory': 'empty', 'median ms': median(opened.empty).toFixed(0), more: '', [`goal < ${GOAL_MS}`]: '' },
  {
    'data directory': `${entries} × ${payloadBytes} B`,
    'median ms': median(opened.full).toFixed(0),
    more: more.toFixed(0),
    [`goal < ${GOAL_MS}`]: met(more < GOAL_MS),
  },
];
print(given, [
  {
    title: `Spawn to the first answered fetch, ${rounds} times, the file in the page cache`,
    rows: openRows,
    details: opened,
  },
  { title: 'Memory of the daemon', rows: memory },
]);

function prepared() {
  const folder = diskFolder();
  const queue = { storage: 'disk', length: 10_000_000, bytes: PLENTY_BYTES, overflow: 'drop_oldest' };
  const limits = { queue_disk_bytes: PLENTY_BYTES };
  return { folder, file: writeConfig({ data_dir: folder, queue, limits, tasks: [{ task_id: NAME }] }) };
}

async function start({ folder, file }) {
  const { child, port, client } = await accepted(CLI, ['run', '-c', file], { cpu: 0 });
  return { child, port, client, folder };
}

/** Takes the oldest entry, and lets it go by its acknowledgement. */
async function open(node, isFull) {
  const startedMs = performance.now();
  const { child, client } = await start(node);
  const request = await requests(client);
  const { entries: taken, remaining } = await request(`m/fetch/${NAME}`);
  const tookMs = performance.now() - startedMs;
  const wanted = isFull ? held : 0;
  if (taken.length + remaining !== wanted)
    throw new Error(`expected ${wanted} entries, got ${taken.length} + ${remaining}`);
  held -= isFull ? 1 : 0;
  await client.ping();
  await stop(child);
  return tookMs;
}

async function fill({ port }) {
  const load = startNode(script('load.mjs'), [], { cpu: 1 });
  const what = {
    port,
    topic: `w/ch/${NAME}`,
    qos: 1,
    payloadBytes,
    count: entries,
    windowMax: WINDOW,
    limitMs: FILL_MS,
  };
  const { acknowledged } = await ask(load, what);
  await stop(load);
  if (acknowledged !== entries) throw new Error(`filling: expected ${entries} PUBACKs, got ${acknowledged}`);
}

async function drain({ port }) {
  const taker = startNode(script('taker.mjs'), [], { cpu: 1 });
  await ask(taker, { how: 'fetch', port, name: NAME, count: Math.min(drained, held), batch: BATCH });
  await stop(taker);
}

async function look(when, { child, folder }) {
  await settledCpuMs(child.pid);
  const mb = (field) => (memoryKb(child.pid, field) * 1_024) / 1e6;
  return {
    when,
    'RSS MB': mb('VmRSS').toFixed(0),
    'peak MB': mb('VmHWM').toFixed(0),
    'own MB': mb('RssAnon').toFixed(0),
    'of files MB': mb('RssFile').toFixed(0),
    [`goal < ${GOAL_MB}`]: met(mb('VmRSS') < GOAL_MB),
    'file MiB': mibOnDisk(join(folder, 'queues')).toFixed(0),
  };
}

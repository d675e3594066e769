// A worker in Node: reads the machine it runs on once a second and puts what it read as one JSON entry.
// The pace in milliseconds comes from start_params, and later from a command: {"interval_ms": 500}. A call that names a
// field is answered with its last reading; an empty one with all of it.
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { connectWorker } from 'super-node/worker';

const INTERVAL_MS = { min: 100, max: 10_000, default: 1_000 };
const SECTOR_BYTES = 512; // the unit of /proc/diskstats on every device, proc(5)

let intervalMs = paceOf(process.env.SN_START_PARAMS || INTERVAL_MS.default) ?? INTERVAL_MS.default;
let ending = false;
let latest;

const worker = await connectWorker({ onCommand, onCall });
process.once('SIGTERM', end);
process.once('SIGINT', end);
await worker.ready();
console.log(`reading the host each ${intervalMs} ms`);

let before = await read();
let next = performance.now();
while (!ending) {
  next = Math.max(next + intervalMs, performance.now());
  await pause(next - performance.now());
  const now = await read();
  latest = entryOf(before, now);
  if (!ending) await worker.put(latest).catch(unlessEnding);
  before = now;
}

async function end() {
  ending = true;
  await worker.close();
  process.exit(0);
}

function unlessEnding(error) {
  if (!ending) throw error;
}

/** @param {Buffer} payload */
function onCommand(payload) {
  const pace = paceOf(fieldOf(payload.toString(), 'interval_ms'));
  if (pace === undefined) {
    console.error(`command: expected {"interval_ms": ${INTERVAL_MS.min}–${INTERVAL_MS.max}}, got ${payload}`);
    return;
  }
  intervalMs = pace;
  console.log(`reading the host each ${intervalMs} ms`);
}

/** @param {Buffer} payload */
function onCall(payload) {
  const field = payload.toString();
  if (latest === undefined) throw new Error('nothing was read yet, ask again in a moment');
  if (field === '') return latest;
  if (!Object.hasOwn(latest, field)) {
    throw new Error(`expected one of ${Object.keys(latest).join(' ')}, got ${JSON.stringify(field.slice(0, 60))}`);
  }
  return latest[field];
}

function paceOf(value) {
  const pace = Number(value);
  return Number.isInteger(pace) && pace >= INTERVAL_MS.min && pace <= INTERVAL_MS.max ? pace : undefined;
}

function fieldOf(json, name) {
  try {
    return JSON.parse(json)?.[name];
  } catch {
    return undefined;
  }
}

/** Everything once, as counters; two of them give the rates. What a system does not have stays empty. */
async function read() {
  const [stat, meminfo, netDev, diskstats, loadavg, uptime, disks, thermal] = await Promise.all([
    text('/proc/stat'),
    text('/proc/meminfo'),
    text('/proc/net/dev'),
    text('/proc/diskstats'),
    text('/proc/loadavg'),
    text('/proc/uptime'),
    names('/sys/block'),
    readThermal(),
  ]);
  return {
    atMs: performance.now(),
    cpu: cpuTimes(stat),
    memory: memoryOf(meminfo),
    net: netBytes(netDev),
    disk: diskBytes(diskstats, new Set(disks)),
    load: loadavg.split(' ').slice(0, 3).map(Number),
    uptimeS: Number(uptime.split(' ')[0]),
    thermal,
  };
}

function entryOf(before, now) {
  const seconds = (now.atMs - before.atMs) / 1000;
  const { cpu: total, ...cores } = mapBoth(before.cpu, now.cpu, busyPercent);
  return {
    ts: Date.now(),
    uptime_s: now.uptimeS,
    load: now.load,
    cpu_percent: { total, cores: Object.values(cores) },
    memory_kb: now.memory,
    net: mapBoth(before.net, now.net, (a, b) => ({
      rx_bytes_per_s: rate(a.rx, b.rx, seconds),
      tx_bytes_per_s: rate(a.tx, b.tx, seconds),
    })),
    disk: mapBoth(before.disk, now.disk, (a, b) => ({
      read_bytes_per_s: rate(a.read, b.read, seconds),
      write_bytes_per_s: rate(a.write, b.write, seconds),
    })),
    temperature_c: now.thermal,
  };
}

/** The names that both readings have: a disk or an interface may come and go. */
function mapBoth(before, now, each) {
  return Object.fromEntries(
    Object.entries(now)
      .filter(([name]) => name in before)
      .map(([name, value]) => [name, each(before[name], value)]),
  );
}

function rate(before, now, seconds) {
  return Math.max(0, Math.round((now - before) / seconds));
}

function busyPercent(before, now) {
  const total = now.total - before.total;
  if (total <= 0) return 0;
  const busy = total - (now.idle - before.idle);
  return Math.round(Math.min(1, Math.max(0, busy / total)) * 1000) / 10;
}

/** Lines `cpu user nice system idle iowait irq softirq steal guest guest_nice`; the guests are part of user and nice. */
function cpuTimes(stat) {
  const times = {};
  for (const line of lines(stat)) {
    const [name, ...fields] = line.split(/\s+/);
    if (!name.startsWith('cpu')) continue;
    const ticks = fields.slice(0, 8).map(Number);
    times[name] = { total: ticks.reduce((sum, each) => sum + each, 0), idle: ticks[3] + (ticks[4] ?? 0) };
  }
  return times;
}

function memoryOf(meminfo) {
  const kb = {};
  for (const [, name, value] of meminfo.matchAll(/^(\w+):\s+(\d+) kB$/gm)) kb[name] = Number(value);
  return { total: kb.MemTotal, available: kb.MemAvailable, swap_total: kb.SwapTotal, swap_free: kb.SwapFree };
}

function netBytes(netDev) {
  const bytes = {};
  for (const line of lines(netDev)) {
    const [name, rest] = line.split(':');
    if (rest === undefined) continue;
    const fields = rest.trim().split(/\s+/).map(Number);
    bytes[name.trim()] = { rx: fields[0], tx: fields[8] };
  }
  return bytes;
}

/** Whole disks only: partitions would count the same bytes again. */
function diskBytes(diskstats, disks) {
  const bytes = {};
  for (const line of lines(diskstats)) {
    const [, , name, ...fields] = line.trim().split(/\s+/);
    if (!disks.has(name) || /^(loop|ram|zram)/.test(name)) continue;
    bytes[name] = { read: Number(fields[2]) * SECTOR_BYTES, write: Number(fields[6]) * SECTOR_BYTES };
  }
  return bytes;
}

async function readThermal() {
  const celsius = {};
  for (const zone of await names('/sys/class/thermal')) {
    if (!zone.startsWith('thermal_zone')) continue;
    const kind = (await text(`/sys/class/thermal/${zone}/type`)).trim() || zone;
    const milli = Number.parseInt(await text(`/sys/class/thermal/${zone}/temp`), 10);
    if (Number.isFinite(milli)) celsius[`${kind}:${zone.slice('thermal_zone'.length)}`] = milli / 1000;
  }
  return celsius;
}

function lines(text) {
  return text.split('\n').filter(Boolean);
}

/** A file's text, or nothing where this system has no such file. */
async function text(path) {
  return readFile(path, 'utf8').catch(() => '');
}

async function names(folder) {
  return readdir(folder).catch(() => []);
}

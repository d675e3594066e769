// Resident memory of the daemon alone, its workers not counted. A node holds a broker and queues as well.
import { setTimeout as pause } from 'node:timers/promises';
import { nodeWith, pm2With } from '../lib/contestants.mjs';
import { memoryKb } from '../lib/proc.mjs';
import { script } from '../lib/processes.mjs';
import { met } from '../lib/report.mjs';
import { median } from '../lib/stats.mjs';
import { left, remember } from '../lib/tidy.mjs';

const SETTLE_MS = 10_000;
const SLEEP = ['/bin/sleep', '100000'];
const SMALL_NODE = [process.execPath, script('announcer.mjs'), '/dev/null'];
const CASES = [
  { workers: '1 × sleep', commands: repeat(1, SLEEP) },
  { workers: '20 × sleep', commands: repeat(20, SLEEP) },
  { workers: '100 × sleep', commands: repeat(100, SLEEP) },
  { workers: '20 × Node', commands: repeat(20, SMALL_NODE) },
];

export async function measureMemory({ quick, pm2 }) {
  const rounds = quick ? 1 : 2;
  const readings = [];
  for (let round = 0; round < rounds; round++) readings.push(await allAtOnce(pm2));
  const rows = CASES.map(({ workers }, at) => {
    const node = readings.map((reading) => reading[at].node / 1_024);
    const theirs = readings.map((reading) => reading[at].pm2 / 1_024);
    return {
      workers,
      'node MiB': range(node),
      'PM2 MiB': range(theirs),
      'node − PM2, MiB': (median(node) - median(theirs)).toFixed(1),
      'node / PM2': (median(node) / median(theirs)).toFixed(2),
      'goal < PM2': met(median(node) < median(theirs)),
    };
  });
  const title = `RSS of the daemon ${SETTLE_MS / 1_000} s after all is up, ${rounds} daemons each`;
  return [{ title, rows, details: readings }];
}

/** What a process holds does not depend on who else runs, so the waiting is done once for all. */
async function allAtOnce(pm2) {
  const readings = await Promise.all(
    CASES.map(async ({ commands }) => ({
      node: await settledKb(() => nodeWith(commands)),
      pm2: await settledKb(() => pm2With(pm2.command, commands)),
    })),
  );
  if ((await left()) > 0) console.error('memory: a worker outlived its supervisor');
  return readings;
}

async function settledKb(start) {
  const daemon = await start();
  await pause(SETTLE_MS);
  const kb = memoryKb(daemon.pid);
  remember(daemon.pid);
  await daemon.stop();
  return kb;
}

function repeat(count, command) {
  return Array.from({ length: count }, () => command);
}

function range(values) {
  const numbers = values.map((value) => value.toFixed(1));
  return new Set(numbers).size === 1 ? numbers[0] : numbers.join(', ');
}

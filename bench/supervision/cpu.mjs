// CPU that a daemon needs to watch 100 workers that do nothing.
import { setTimeout as pause } from 'node:timers/promises';
import { nodeWith, pm2With } from '../lib/contestants.mjs';
import { cpuMs, memoryKb } from '../lib/proc.mjs';
import { met } from '../lib/report.mjs';
import { median } from '../lib/stats.mjs';
import { left, remember } from '../lib/tidy.mjs';

const GOAL_PERCENT = 1;
const WORKERS = 100;
const SETTLE_MS = 10_000;
const WINDOW_MS = 20_000;
const WINDOWS = { quick: 2, full: 3 };
/** How often the node looks at its processes. */
const SAMPLING_MS = 2_000;
const SLEEPS = Array.from({ length: WORKERS }, () => ['/bin/sleep', '100000']);

export async function measureCpu({ quick, pm2 }) {
  const windows = quick ? WINDOWS.quick : WINDOWS.full;
  // All at once, so that they share each good and bad second; together they need a small part of one processor.
  const daemons = {
    'node, no workers': await nodeWith([]),
    [`node, each ${SAMPLING_MS / 1_000} s`]: await nodeWith(SLEEPS),
    'PM2 as it comes, each 30 s': await pm2With(pm2.command, SLEEPS),
    [`PM2 told ${SAMPLING_MS / 1_000} s`]: await pm2With(pm2.command, SLEEPS, {
      variables: { PM2_WORKER_INTERVAL: String(SAMPLING_MS) },
    }),
  };
  await pause(SETTLE_MS);
  const readings = [read(daemons)];
  for (let index = 0; index < windows; index++) {
    await pause(WINDOW_MS);
    readings.push(read(daemons));
  }
  for (const daemon of Object.values(daemons)) {
    remember(daemon.pid);
    await daemon.stop();
  }
  if ((await left()) > 0) console.error('cpu: a worker outlived its supervisor');
  const rows = Object.keys(daemons).map((name) =>
    row(
      name,
      readings.map((reading) => reading[name]),
    ),
  );
  const title = `CPU to watch ${WORKERS} idle workers, over ${(windows * WINDOW_MS) / 1_000} s`;
  return [{ title, rows, details: readings }];
}

function read(daemons) {
  const now = ([name, { pid }]) => [name, { atMs: performance.now(), cpu: cpuMs(pid), rssKb: memoryKb(pid) }];
  return Object.fromEntries(Object.entries(daemons).map(now));
}

function row(daemon, readings) {
  const shares = readings.slice(1).map((reading, index) => share(readings[index], reading));
  const whole = share(readings[0], readings.at(-1));
  return {
    daemon,
    '% of a core': whole.toFixed(2),
    'windows: least, median, most': [Math.min(...shares), median(shares), Math.max(...shares)]
      .map((value) => value.toFixed(2))
      .join(', '),
    [`goal < ${GOAL_PERCENT}`]: daemon.startsWith('node') ? met(whole < GOAL_PERCENT) : '',
    'RSS at the end, MiB': (readings.at(-1).rssKb / 1_024).toFixed(1),
  };
}

function share(from, to) {
  return (100 * (to.cpu - from.cpu)) / (to.atMs - from.atMs);
}

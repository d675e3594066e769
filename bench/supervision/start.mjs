// 100 workers at once: until the last of them runs, against a loop that spawns as many.
import { setTimeout as pause } from 'node:timers/promises';
import { nodeConfig, pm2Apps, stopNode } from '../lib/contestants.mjs';
import { openMqtt, publishFrame } from '../lib/mqtt.mjs';
import { accepted, runNode, writeConfig } from '../lib/node.mjs';
import { openPm2 } from '../lib/pm2.mjs';
import { CLI, message, script, startNode, stop } from '../lib/processes.mjs';
import { met } from '../lib/report.mjs';
import { States } from '../lib/states.mjs';
import { alternate, median, pairedDifference, pairedRatio } from '../lib/stats.mjs';
import { childrenOf, left, remember } from '../lib/tidy.mjs';

const GOAL_MS = 2_000;
const WORKERS = 100;
const READY_MS = 60_000;
const ASKED_AT_ONCE = 50;
const LOOK_MS = 5;
const ROUNDS = { quick: 1, full: 3 };
const SLEEP = ['/bin/sleep', '100000'];
const SLEEPS = Array.from({ length: WORKERS }, () => SLEEP);

export async function measureStarts({ quick, pm2 }) {
  const rounds = quick ? ROUNDS.quick : ROUNDS.full;
  const results = await alternate(rounds, {
    loop,
    config: byConfig,
    commands: byCommands,
    pm2: () => byPm2(pm2.command),
  });
  if ((await left()) > 0) console.error('start: a worker outlived its supervisor');
  const loopMs = results.loop.map(({ loopMs }) => loopMs);
  const coldLoopMs = results.loop.map(({ coldMs }) => coldMs);
  const running = results.pm2.map(({ runningMs }) => runningMs);
  const row = (name, values, bare, goal) => ({
    'what starts them': name,
    'median ms': median(values).toFixed(0),
    'least to most': `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`,
    'more than the loop, ms': bare ? pairedDifference(values, bare).toFixed(0) : '',
    '/ PM2': pairedRatio(values, running).toFixed(2),
    [`goal < ${GOAL_MS}`]: goal ? met(pairedDifference(values, bare) < GOAL_MS) : '',
  });
  const rows = [
    row('a loop', loopMs),
    row('a loop, with the start of its process', coldLoopMs),
    row('node, 100 commands', results.commands, loopMs, true),
    row('node by its config, with its own start', results.config, coldLoopMs, true),
    row('PM2 runs, `pm2 start`: until all run', running, loopMs, false),
    row(
      'PM2 runs, `pm2 start`: until it returns',
      results.pm2.map(({ returnedMs }) => returnedMs),
      loopMs,
      false,
    ),
  ];
  return [
    { title: `${WORKERS} workers \`sleep\` until the last one runs, medians of ${rounds}`, rows, details: results },
  ];
}

async function loop() {
  const startedMs = performance.now();
  const child = startNode(script('bare-loop.mjs'), [String(WORKERS), ...SLEEP]);
  const { tookMs } = await message(child);
  const coldMs = performance.now() - startedMs;
  remember(child.pid);
  await stop(child);
  return { loopMs: tookMs, coldMs };
}

async function byConfig() {
  const config = writeConfig(nodeConfig(SLEEPS));
  const startedMs = performance.now();
  const { child, client } = await accepted(CLI, ['run', '-c', config]);
  await allReady(client);
  const tookMs = performance.now() - startedMs;
  client.close();
  await stopNode(child);
  return tookMs;
}

async function byCommands() {
  const { child, client, port } = await runNode({ workers: { sleep: { command: SLEEP, ready: 'spawn' } } });
  const commander = await openMqtt(port, 'commander');
  await commander.subscribe('m/reply', 0);
  const ready = allReady(client);
  await client.ping();
  const startedMs = performance.now();
  command(commander);
  await ready;
  const tookMs = performance.now() - startedMs;
  for (const one of [client, commander]) one.close();
  await stopNode(child);
  return tookMs;
}

/** As many at a time as a node lets one client ask; the next with each answer. */
function command(commander) {
  let asked = 0;
  const ask = () => {
    if (asked === WORKERS) return;
    const start = { cmd: 'start', task_id: `bench${asked++}`, worker: 'sleep' };
    commander.write(publishFrame('m/cmd', Buffer.from(JSON.stringify(start)), 0));
  };
  commander.onMessage = (_, payload) => {
    const { status, error } = JSON.parse(payload.toString());
    if (status !== 'ok') throw new Error(`start: expected ok, got ${error}`);
    ask();
  };
  for (let index = 0; index < ASKED_AT_ONCE; index++) ask();
}

async function allReady(client) {
  const states = new States(client);
  await client.subscribe('m/state/+', 1);
  for (let index = 0; index < WORKERS; index++) await states.reached(`bench${index}`, 'ready', READY_MS);
}

async function byPm2(command) {
  const daemon = await openPm2(command);
  const startedMs = performance.now();
  let returnedMs;
  const returned = daemon.start(pm2Apps(SLEEPS)).then(() => {
    returnedMs = performance.now() - startedMs;
  });
  while (returnedMs === undefined && childrenOf(daemon.pid) < WORKERS) await Promise.race([pause(LOOK_MS), returned]);
  const runningMs = performance.now() - startedMs;
  await returned;
  await daemon.stop();
  return { runningMs, returnedMs };
}

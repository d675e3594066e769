// From SIGSTOP of a worker to the node's word that it is ending it. Goal: at most 1.5 times the heartbeat, and 200 ms.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { runNode } from './lib/node.mjs';
import { script, stop } from './lib/processes.mjs';
import { count, met, options, print } from './lib/report.mjs';
import { States } from './lib/states.mjs';
import { median, quantile } from './lib/stats.mjs';

const GOAL = { factor: 1.5, ms: 200 };
const WORKERS = { 'pings each 20 ms': 'pinging-worker.mjs', 'the SDK': 'sdk-worker.mjs' };
const START_MS = 30_000;

const given = options('SIGSTOP of a worker to its detection', {
  rounds: { default: '8', help: 'times that every worker is stopped' },
  workers: { default: '4', help: 'workers of each kind and heartbeat; all are watched by one node' },
});
const rounds = count(given.rounds, 'rounds');
const workersEach = count(given.workers, 'workers');

const rows = [];
const details = [];
for (const heartbeatMs of [1_000, 2_000]) {
  for (const [kind, file] of Object.entries(WORKERS)) {
    // How long the machine kept even us from running, who do nothing: the part of the worst that is not the node's.
    const stalls = monitorEventLoopDelay({ resolution: 10 });
    stalls.enable();
    const { lateMs, causes } = await measure(heartbeatMs, file);
    stalls.disable();
    const limitMs = GOAL.factor * heartbeatMs + GOAL.ms;
    const worst = quantile(lateMs, 1);
    rows.push({
      'heartbeat ms': heartbeatMs,
      worker: kind,
      stops: lateMs.length,
      'median ms': median(lateMs).toFixed(0),
      'p95 ms': quantile(lateMs, 0.95).toFixed(0),
      'worst ms': worst.toFixed(0),
      [`goal ≤ 1.5 × heartbeat + ${GOAL.ms}`]: `${limitMs}: ${met(worst <= limitMs)}`,
      'longest stall of the bench ms': (stalls.max / 1e6).toFixed(0),
      'other causes': causes,
    });
    details.push({ heartbeatMs, kind, lateMs });
  }
}
print(given, [{ title: 'SIGSTOP to state `stopping`', rows, details }]);

async function measure(heartbeatMs, file) {
  const taskIds = Array.from({ length: workersEach }, (_, index) => `bench${index}`);
  const { child, client } = await runNode({
    workers: {
      worker: {
        command: [process.execPath, script(file)],
        heartbeat_interval: heartbeatMs,
        backoff: { initial_ms: 0 },
        second_sig_duration: 0,
      },
    },
    tasks: taskIds.map((task_id) => ({ task_id, worker: 'worker' })),
  });
  const states = new States(client);
  await client.subscribe('m/state/+', 1);

  const lateMs = [];
  let causes = 0;
  const freeze = async (taskId, index) => {
    let { pid } = await states.reached(taskId, 'ready', START_MS);
    for (let round = 0; round < rounds; round++) {
      // Apart from each other, and at any moment of the heartbeat.
      await pause(500 + index * 37 + Math.random() * heartbeatMs);
      const stoppedMs = performance.now();
      process.kill(pid, 'SIGSTOP');
      const stopping = await states.reached(taskId, 'stopping', 10 * heartbeatMs);
      lateMs.push(stopping.atMs - stoppedMs);
      const next = await states.reached(taskId, 'ready', START_MS);
      if (next.cause !== 'heartbeat') causes++;
      pid = next.pid;
    }
  };
  await Promise.all(taskIds.map(freeze));
  client.close();
  await stop(child);
  return { lateMs, causes };
}

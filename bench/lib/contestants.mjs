import { runNode } from './node.mjs';
import { openPm2 } from './pm2.mjs';
import { stop } from './processes.mjs';
import { States } from './states.mjs';
import { remember } from './tidy.mjs';

/** The same workers under a node and under PM2. A worker is its command; it counts as up when its process runs.
 *  @typedef {{ pid: number, stop: () => Promise<void> }} Supervisor */

const READY_MS = 60_000;

/** @returns {Promise<Supervisor>} A node with all its workers up. */
export async function nodeWith(commands, worker = {}) {
  const { child, client } = await runNode(nodeConfig(commands, worker));
  const states = new States(client);
  await client.subscribe('m/state/+', 1);
  for (let index = 0; index < commands.length; index++) await states.reached(`bench${index}`, 'ready', READY_MS);
  client.close();
  remember(child.pid);
  return { pid: child.pid, stop: () => stopNode(child) };
}

export function nodeConfig(commands, worker = {}) {
  const workers = commands.map((command, index) => [`bench${index}`, { command, ready: 'spawn', ...worker }]);
  return {
    workers: Object.fromEntries(workers),
    tasks: workers.map(([name]) => ({ task_id: name, worker: name })),
  };
}

export async function stopNode(child) {
  remember(child.pid);
  await stop(child);
}

/** @returns {Promise<Supervisor>} A daemon of PM2 with all its workers up. */
export async function pm2With(command, commands, { variables = {}, app = {} } = {}) {
  const daemon = await openPm2(command, variables);
  if (commands.length > 0) await daemon.start(pm2Apps(commands, app));
  return daemon;
}

/** A Node script is run as PM2 does it when nothing else is asked: loaded by a container of its own. */
export function pm2Apps(commands, app = {}) {
  return commands.map(([program, ...args], index) => {
    const isNode = program === process.execPath;
    const how = isNode ? { script: args[0], args: args.slice(1) } : { script: program, args, interpreter: 'none' };
    return { name: `bench${index}`, ...how, ...app };
  });
}

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openMqtt } from './mqtt.mjs';
import { CLI, freePort, scratch, startNode, stop } from './processes.mjs';

/** Whole brokers, started as a user would: the node by its command line, Aedes by a script of a few lines. */

/** Asking more often would slow down what is measured. */
const RETRY_MS = 5;
const START_MS = 20_000;

/** @param {object} config As in the config file; a listener on a free port of loopback is added.
 *  @returns {Promise<{ file: string, port: number }>} */
export async function writeConfig(config) {
  const folder = scratch();
  const file = join(folder, 'node.yaml');
  const port = await freePort();
  const listeners = [{ type: 'mqtt', host: '127.0.0.1', port }];
  // JSON is YAML, too.
  writeFileSync(file, JSON.stringify({ data_dir: join(folder, 'data'), log: { level: 'warn' }, listeners, ...config }));
  return { file, port };
}

/** Starts a node by its command line; resolves once a client was accepted.
 *  @returns {Promise<{ child: import('node:child_process').ChildProcess, port: number, client: object }>} */
export async function runNode(config, options = {}) {
  const { file, port } = await writeConfig(config);
  return accepted(startNode(CLI, ['run', '-c', file], { ipc: false, ...options }), port);
}

/** The same for any broker that is on its way up.
 *  @param {{ name?: string }} [options] */
export async function accepted(child, port) {
  for (const startedMs = performance.now(); performance.now() - startedMs < START_MS; ) {
    if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}`);
    const client = await openMqtt(port, 'bench').catch(() => undefined);
    if (client) return { child, port, client };
    await pause(RETRY_MS);
  }
  await stop(child);
  throw new Error(`the broker accepted nobody within ${START_MS} ms`);
}

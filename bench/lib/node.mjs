import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openMqtt } from './mqtt.mjs';
import { CLI, scratch, startNode } from './processes.mjs';

/** Whole brokers, started as a user would: the node by its command line, Aedes by a script of a few lines. */

const START_MS = 20_000;

/** Writes a config file with a data directory and one listener, on a free port of loopback.
 *  @param {object} config As in the config file, beside those. */
export function writeConfig(config) {
  const folder = scratch();
  const file = join(folder, 'node.yaml');
  const listeners = [{ type: 'mqtt', host: '127.0.0.1', port: 0 }];
  // JSON is YAML, too.
  writeFileSync(file, JSON.stringify({ data_dir: join(folder, 'data'), listeners, ...config }));
  return file;
}

/** Starts a node by its command line; resolves once a client was accepted.
 *  @param {{ cpu?: number, execArgv?: string[] }} [options] As for `startNode`.
 *  @returns {Promise<{ child: import('node:child_process').ChildProcess, port: number, client: object }>} */
export function runNode(config, options = {}) {
  return accepted(CLI, ['run', '-c', writeConfig(config)], options);
}

/** The same for any broker that says on stdout where it listens. */
export async function accepted(file, args = [], options = {}) {
  const child = startNode(file, args, { ...options, talk: 'stdout' });
  const port = await listening(child);
  return { child, port, client: await openMqtt(port, 'bench') };
}

function listening(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no broker listened within ${START_MS} ms`)), START_MS);
    child.once('exit', (code, signal) => reject(new Error(`the broker ended with ${signal ?? code}`)));
    let text = '';
    child.stdout.on('data', (chunk) => {
      if (text === undefined) return;
      text += chunk;
      const port = /mqtt:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port === undefined) return;
      text = undefined;
      clearTimeout(timer);
      resolve(Number(port));
    });
  });
}

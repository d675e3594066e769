import { spawnSync } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { diskFolder } from './disk.mjs';
import { startProgram } from './processes.mjs';

/** Programs to measure beside, as their users install them: Debian's packages, which are named as the programs are. Each
 *  runs in the foreground, on loopback, with all it writes in a folder of its own. */

const START_MS = 10_000;
const LOOK_MS = 20;
/** Debian keeps daemons where only root's PATH looks. */
const FOLDERS = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'].filter(Boolean);

/** Where these programs are.
 *  @throws Naming all that are not there, and how to install them */
export function installed(...names) {
  const paths = Object.fromEntries(names.map((name) => [name, pathOf(name)]));
  const missing = names.filter((name) => paths[name] === undefined);
  if (missing.length > 0) {
    throw new Error(`not found on PATH: ${missing.join(', ')}; on Debian: apt-get install ${missing.join(' ')}`);
  }
  return paths;
}

function pathOf(name) {
  return FOLDERS.map((folder) => join(folder, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      // Not in this folder.
      return false;
    }
  });
}

/** Mosquitto that holds all for a session that is away. Never flushes before it acknowledges.
 *  @param {{ cpu?: number, saveEvery?: number }} [options] `saveEvery`: messages after which it writes all it holds to
 *    its file, by write(2); not given: not while this lasts. */
export async function startMosquitto(path, { cpu, saveEvery } = {}) {
  const folder = diskFolder();
  const port = await freePort();
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    // As root it would become another user, who may not write here.
    `user ${userInfo().username}`,
    'persistence true',
    `persistence_location ${folder}/`,
    `autosave_on_changes ${saveEvery !== undefined}`,
    `autosave_interval ${saveEvery ?? 3_600}`,
    'max_queued_messages 0',
    'max_queued_bytes 0',
    'log_dest none',
  ];
  return started(path, ['-c', written(folder, 'mosquitto.conf', `${lines.join('\n')}\n`)], { folder, port, cpu });
}

/** NATS with JetStream on files, and its MQTT listener. `sync`: such as `always`; the default flushes each 2 minutes.
 *  @returns Undefined where this version knows no such setting. */
export async function startNats(path, { cpu, sync } = {}) {
  const folder = diskFolder();
  const port = await freePort();
  const lines = [
    `listen: "127.0.0.1:${await freePort()}"`,
    'server_name: bench',
    `jetstream { store_dir: "${folder}", max_file_store: 16GB${sync === undefined ? '' : `, sync_interval: ${sync}`} }`,
    `mqtt { listen: "127.0.0.1:${port}" }`,
  ];
  const args = ['-c', written(folder, 'nats.conf', `${lines.join('\n')}\n`), '-l', join(folder, 'nats.log')];
  if (sync !== undefined && spawnSync(path, [...args, '-t'], { stdio: 'ignore' }).status !== 0) return undefined;
  return started(path, args, { folder, port, cpu });
}

/** Redis that flushes its log before it answers, and never rewrites it meanwhile. */
export async function startRedis(path, { cpu } = {}) {
  const folder = diskFolder();
  const port = await freePort();
  const settings = {
    bind: '127.0.0.1',
    port,
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'always',
    'auto-aof-rewrite-percentage': 0,
    save: '',
    logfile: join(folder, 'redis.log'),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return started(path, args, { folder, port, cpu });
}

/** What a program says of itself, first line. Some do so by their help alone, and fail. */
export function versionOf(path, flag = '--version') {
  return spawnSync(path, [flag], { encoding: 'utf8' }).stdout.split('\n')[0];
}

function written(folder, name, text) {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function started(path, args, { folder, port, cpu }) {
  const child = startProgram(path, args, { cpu });
  const until = performance.now() + START_MS;
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`${path}: ended with ${child.exitCode}`);
    if (performance.now() > until) throw new Error(`${path}: no connection within ${START_MS} ms`);
    await pause(LOOK_MS);
  }
  return { child, port, folder };
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

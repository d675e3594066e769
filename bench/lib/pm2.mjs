import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { scratch } from './processes.mjs';
import { remember } from './tidy.mjs';

/** PM2 to measure beside: run as a program of its own, in a home of its own. It is under the AGPL, so it is no
 *  dependency of ours: installed outside of the package, on the first run, and kept there. */

const MAJOR = 7;
const INSTALL_MS = 180_000;
const COMMAND_MS = 120_000;
const KILL_MS = 30_000;
const run = promisify(execFile);
const open = new Set();

// Before the folders are removed, with the socket in them by which it is told.
process.prependListener('exit', () => {
  for (const { home, command } of open) {
    remember(daemonPid(home));
    spawnSync(process.execPath, [command, 'kill'], { env: environment(home), stdio: 'ignore', timeout: KILL_MS });
  }
});

/** The path of PM2's command line and its version. Installs it below the system's temporary folder if it is not there.
 *  @throws When the registry cannot be reached, or that folder belongs to somebody else. */
export function installPm2() {
  const folder = join(tmpdir(), `super-node-bench-pm2-${MAJOR}-${process.getuid()}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Its code is run: nobody else may have put it there.
  if (statSync(folder).uid !== process.getuid()) throw new Error(`${folder}: expected to own it, got another owner`);
  const home = join(folder, 'node_modules', 'pm2');
  if (!existsSync(join(home, 'package.json'))) {
    console.error(`installing pm2@${MAJOR} into ${folder}`);
    npmInstall(folder);
  }
  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  console.error(`PM2 ${version} in ${folder}`);
  return { command: join(home, 'bin', 'pm2'), version };
}

function npmInstall(folder) {
  const flags = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--ignore-scripts', '--fetch-retries=1'];
  const args = ['install', ...flags, '--prefix', folder, `pm2@${MAJOR}`];
  try {
    execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: INSTALL_MS });
  } catch (error) {
    const why = String(error.stderr ?? error.message).trim();
    throw new Error(
      `pm2@${MAJOR} could not be installed; is the registry within reach? \`--only sampling\` needs none.\n${why}`,
    );
  }
}

/** Starts a daemon of PM2 with nothing to supervise.
 *  @param {Record<string, string>} [variables] For the daemon, such as PM2_WORKER_INTERVAL.
 *  @returns {Promise<{ pid: number, start: (apps: object[]) => Promise<void>, stop: () => Promise<void> }>} */
export async function openPm2(command, variables = {}) {
  const home = scratch();
  const env = { ...environment(home), ...variables };
  const running = { home, command };
  const pm2 = (...args) => run(process.execPath, [command, ...args], { env, cwd: home, timeout: COMMAND_MS });
  open.add(running);
  await pm2('ping');
  const pid = daemonPid(home);
  remember(pid);
  const start = async (apps) => {
    const file = join(home, 'bench.config.cjs');
    writeFileSync(file, `module.exports = ${JSON.stringify({ apps })};\n`);
    await pm2('start', file);
    remember(pid);
  };
  const stop = async () => {
    remember(pid);
    await pm2('kill');
    open.delete(running);
  };
  return { pid, start, stop };
}

function environment(home) {
  return { PATH: process.env.PATH, HOME: home, PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true' };
}

function daemonPid(home) {
  const file = join(home, 'pm2.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

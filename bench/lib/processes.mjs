import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Processes of a benchmark. All of them end with it, however it ends. */

export const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const STOP_MS = 5_000;
const SCRIPT_MS = 30_000;
/** Variables of the shell that runs a benchmark may change what Node does when it starts; these do not. */
const ENVIRONMENT = { PATH: process.env.PATH, HOME: process.env.HOME };
const running = new Set();
const folders = [];
process.on('exit', () => {
  // Not SIGKILL: what they started themselves must end as well.
  for (const child of running) child.kill('SIGTERM');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const mayPin = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;

/** The path of a script of this folder. */
export function script(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Starts a Node script.
 *  @param {{ cpu?: number, execArgv?: string[], talk?: 'messages' | 'stdout' | 'not' }} [options]
 *    `cpu`: the one CPU it may use, where taskset is there. */
export function startNode(file, args = [], { execArgv = [], talk = 'messages', ...options } = {}) {
  return startProgram(process.execPath, [...execArgv, file, ...args], { talk, ...options });
}

/** Starts any program. Options as those of `startNode`. */
export function startProgram(path, args = [], { cpu, talk = 'not' } = {}) {
  const command = [path, ...args];
  if (cpu !== undefined && mayPin) command.unshift('taskset', '-c', String(cpu));
  const [program, ...rest] = command;
  const stdio = ['ignore', talk === 'stdout' ? 'pipe' : 'ignore', 'inherit', ...(talk === 'messages' ? ['ipc'] : [])];
  const child = spawn(program, rest, { stdio, env: ENVIRONMENT });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Runs a Node script to its end; what it wrote to stdout. */
export function runScript(file, args = []) {
  return execFileSync(process.execPath, [file, ...args], { encoding: 'utf8', env: ENVIRONMENT, timeout: SCRIPT_MS });
}

/** Asks by SIGTERM, and insists after 5 s. */
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  child.kill('SIGTERM');
  await once(child, 'exit');
  clearTimeout(timer);
}

/** The next message of a child; rejects when it ends without one. */
export function message(child) {
  return new Promise((resolve, reject) => {
    const onExit = (code, signal) => reject(new Error(`child ${child.pid} ended with ${signal ?? code}`));
    child.once('exit', onExit);
    child.once('message', (value) => {
      child.off('exit', onExit);
      resolve(value);
    });
  });
}

/** Gives a child an order and waits for its answer; rejects with the `error` in it. */
export async function ask(child, what) {
  child.send(what);
  const answer = await message(child);
  if (answer.error) throw new Error(answer.error);
  return answer;
}

/** A folder that is removed at the end. */
export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), 'super-node-bench-'));
  folders.push(folder);
  return folder;
}

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Supervisors detach what they start, so their workers do not end with the benchmark. Whatever was once seen below a
 *  process that is remembered here ends with it, however it ends. */

const GONE_MS = 10_000;
const LOOK_MS = 20;
const seen = new Map();
const roots = new Set();

// Before anything is told to end: later nobody knows any more whose children they were.
process.prependListener('exit', () => {
  for (const root of [process.pid, ...roots]) remember(root);
  seen.delete(process.pid);
});
process.on('exit', () => {
  const until = performance.now() + GONE_MS;
  while (survivors().length > 0 && performance.now() < until) sleepSync(LOOK_MS);
  for (const pid of survivors()) {
    console.error(`process ${pid} outlived its supervisor and is killed`);
    process.kill(pid, 'SIGKILL');
  }
});
// The other signals are in processes.mjs.
process.once('SIGHUP', () => process.exit(1));

/** Notes a process and all below it, now and once more at the end. */
export function remember(root) {
  roots.add(root);
  const all = everyProcess();
  const below = new Set([root]);
  for (let before = 0; before < below.size; ) {
    before = below.size;
    for (const { pid, parent } of all) if (below.has(parent)) below.add(pid);
  }
  for (const { pid, startTime } of all) if (below.has(pid)) seen.set(pid, startTime);
}

/** Waits until all that was seen so far is gone; how many processes were left after 10 s. */
export async function left() {
  roots.clear();
  const until = performance.now() + GONE_MS;
  while (survivors().length > 0 && performance.now() < until) await pause(LOOK_MS);
  return survivors().length;
}

/** The number of a process' own children. */
export function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).length;
}

function survivors() {
  for (const [pid, startTime] of seen) {
    const now = statOf(pid);
    if (now?.startTime !== startTime || now.state === 'Z') seen.delete(pid);
  }
  return [...seen.keys()];
}

function everyProcess() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => statOf(Number(pid)))
    .filter(Boolean);
}

function statOf(pid) {
  let text;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // It ended meanwhile.
    return undefined;
  }
  // The program's name may hold spaces and parentheses, so fields count from the last `)` [proc(5)].
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0], parent: Number(fields[1]), startTime: fields[19] };
}

function sleepSync(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

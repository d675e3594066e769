import { setTimeout as pause } from 'node:timers/promises';
import { asFailure, EXIT, Failure } from '../failure.js';
import { type Io, writeLine } from '../io.js';
import type { NodeClient } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, withNode } from '../options.js';
import { type Fields, fieldsOf, listOf, textOf } from '../reply-data.js';
import { jsonLine } from '../text.js';

/** How often a task that starts is looked at. */
const LOOK_MS = 100;

/** Nobody wants these to run. */
const RESTING = new Set(['stopped', 'exited', 'failed']);
/** Where a worker passes on its way back to `ready`. */
const ON_THE_WAY = new Set(['pending', 'starting', 'stopping']);

/** Restarts every process task that is to run, one after the other, each once the one before is ready again. Jobs are
 *  left alone: each of their runs is a new process anyway.
 *  @param timeoutMs Longest time of one task, from the command until it is ready
 *  @throws Failure with exit code 1 at the first that does not come back; those after it are left alone */
export async function restartAll(options: ClientOptions, timeoutMs: number, io: Io): Promise<void> {
  await withNode(addressOf(options, io.env, timeoutMs), io, async (node) => {
    const tasks = await tasksToRestart(node);
    if (tasks.length === 0 && !options.json) await writeLine(io.stderr, 'no task to restart');
    for (const [index, task] of tasks.entries()) {
      try {
        const readyMs = Math.round(await restart(node, task, timeoutMs));
        const text = `${task} restarted, ready after ${(readyMs / 1_000).toFixed(1)} s (${index + 1}/${tasks.length})`;
        await writeLine(
          io.stdout,
          options.json ? jsonLine({ task_id: task, status: 'restarted', ready_ms: readyMs }) : text,
        );
      } catch (thrown) {
        throw await abandoned(asFailure(thrown), task, tasks.slice(index + 1), options, io);
      }
    }
  });
}

/** In the order of the node. */
async function tasksToRestart(node: NodeClient): Promise<string[]> {
  const { tasks } = fieldsOf(dataOf(await node.request(node.topics.stat(), {})));
  return listOf(tasks)
    .map(fieldsOf)
    .filter(({ kind, state, runs }) => kind === 'process' && runs === undefined && !RESTING.has(textOf(state)))
    .map(({ task_id }) => textOf(task_id));
}

/** Gives how long it took until the task was ready again, ms. */
async function restart(node: NodeClient, task: string, timeoutMs: number): Promise<number> {
  const startedMs = performance.now();
  let state = 'no answer';
  const late = () => new Failure(EXIT.refused, `${task}: expected ready within ${timeoutMs} ms, got ${state}`);
  const ask = async (topic: string, body: object) => {
    const leftMs = timeoutMs - (performance.now() - startedMs);
    if (leftMs < 1) throw late();
    return fieldsOf(dataOf(await node.request(topic, body, { timeoutMs: leftMs, late })));
  };
  await ask(node.topics.cmd, { cmd: 'restart', task_id: task });
  for (;;) {
    const status = await ask(node.topics.stat(task), {});
    if (isBack(task, status)) return performance.now() - startedMs;
    state = textOf(status.state);
    await pause(LOOK_MS);
  }
}

/** A pool is back when each of its workers is.
 *  @throws Failure with exit code 1 when one is not on its way either */
function isBack(task: string, status: Fields): boolean {
  const workers = listOf(status.workers).map(fieldsOf);
  const seats = workers.length === 0 ? [status] : workers;
  const astray = seats.find(({ state }) => state !== 'ready' && !ON_THE_WAY.has(textOf(state)));
  if (astray === undefined) return seats.every(({ state }) => state === 'ready');
  const { worker_id = task, state, cause, error, exit_code, signal } = astray;
  const details = Object.entries({ cause, error, exit_code, signal })
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name} ${textOf(value)}`);
  const why = details.length === 0 ? '' : ` (${details.join(', ')})`;
  throw new Failure(EXIT.refused, `${textOf(worker_id)}: expected ready again, got ${textOf(state)}${why}`);
}

/** Tells how far it came. What the user ended himself needs no words. */
async function abandoned(
  failure: Failure,
  task: string,
  untouched: readonly string[],
  options: ClientOptions,
  io: Io,
): Promise<Failure> {
  const { exitCode, message, code, silent } = failure;
  if (silent) return failure;
  if (options.json) {
    await writeLine(io.stdout, jsonLine({ task_id: task, status: 'error', error: message, code }));
    for (const left of untouched) await writeLine(io.stdout, jsonLine({ task_id: left, status: 'untouched' }));
  }
  const rest = untouched.length === 0 ? '' : `; left untouched: ${untouched.join(', ')}`;
  return new Failure(exitCode, `${message}${rest}`, { code, silent: options.json === true });
}

// The least that starts many programs: a loop. node bare-loop.mjs COUNT PROGRAM [ARG …]; sends { pids, tookMs } when all
// run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const [count, program, ...args] = process.argv.slice(2);
const startedMs = performance.now();
// The session and the streams that a node gives its workers.
const stdio = ['ignore', 'pipe', 'pipe'];
const children = Array.from({ length: Number(count) }, () => spawn(program, args, { detached: true, stdio }));
await Promise.all(children.map((child) => once(child, 'spawn')));
process.send({ pids: children.map(({ pid }) => pid), tookMs: performance.now() - startedMs });

process.once('SIGTERM', async () => {
  const ended = Promise.all(children.map((child) => once(child, 'exit')));
  for (const child of children) child.kill('SIGKILL');
  await ended;
  process.exit(0);
});

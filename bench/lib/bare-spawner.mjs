// The least that is a supervisor: spawns a program, and again on its 'exit'. node bare-spawner.mjs PROGRAM [ARG …]
import { spawn } from 'node:child_process';

const [program, ...args] = process.argv.slice(2);
let child;
let ending = false;

function start() {
  // The session and the streams that a node gives its workers.
  child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.resume();
  child.stderr.resume();
  child.once('exit', () => (ending ? process.exit(0) : start()));
}

start();
process.once('SIGTERM', () => {
  ending = true;
  child.kill('SIGKILL');
});

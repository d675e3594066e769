#!/usr/bin/env node
import { constants } from 'node:os';
import { keyboardOf } from './keyboard.js';
import { runCli } from './program.js';

/** The process around the command line: signals, broken pipes, the exit code. */

/** What is still on its way to a pipe gets so long. */
const EXIT_MS = 1_000;

const interrupted = new AbortController();
// A terminal that closes ends a node in its order, like everything else.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  const exitCode = 128 + constants.signals[name];
  process.on(name, () => {
    if (interrupted.signal.aborted) process.exit(exitCode);
    interrupted.abort(exitCode);
  });
}

// `super-node fetch | head` ends us once head has enough. What was not written is not acknowledged.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    // Where stderr itself is the one that fails, nobody is left to tell.
    if (stream !== process.stderr) process.stderr.write(`super-node: cannot write: ${error.message}\n`);
    process.exit(1);
  });
}

const { stdin, stdout, stderr, env } = process;
const keyboard = keyboardOf(stdin, stdout);
const io = { stdin, stdout, stderr, keyboard, env, interrupted: interrupted.signal };
process.exitCode = await runCli(process.argv.slice(2), io);
// All is said and written. A child that does not die, say, must not keep us.
setTimeout(() => process.exit(), EXIT_MS).unref();

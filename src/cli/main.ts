#!/usr/bin/env node
import { constants } from 'node:os';
import { isBrokenPipe } from './io.js';
import { keyboardOf } from './keyboard.js';
import { runCli } from './program.js';

/** The process around the command line: signals, broken pipes, the exit code. */

/** What is still on its way to a pipe gets so long. */
const EXIT_MS = 1_000;
/** A command that cannot write ends by itself before that. */
const WRITE_ERROR_MS = 2_000;

const interrupted = new AbortController();
// A terminal that closes ends a node in its order, like everything else.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  const exitCode = 128 + constants.signals[name];
  process.on(name, () => {
    if (interrupted.signal.aborted) process.exit(exitCode);
    interrupted.abort(exitCode);
  });
}

// Whoever writes is told why it cannot, and ends the command in its order: what was fetched goes back. Only what writes
// without asking is ended here.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    setTimeout(() => process.exit(isBrokenPipe(error) ? 0 : 1), WRITE_ERROR_MS).unref();
  });
}

const { stdin, stdout, stderr, env } = process;
const keyboard = keyboardOf(stdin, stdout);
const io = { stdin, stdout, stderr, keyboard, env, interrupted: interrupted.signal };
process.exitCode = await runCli(process.argv.slice(2), io);
// All is said and written. A child that does not die, say, must not keep us.
setTimeout(() => process.exit(), EXIT_MS).unref();

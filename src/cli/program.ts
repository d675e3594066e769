import { Command, CommanderError } from 'commander';
import { packageVersion } from '../app/version.js';
import { addConfigCommands } from './commands/config.js';
import { addFetchCommand } from './commands/fetch.js';
import { addFollowCommands } from './commands/follow.js';
import { addLogsCommand } from './commands/logs.js';
import { addQueueCommands } from './commands/queue.js';
import { addRunCommand, type StartNode } from './commands/run.js';
import { addStatCommand } from './commands/stat.js';
import { addTaskCommands } from './commands/tasks.js';
import { addTopCommand } from './commands/top.js';
import { SCHEMES } from './connect.js';
import { asFailure, EXIT, failureLine } from './failure.js';
import { type Io, writeLine } from './io.js';
import { lookOf } from './table.js';

const EPILOGUE = `
Examples:
  super-node init && super-node run
  super-node start cam1 -w camera -p rtsp://cam1/stream
  super-node top --sort cpu
  super-node logs cam1 -f
  super-node fetch cam1 -n 100 --json
  super-node send cam1 '{"zoom": 2}'
  super-node call llm 'Why is the sky blue?'

Environment, for all commands that speak to a node:
  SN_URL                       ${SCHEMES};
                               default mqtt://127.0.0.1:1883, with http:// port 8080
  SN_USERNAME, SN_PASSWORD     better than --password, which shows in the list of processes
  SN_TOPIC_PREFIX              the node's topic prefix; none over HTTP
  NO_COLOR                     no colours

Exit codes:
  0          done
  1          the node answered with an error, or could not start
  2          wrong usage, or a config or a file that is not valid
  3          cannot connect, connection lost, or no answer in time
  130, 143   ended by SIGINT, SIGTERM`;

/** Runs one command line and gives its exit code. Never rejects.
 *  @param argv The arguments, without node and script */
export async function runCli(argv: readonly string[], io: Io, startNode?: StartNode): Promise<number> {
  try {
    await buildProgram(io, startNode).parseAsync([...argv], { from: 'user' });
    return EXIT.ok;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const failure = asFailure(thrown);
    if (!failure.silent) await writeLine(io.stderr, failureLine(failure)).catch(() => undefined);
    return failure.exitCode;
  }
}

function buildProgram(io: Io, startNode: StartNode | undefined): Command {
  const program = new Command('super-node')
    .description('An MQTT broker, a supervisor for workers in any language, and an ordered queue per task.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, print) => print(text.replace(/^error: /, 'super-node: ')),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      getOutHasColors: () => lookOf(io.stdout, io.env).colour,
      getErrHasColors: () => lookOf(io.stderr, io.env).colour,
    })
    .addHelpText('after', EPILOGUE);
  program.commandsGroup('Node:');
  addRunCommand(program, io, startNode);
  addConfigCommands(program, io);
  program.commandsGroup('Tasks:');
  addTaskCommands(program, io);
  program.commandsGroup('Looking and taking:');
  addStatCommand(program, io);
  addTopCommand(program, io);
  addFetchCommand(program, io);
  addQueueCommands(program, io);
  addFollowCommands(program, io);
  addLogsCommand(program, io);
  return program;
}

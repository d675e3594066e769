import type { Command } from 'commander';
import { COMMAND_SCHEMAS } from '../../core/request-schema.js';
import { SIGNALS, TaskSchema } from '../../core/task-schema.js';
import { nearest, textFor, validate } from '../../core/validate.js';
import { asFailure, EXIT, Failure, failureLine } from '../failure.js';
import { type Io, readPayload, writeLine } from '../io.js';
import {
  addressOf,
  type ClientOptions,
  printAnswer,
  taskId,
  taskIds,
  withClientOptions,
  withNode,
} from '../options.js';
import { fieldsOf, listOf, textOf } from '../reply-data.js';
import { lookOf, renderTable } from '../table.js';
import { addCallCommand } from './call.js';
import { restartAll } from './rolling-restart.js';

/** A stop answers when the process is gone, which may take its whole `second_sig_duration`. */
const STOP_TIMEOUT_MS = 60_000;

/** start, stop, restart, remove, signal, send, call, workers: the commands of `m/cmd`. */
export function addTaskCommands(program: Command, io: Io): void {
  addStart(program, io);
  addPlain(program, io, 'stop', 'stopped', 'end the workers of tasks; the answer comes when they are gone');
  addRestart(program, io);
  addPlain(program, io, 'remove', 'removed', 'stop tasks and forget them, their queues included');
  addSignal(program, io);
  addSend(program, io);
  addCallCommand(program, io);
  addWorkers(program, io);
}

interface RestartOptions extends ClientOptions {
  readonly all?: boolean;
}

function addRestart(program: Command, io: Io): void {
  const command = program
    .command('restart')
    .argument('[task...]', 'ids of tasks', taskIds)
    .description('stop tasks and start them again')
    .option('--all', 'every task that runs a process, one after the other, each once the one before is ready');
  withClientOptions(command, STOP_TIMEOUT_MS)
    .addHelpText(
      'after',
      `
--all leaves alone what is stopped, exited or failed, net clients, and jobs, which start anew by themselves. A pool
restarts as a whole, all its workers at once. It ends at the first task that is not ready again within --timeout, or
that fails on the way, and names those that it did not come to.`,
    )
    .action(async (tasks: string[], options: RestartOptions) => {
      if (options.all && tasks.length > 0) {
        throw new Failure(EXIT.usage, `restart: expected tasks or --all, got --all and ${tasks.join(' ')}`);
      }
      if (!options.all && tasks.length === 0)
        throw new Failure(EXIT.usage, 'restart: expected tasks or --all, got neither');
      if (options.all) return restartAll(options, options.timeout ?? STOP_TIMEOUT_MS, io);
      await forEachTask(tasks, { cmd: 'restart' }, 'restarted', options, io);
    });
}

function addPlain(program: Command, io: Io, name: string, done: string, description: string): void {
  const command = program.command(`${name} <task...>`).description(description);
  command.registeredArguments[0]?.argParser(taskIds);
  withClientOptions(command, STOP_TIMEOUT_MS).action(async (tasks: string[], options: ClientOptions) => {
    await forEachTask(tasks, { cmd: name }, done, options, io);
  });
}

interface StartOptions extends ClientOptions {
  readonly worker?: string;
  readonly startParams?: string;
  readonly set?: string[];
}

function addStart(program: Command, io: Io): void {
  const command = program
    .command('start')
    .argument('<task>', 'id of the task', taskId)
    .description('start a task from a worker template')
    .option('-w, --worker <name>', 'template; `super-node workers` lists them')
    .option('-p, --start-params <text>', 'handed to the worker as SN_START_PARAMS')
    .option(
      '--set <key=value>',
      'any other field, such as queue.length=50; may be repeated',
      (text, before: string[]) => [...before, text],
      [],
    );
  withClientOptions(command, STOP_TIMEOUT_MS)
    .addHelpText('after', '\nExample:\n  super-node start cam1 -w camera -p rtsp://cam1/stream --set queue.length=100')
    .action(async (task: string, options: StartOptions) => {
      const body = startBody(task, options);
      await forEachTask([task], body, 'started', options, io);
    });
}

/** The start command of the arguments, checked before it is sent.
 *  @throws SuperNodeError SN_ERR_REQUEST, Failure with exit code 2 */
export function startBody(task: string, options: StartOptions): Record<string, unknown> {
  const body: Record<string, unknown> = {
    cmd: 'start',
    task_id: task,
    ...(options.worker === undefined ? {} : { worker: options.worker }),
    ...(options.startParams === undefined ? {} : { start_params: options.startParams }),
  };
  for (const setting of options.set ?? []) assign(body, setting);
  return validate(COMMAND_SCHEMAS.start, body, 'SN_ERR_REQUEST', 'start');
}

/** `queue.length=50` → `{queue: {length: 50}}`. Lists and objects are written as JSON. */
function assign(body: Record<string, unknown>, setting: string): void {
  const [, key, text] = /^([a-z_]+(?:\.[A-Za-z_][A-Za-z0-9_]*)?)=(.*)$/s.exec(setting) ?? [];
  if (key === undefined || text === undefined) {
    throw new Failure(EXIT.usage, `--set: expected key=value, got ${JSON.stringify(setting)}`);
  }
  const [field = '', below] = key.split('.');
  const path = below === undefined ? [field] : [field, below];
  const value = /^[[{]/.test(text) ? parseJson(setting, text) : textFor(TaskSchema, path, text);
  body[field] = below === undefined ? value : { ...fieldsOf(body[field]), [below]: value };
}

function parseJson(setting: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure(EXIT.usage, `--set: expected JSON after =, got ${JSON.stringify(setting)}`);
  }
}

/** One command for each task, all at once; each says how it went. Ends with 1 if any was refused. */
async function forEachTask(
  tasks: readonly string[],
  body: Record<string, unknown>,
  done: string,
  options: ClientOptions,
  io: Io,
): Promise<void> {
  await withNode(addressOf(options, io.env, STOP_TIMEOUT_MS), io, async (node) => {
    const results = await Promise.allSettled(
      tasks.map(async (task) => {
        const envelope = await node.request(node.topics.cmd, { ...body, task_id: task });
        await printAnswer(envelope, options, io, () => writeLine(io.stdout, `${task} ${done}`));
      }),
    );
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [asFailure(result.reason)] : []));
    for (const line of new Set(failures.filter(({ silent }) => !silent).map(failureLine))) {
      await writeLine(io.stderr, line);
    }
    const [first] = failures;
    if (first !== undefined) throw new Failure(first.exitCode, first.message, { silent: true });
  });
}

function addSignal(program: Command, io: Io): void {
  const command = program
    .command('signal')
    .argument('<task>', 'id of the task', taskId)
    .argument('<signal>', 'such as SIGHUP or HUP', signalName)
    .description('send a signal to the process group of a task');
  withClientOptions(command, STOP_TIMEOUT_MS).action(async (task: string, sig: string, options: ClientOptions) => {
    await forEachTask([task], { cmd: 'signal', sig }, `got ${sig}`, options, io);
  });
}

function signalName(text: string): string {
  const name = text.toUpperCase().startsWith('SIG') ? text.toUpperCase() : `SIG${text.toUpperCase()}`;
  if (SIGNALS.some((known) => known === name)) return name;
  const near = nearest(name, SIGNALS);
  const hint = near === undefined ? `one of ${SIGNALS.join(', ')}` : `a signal, did you mean ${near}?`;
  throw new Failure(EXIT.usage, `signal: expected ${hint}${near === undefined ? `, got ${text}` : ''}`);
}

function addSend(program: Command, io: Io): void {
  const command = program
    .command('send')
    .argument('<task>', 'id of the task', taskId)
    .argument('<payload>', 'text, or - for all of stdin, byte for byte')
    .description('send bytes to the connected workers of a task');
  withClientOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  super-node send cam1 \'{"zoom": 2}\'\n  super-node send cam1 - < firmware.bin',
    )
    .action(async (task: string, payload: string, options: ClientOptions) => {
      const bytes = await readPayload(payload, io);
      await withNode(addressOf(options, io.env), io, async (node) => {
        const envelope = await node.requestRaw(node.topics.taskCmd(task), bytes);
        await printAnswer(envelope, options, io, (data) => {
          const channels = textOf(fieldsOf(data).channels);
          return writeLine(io.stdout, `${bytes.length} bytes sent to ${task}${channels && ` (channels: ${channels})`}`);
        });
      });
    });
}

function addWorkers(program: Command, io: Io): void {
  const command = program.command('workers').description('list the worker templates: what may be started');
  withClientOptions(command).action(async (options: ClientOptions) => {
    await withNode(addressOf(options, io.env), io, async (node) => {
      const envelope = await node.request(node.topics.cmd, { cmd: 'workers' });
      await printAnswer(envelope, options, io, async (data) => {
        const rows = listOf(fieldsOf(data).workers)
          .map(fieldsOf)
          .map(({ name, command: argv }) => [textOf(name), listOf(argv).map(textOf).join(' ') || '(net client)']);
        if (rows.length === 0) return writeLine(io.stderr, 'no templates; they stand below `workers:` in the config');
        const table = renderTable([{ title: 'WORKER' }, { title: 'COMMAND' }], rows, lookOf(io.stdout, io.env));
        await writeLine(io.stdout, table.join('\n'));
      });
    });
  });
}

import type { Command } from 'commander';
import { LIMITS } from '../../core/limits.js';
import { timeText } from '../cells.js';
import type { Envelope } from '../client.js';
import { EXIT, Failure } from '../failure.js';
import { type Io, writeLine } from '../io.js';
import { addressOf, type ClientOptions, dataOf, integer, taskId, withClientOptions, withNode } from '../options.js';
import { type Fields, fieldsOf, listOf, textOf } from '../reply-data.js';
import { lookOf, painted } from '../table.js';
import { jsonLine, oneLine } from '../text.js';
import { LateLines, lateOnes } from './late-lines.js';

const LINES_DEFAULT = 100;

interface LogsOptions extends ClientOptions {
  readonly lines?: number;
  readonly follow?: boolean;
  readonly timestamps?: boolean;
}

/** logs: what workers wrote to stdout and stderr, and what they write now. */
export function addLogsCommand(program: Command, io: Io): void {
  const command = program
    .command('logs')
    .argument('[task]', 'id of a task; without it: all tasks, from now on', taskId)
    .description('print the lines that workers write to stdout and stderr')
    .option(
      '-n, --lines <count>',
      `how many of the last lines (default ${LINES_DEFAULT})`,
      integer(0, LIMITS.logTailLines),
    )
    .option('-f, --follow', 'go on with new lines until Ctrl-C')
    .option('-t, --timestamps', 'begin each line with its time; of a new one: when it came here');
  withClientOptions(command)
    .addHelpText(
      'after',
      `
A node holds the last ${LIMITS.logTailLines} lines of each task in memory. Without a task new lines alone are printed, those of all tasks.

Examples:
  super-node logs cam1 -n 20
  super-node logs cam1 -f -t`,
    )
    .action(async (task: string | undefined, options: LogsOptions) => {
      if (task === undefined) return followAll(options, io);
      await printLogs(task, options, io);
    });
}

async function followAll(options: LogsOptions, io: Io): Promise<void> {
  if (options.lines !== undefined) {
    throw new Failure(EXIT.usage, '--lines: expected a task, whose last lines are printed, got none');
  }
  await withNode(addressOf(options, io.env), io, async (node) => {
    await node.listen(node.topics.log('+'), (topic, payload) => {
      const from = topic.slice(topic.lastIndexOf('/') + 1);
      return print(liveLine(from, payload), from, options, io);
    });
    await node.ended;
  });
}

async function printLogs(task: string, options: LogsOptions, io: Io): Promise<void> {
  const { lines = LINES_DEFAULT, follow = false } = options;
  await withNode(addressOf(options, io.env), io, async (node) => {
    // What comes live before the reply is part of it; what comes after is new, but for what was late.
    const listenedMs = performance.now();
    let late = lines === 0 ? new LateLines([], listenedMs) : undefined;
    if (follow) {
      await node.listen(node.topics.log(task), async (_topic, payload) => {
        if (late === undefined || late.has(payload.toString('utf8'), performance.now())) return;
        await print(liveLine(task, payload), undefined, options, io);
      });
    }
    if (lines > 0) {
      const accept = async (envelope: Envelope) => {
        const history = listOf(fieldsOf(envelope.data).lines).map(fieldsOf);
        const possible = lateOnes(history, performance.now() - listenedMs);
        for (const line of history) await print({ task_id: task, ...line }, line.worker_id, options, io);
        late = new LateLines(possible, performance.now());
      };
      dataOf(await node.request(node.topics.cmd, { cmd: 'logs', task_id: task, lines }, { accept }));
    }
    if (follow) await node.ended;
  });
}

/** A live line tells neither its time nor its stream. */
function liveLine(task: string, payload: Buffer): Fields {
  return { task_id: task, line: payload.toString('utf8') };
}

/** @param name Whose line it is, where that is not clear */
async function print(line: Fields, name: unknown, options: LogsOptions, io: Io): Promise<void> {
  const { ts = Date.now() } = line;
  if (options.json) return writeLine(io.stdout, jsonLine(options.timestamps ? { ...line, ts } : line));
  const { colour } = lookOf(io.stdout, io.env);
  const parts = [
    ...(options.timestamps ? [painted(oneLine(timeText(ts)), 'dim', colour)] : []),
    ...(name === undefined ? [] : [painted(oneLine(textOf(name)), 'cyan', colour)]),
    oneLine(textOf(line.line)),
  ];
  await writeLine(io.stdout, parts.join('  '));
}

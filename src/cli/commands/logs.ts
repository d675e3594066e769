import type { Command } from 'commander';
import { LIMITS } from '../../core/limits.js';
import { timeText } from '../cells.js';
import { EXIT, Failure } from '../failure.js';
import { type Io, tellMissed, writeLine } from '../io.js';
import type { Envelope, Listener } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, integer, taskId, withClientOptions, withNode } from '../options.js';
import { type Fields, fieldsOf, listOf, textOf } from '../reply-data.js';
import { lookOf, painted } from '../table.js';
import { jsonLine, oneLine } from '../text.js';
import { knownOf, LateLines, lateOnes } from './late-lines.js';

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
    const listener: Listener = (topic, payload) => {
      const from = topic.slice(topic.lastIndexOf('/') + 1);
      return print(liveLine(from, payload), from, options, io);
    };
    await node.listen(node.topics.log('+'), listener, (messages) => tellMissed(messages, io));
    await node.ended;
  });
}

async function printLogs(task: string, options: LogsOptions, io: Io): Promise<void> {
  const { lines = LINES_DEFAULT, follow = false } = options;
  await withNode(addressOf(options, io.env), io, async (node) => {
    const listenedMs = performance.now();
    const early: string[] = [];
    let late = lines === 0 ? new LateLines([], listenedMs) : undefined;
    const live = (line: string) => print({ task_id: task, line }, undefined, options, io);
    if (follow) {
      const listener: Listener = async (_topic, payload) => {
        const line = payload.toString('utf8');
        if (late === undefined) early.push(line);
        else if (!late.has(line, performance.now())) await live(line);
      };
      await node.listen(node.topics.log(task), listener, (messages) => tellMissed(messages, io));
    }
    if (lines > 0) {
      const accept = async (envelope: Envelope) => {
        const history = listOf(fieldsOf(envelope.data).lines).map(fieldsOf);
        const possible = lateOnes(history, performance.now() - listenedMs);
        for (const line of history) await print({ task_id: task, ...line }, line.worker_id, options, io);
        const past = history.map(({ line }) => textOf(line));
        const known = node.keepsOrder ? early.length : knownOf(early, past, possible.length);
        // More may come while these are written.
        for (let next = known; next < early.length; next++) await live(early[next] ?? '');
        late = new LateLines(known < early.length ? [] : possible, performance.now());
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

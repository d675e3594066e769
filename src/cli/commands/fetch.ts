import { type Command, Option } from 'commander';
import { LIMITS } from '../../core/limits.js';
import { DEAD_GROUP } from '../../core/topics.js';
import { type Io, write, writeLine } from '../io.js';
import type { Envelope, NodeClient } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, integer, taskId, withClientOptions, withNode } from '../options.js';
import { payloadBytes, payloadLine } from '../payload.js';
import { fieldsOf, listOf, numberOf, textOf } from '../reply-data.js';
import { jsonLine } from '../text.js';

const FOLLOW_WAIT_MS = 30_000;
const FOLLOW_MAX = 100;

interface FetchOptions extends ClientOptions {
  readonly max?: number;
  readonly wait?: number;
  readonly encoding?: 'auto' | 'base64';
  readonly follow?: boolean;
  readonly group?: string;
  readonly dead?: boolean;
  readonly from?: number;
}

/** fetch: take entries out of the queues. */
export function addFetchCommand(program: Command, io: Io): void {
  const command = program
    .command('fetch')
    .argument('[task]', 'id of a task; without it: of all tasks, in order of arrival', taskId)
    .description('take entries out of a queue and print their payloads, one a line')
    .option('-n, --max <count>', 'most entries (default 1)', integer(1, LIMITS.fetchEntriesMax))
    .option('--wait <ms>', 'wait so long for the first entry', integer(0, LIMITS.fetchWaitMsMax))
    .option('-g, --group <name>', 'take for a group: each group gets every entry (default: the one without a name)')
    .addOption(new Option('--dead', 'take those that were given back too often').conflicts('group'))
    .addOption(
      new Option('--from <seq>', 'look at entries from there on, and take nothing')
        .argParser(integer(0, Number.MAX_SAFE_INTEGER))
        .conflicts(['group', 'dead', 'follow', 'wait']),
    )
    .addOption(new Option('--encoding <encoding>', 'base64: print every payload as base64').choices(['auto', 'base64']))
    .option('--follow', 'go on until Ctrl-C');
  withClientOptions(command)
    .addHelpText(
      'after',
      `
A taken entry is gone once it was printed; if it could not be, it goes back to the front of its queue.
--json prints one entry a line, with its seq, its time and its task.

Examples:
  super-node fetch cam1 -n 100 > entries.txt
  super-node fetch cam1 --from 0 -n 100 --json
  super-node fetch --follow --json | jq .payload`,
    )
    .action(async (task: string | undefined, options: FetchOptions) => {
      await withNode(addressOf(options, io.env), io, (node) => run(node, task, options, io));
    });
}

async function run(node: NodeClient, task: string | undefined, options: FetchOptions, io: Io): Promise<void> {
  const waitMs = options.wait ?? (options.follow ? FOLLOW_WAIT_MS : 0);
  const max = options.max ?? (options.follow ? FOLLOW_MAX : 1);
  const body = {
    max,
    ...(waitMs > 0 ? { wait_ms: waitMs } : {}),
    ...(options.dead ? { group: DEAD_GROUP } : {}),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(options.from === undefined ? {} : { from: { seq: options.from } }),
    ...(options.encoding === undefined ? {} : { encoding: options.encoding }),
  };
  const timeoutMs = addressOf(options, io.env).timeoutMs + waitMs;
  let droppedBefore = 0;
  do {
    const accept = async (envelope: Envelope) => {
      const { entries, dropped } = fieldsOf(envelope.data);
      for (const entry of listOf(entries)) await print(entry, task === undefined, options, io);
      droppedBefore = await tellDrops(numberOf(dropped) ?? 0, droppedBefore, io);
    };
    dataOf(await node.request(node.topics.fetch(task), body, { timeoutMs, accept }));
  } while (options.follow);
}

async function print(value: unknown, named: boolean, options: FetchOptions, io: Io): Promise<void> {
  const entry = fieldsOf(value);
  if (options.json) return writeLine(io.stdout, jsonLine(entry));
  const bytes = payloadBytes(entry);
  const name = named ? textOf(entry.task_id) : undefined;
  await write(io.stdout, payloadLine(bytes, { name, base64: options.encoding === 'base64' }, io));
}

/** Drops are cumulative; only what is new is told, and never on stdout. */
async function tellDrops(dropped: number, before: number, io: Io): Promise<number> {
  if (dropped > before)
    await writeLine(io.stderr, `super-node: ${dropped} entries dropped so far, as a queue was full`);
  return Math.max(dropped, before);
}

import type { Command } from 'commander';
import { type Io, writeLine } from '../io.js';
import type { NodeClient } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, printAnswer, taskId, withClientOptions, withNode } from '../options.js';
import { entryStart, queueView } from '../queue-view.js';
import { fieldsOf, listOf } from '../reply-data.js';
import { lookOf } from '../table.js';
import { jsonLine } from '../text.js';

/** queue inspect: what the node knows of one queue. */
export function addInspectCommand(queue: Command, io: Io): void {
  const command = queue
    .command('inspect')
    .argument('<task>', 'id of the task', taskId)
    .description('show a queue, its bounds, its groups and its oldest entry; takes nothing');
  withClientOptions(command)
    .addHelpText(
      'after',
      `
--json prints one object: {"task_id", "queue": as m/stat tells it, "oldest":
{"seq", "ts", "topic", "bytes", "start", "encoding"} or null}.

Examples:
  super-node queue inspect cam1
  super-node queue inspect cam1 --json | jq .queue.ready`,
    )
    .action(async (task: string, options: ClientOptions) => {
      await withNode(addressOf(options, io.env), io, (node) => inspect(node, task, options, io));
    });
}

async function inspect(node: NodeClient, task: string, options: ClientOptions, io: Io): Promise<void> {
  const status = await node.request(node.topics.stat(task), {});
  if (status.status === 'error') return printAnswer(status, options, io, async () => undefined);
  const read = await node.request(node.topics.fetch(task), { from: { seq: 0 }, max: 1 });
  if (read.status === 'error') return printAnswer(read, options, io, async () => undefined);
  const queue = fieldsOf(fieldsOf(dataOf(status)).queue);
  const [first] = listOf(fieldsOf(dataOf(read)).entries);
  const oldest = first === undefined ? undefined : entryStart(fieldsOf(first));
  const shown = options.json
    ? jsonLine({ task_id: task, queue, oldest: oldest ?? null })
    : queueView(task, queue, oldest, lookOf(io.stdout, io.env)).join('\n');
  await writeLine(io.stdout, shown);
}

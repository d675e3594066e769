import type { Command } from 'commander';
import { DEAD_GROUP } from '../../core/topics.js';
import { type Io, writeLine } from '../io.js';
import { addressOf, type ClientOptions, printAnswer, taskId, withClientOptions, withNode } from '../options.js';
import { type Fields, fieldsOf, listOf, numberOf, textOf } from '../reply-data.js';
import { lookOf, renderTable } from '../table.js';
import { inOrder } from '../task-order.js';
import { byteCount } from '../text.js';
import { addExportCommand } from './queue-export.js';
import { addImportCommand } from './queue-import.js';
import { addInspectCommand } from './queue-inspect.js';

const COLUMNS = [
  { title: 'TASK' },
  { title: 'GROUP' },
  ...['LENGTH', 'READY', 'DEAD', 'BYTES', 'DROPPED', 'LAST SEQ'].map((title) => ({ title, align: 'right' as const })),
];

/** queue ls, inspect, export, import, purge, requeue, remove-group: what is in the queues, and what is to become of
 *  it. */
export function addQueueCommands(program: Command, io: Io): void {
  const queue = program
    .command('queue')
    .description('look at the queues, copy, fill and empty them, and bring the dead back');
  withClientOptions(queue.command('ls').description('list the queues of all tasks, and their groups')).action(
    async (options: ClientOptions) => {
      await withNode(addressOf(options, io.env), io, async (node) => {
        const envelope = await node.request(node.topics.stat(), {});
        await printAnswer(envelope, options, io, async (data) => {
          const rows = inOrder(listOf(fieldsOf(data).tasks).map(fieldsOf), 'name').flatMap(rowsOf);
          await writeLine(io.stdout, renderTable(COLUMNS, rows, lookOf(io.stdout, io.env)).join('\n'));
        });
      });
    },
  );
  addInspectCommand(queue, io);
  addExportCommand(queue, io);
  addImportCommand(queue, io);
  addOne(queue, io, {
    name: 'purge',
    description: 'forget all entries of a task; leases on them end',
    cmd: 'purge',
    flag: ['--dead', 'only those that were given back too often'],
    done: (task, data) => `${task}: ${textOf(data.purged)} entries purged`,
  });
  addOne(queue, io, {
    name: 'requeue',
    description: 'hand the dead entries of a task out again',
    cmd: 'requeue',
    done: (task, data) => `${task}: ${textOf(data.requeued)} entries requeued`,
  });
  const command = queue
    .command('remove-group')
    .argument('<task>', 'id of the task', taskId)
    .argument('<group>', 'its name')
    .description('forget how far a group has got; what only it still needed leaves the queue');
  withClientOptions(command).action(async (task: string, group: string, options: ClientOptions) => {
    await ask({ cmd: 'remove_group', task_id: task, group }, options, io, () => `${task}: group ${group} removed`);
  });
}

interface QueueCommand {
  readonly name: string;
  readonly description: string;
  readonly cmd: string;
  readonly flag?: readonly [string, string];
  done(task: string, data: Fields): string;
}

function addOne(queue: Command, io: Io, { name, description, cmd, flag, done }: QueueCommand): void {
  const command = queue.command(name).argument('<task>', 'id of the task', taskId).description(description);
  if (flag) command.option(...flag);
  withClientOptions(command).action(async (task: string, options: ClientOptions & { dead?: boolean }) => {
    const body = { cmd, task_id: task, ...(options.dead ? { group: DEAD_GROUP } : {}) };
    await ask(body, options, io, (data) => done(task, data));
  });
}

async function ask(body: object, options: ClientOptions, io: Io, done: (data: Fields) => string): Promise<void> {
  await withNode(addressOf(options, io.env), io, async (node) => {
    const envelope = await node.request(node.topics.cmd, { ...body });
    await printAnswer(envelope, options, io, (data) => writeLine(io.stdout, done(fieldsOf(data))));
  });
}

/** A queue, and a row for each of its groups that has a name. */
function rowsOf({ task_id, queue }: Fields): string[][] {
  const { length, ready, dead, bytes, dropped, seq, groups } = fieldsOf(queue);
  const figures = [textOf(length), textOf(ready), textOf(dead) || '0', byteCount(numberOf(bytes) ?? 0)];
  const first = [textOf(task_id), '', ...figures, textOf(dropped), textOf(seq)];
  const others = Object.entries(fieldsOf(groups)).map(([name, value]) => {
    const group = fieldsOf(value);
    return ['', name, '', textOf(group.ready), '', '', textOf(group.dropped), ''];
  });
  return [first, ...others];
}

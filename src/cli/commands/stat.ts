import type { Command } from 'commander';
import { type Io, writeLine } from '../io.js';
import type { NodeClient } from '../node-client.js';
import { nodeView } from '../node-view.js';
import {
  addressOf,
  type ClientOptions,
  dataOf,
  printAnswer,
  seconds,
  taskId,
  withClientOptions,
  withNode,
} from '../options.js';
import { watchScreen } from '../screen.js';
import { lookOf, type TableLook } from '../table.js';
import { taskView } from '../task-view.js';

const WATCH_DEFAULT_S = 2;

interface StatOptions extends ClientOptions {
  readonly watch?: number | true;
}

/** stat: one task or all of them, once or again and again. */
export function addStatCommand(program: Command, io: Io): void {
  const command = program
    .command('stat')
    .argument('[task]', 'id of a task; without it: all tasks', taskId)
    .description('show the state of the node and its tasks')
    .option(
      '--watch [seconds]',
      `show it again each so many seconds (default ${WATCH_DEFAULT_S}) until Ctrl-C`,
      seconds,
    );
  withClientOptions(command).action(async (task: string | undefined, options: StatOptions) => {
    await withNode(addressOf(options, io.env), io, async (node) => {
      if (options.watch === undefined) return printOnce(node, task, options, io);
      const everyMs = (options.watch === true ? WATCH_DEFAULT_S : options.watch) * 1_000;
      await watchScreen(io, {
        everyMs,
        ended: node.ended,
        sample: async () => dataOf(await ask(node, task)),
        draw: (data, look) => ({ lines: view(data, task, look) }),
      });
    });
  });
}

async function printOnce(node: NodeClient, task: string | undefined, options: ClientOptions, io: Io): Promise<void> {
  await printAnswer(await ask(node, task), options, io, (data) =>
    writeLine(io.stdout, view(data, task, lookOf(io.stdout, io.env)).join('\n')),
  );
}

function ask(node: NodeClient, task: string | undefined) {
  return node.request(node.topics.stat(task), {});
}

function view(data: unknown, task: string | undefined, look: TableLook): string[] {
  return task === undefined ? nodeView(data, look) : taskView(data, look);
}

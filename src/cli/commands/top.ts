import { setTimeout as pause } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type Io, writeLine } from '../io.js';
import type { Envelope, NodeClient } from '../node-client.js';
import {
  addressOf,
  type ClientOptions,
  dataOf,
  printAnswer,
  seconds,
  withClientOptions,
  withNode,
} from '../options.js';
import { watchScreen } from '../screen.js';
import { lookOf } from '../table.js';
import { SORT_KEYS, type SortKey } from '../task-order.js';
import { keyLine, sortOf, topView } from '../top-view.js';

const INTERVAL_DEFAULT_S = 2;

interface TopOptions extends ClientOptions {
  readonly sort: SortKey;
  readonly interval: number;
  readonly once?: boolean;
}

/** top: a live table of the tasks. */
export function addTopCommand(program: Command, io: Io): void {
  const command = program
    .command('top')
    .description('show the tasks live: cpu, memory, queue, last sign of life')
    .addOption(new Option('--sort <key>', 'order of the tasks').choices(SORT_KEYS).default('name'))
    .option('--interval <seconds>', 'pause between two looks', seconds, INTERVAL_DEFAULT_S)
    .option('--once', 'print one table and end; needs no terminal');
  withClientOptions(command)
    .addHelpText(
      'after',
      `
Keys in a terminal: q quit; sort by n name, c cpu, m memory, r restarts, u queue.
CPU is in percent of one core; both figures are of the whole tree of processes. SEEN: how long ago anything was heard.
--json prints one line for each look.`,
    )
    .action(async (options: TopOptions) => {
      await withNode(addressOf(options, io.env), io, (node) => run(node, options, io));
    });
}

async function run(node: NodeClient, options: TopOptions, io: Io): Promise<void> {
  const look = () => node.request(node.topics.stat(), {});
  if (options.json) return printSamples(node, look, options, io);
  let { sort } = options;
  if (options.once) {
    const lines = topView(dataOf(await look()), sort, lookOf(io.stdout, io.env));
    return writeLine(io.stdout, lines.join('\n'));
  }
  await watchScreen(io, {
    everyMs: options.interval * 1_000,
    ended: node.ended,
    sample: async () => dataOf(await look()),
    draw: (data, lookOfScreen) => ({
      lines: topView(data, sort, lookOfScreen),
      footer: io.keyboard && keyLine(sort, lookOfScreen),
    }),
    press(key) {
      if (key.toLowerCase() === 'q') return 'quit';
      const wanted = sortOf(key);
      sort = wanted ?? sort;
      return wanted && 'redraw';
    },
  });
}

async function printSamples(
  node: NodeClient,
  look: () => Promise<Envelope>,
  options: TopOptions,
  io: Io,
): Promise<void> {
  const over = new AbortController();
  node.ended.catch((reason) => over.abort(reason));
  do {
    await printAnswer(await look(), options, io, async () => undefined);
    if (options.once) return;
    await pause(options.interval * 1_000, undefined, { signal: over.signal }).catch(() => node.ended);
  } while (!over.signal.aborted);
}

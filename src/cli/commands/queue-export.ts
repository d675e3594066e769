import { type FileHandle, open } from 'node:fs/promises';
import type { Command } from 'commander';
import { LIMITS } from '../../core/limits.js';
import { entryLine } from '../entry-lines.js';
import { EXIT, Failure } from '../failure.js';
import { type Io, write, writeLine } from '../io.js';
import type { NodeClient } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, integer, taskId, withClientOptions, withNode } from '../options.js';
import { payloadBytes } from '../payload.js';
import { showProgress } from '../progress.js';
import { fieldsOf, listOf, numberOf, textOf } from '../reply-data.js';
import { byteCount, jsonLine } from '../text.js';

interface ExportOptions extends ClientOptions {
  readonly output?: string;
  readonly from?: number;
}

interface Sums {
  entries: number;
  /** Of payloads. */
  bytes: number;
}

/** queue export: what a queue holds, as a file. */
export function addExportCommand(queue: Command, io: Io): void {
  const command = queue
    .command('export')
    .argument('<task>', 'id of the task', taskId)
    .description('print all entries of a queue as NDJSON, the oldest first; takes nothing')
    .option('-o, --output <file>', 'write them there instead of to stdout; a file that is there is overwritten')
    .option('--from <seq>', 'begin with this one (default 0: the oldest)', integer(0, Number.MAX_SAFE_INTEGER));
  withClientOptions(command)
    .addHelpText(
      'after',
      `
A line is {"task_id", "seq", "ts", "payload"}, with "payload_base64" instead for
bytes that are no text, and "topic" where a route put it. Entries on lease and
the dead are among them. It ends with the entry that is the newest when it
begins: what is put later is left out, what is taken or dropped meanwhile is
missing. How many there were stands on stderr, with --json as JSON.

Examples:
  super-node queue export cam1 -o cam1.ndjson
  super-node queue export cam1 --from 4711 | gzip > cam1.ndjson.gz
  super-node queue export cam1 | super-node queue import cam1 --url mqtt://edge-2`,
    )
    .action(async (task: string, options: ExportOptions) => {
      await withNode(addressOf(options, io.env), io, (node) => run(node, task, options, io));
    });
}

async function run(node: NodeClient, task: string, options: ExportOptions, io: Io): Promise<void> {
  const begun = await queueOf(node, task);
  const file = options.output === undefined || options.output === '-' ? undefined : options.output;
  const sums: Sums = { entries: 0, bytes: 0 };
  // A terminal that shows the entries shows no progress among them.
  const hide =
    file === undefined && io.stdout.isTTY === true
      ? () => undefined
      : showProgress(io, () => `exported ${sums.entries} entries, ${byteCount(sums.bytes)}`);
  try {
    const last = numberOf(begun.seq) ?? 0;
    const from = options.from ?? 0;
    if (file === undefined) await copy(node, task, from, last, sums, (text) => write(io.stdout, text));
    else await toFile(file, (out) => copy(node, task, from, last, sums, out));
    const { epoch } = await queueOf(node, task);
    if (epoch !== begun.epoch) {
      const epochs = `epoch ${textOf(begun.epoch)}, then ${textOf(epoch)}`;
      throw new Failure(EXIT.refused, `${task}: expected one queue, got another one meanwhile (${epochs})`);
    }
  } finally {
    hide();
  }
  const { entries, bytes } = sums;
  await writeLine(
    io.stderr,
    options.json ? jsonLine({ exported: entries, bytes }) : `exported ${entries} entries, ${bytes} bytes`,
  );
}

async function queueOf(node: NodeClient, task: string) {
  return fieldsOf(fieldsOf(dataOf(await node.request(node.topics.stat(task), {}))).queue);
}

/** Page by page, so that neither side holds more than one. */
async function copy(
  node: NodeClient,
  task: string,
  from: number,
  last: number,
  sums: Sums,
  out: (text: string) => Promise<void>,
): Promise<void> {
  for (let next = from; next <= last; ) {
    const body = { from: { seq: next }, max: LIMITS.fetchEntriesMax, max_bytes: LIMITS.fetchBytes };
    const { entries } = fieldsOf(dataOf(await node.request(node.topics.fetch(task), body)));
    const page = listOf(entries).map(fieldsOf);
    if (page.length === 0) return;
    const wanted = page.filter(({ seq }) => seqOf(seq) <= last);
    await node.within(out(wanted.map(entryLine).join('')));
    sums.entries += wanted.length;
    for (const entry of wanted) sums.bytes += payloadBytes(entry).length;
    next = Math.max(next, seqOf(page.at(-1)?.seq)) + 1;
  }
}

/** @throws Failure with exit code 1: without it nobody knows how to go on */
function seqOf(seq: unknown): number {
  const number = numberOf(seq);
  if (number === undefined)
    throw new Failure(EXIT.refused, `expected entries with a seq, got ${textOf(seq) || 'none'}`);
  return number;
}

/** @throws Failure with exit code 2 for a file that cannot be opened, 1 for one that cannot be written on */
async function toFile(file: string, fill: (out: (text: string) => Promise<void>) => Promise<void>): Promise<void> {
  const writable = (exitCode: number) => (error: unknown) => {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new Failure(exitCode, `${file}: expected a file that can be written, got ${String(code)}`);
  };
  const handle: FileHandle = await open(file, 'w').catch(writable(EXIT.usage));
  try {
    await fill((text) => handle.writeFile(text).catch(writable(EXIT.refused)));
    // Who purges the queue next relies on it. A pipe or a device has nothing to flush.
    if ((await handle.stat()).isFile()) await handle.sync().catch(writable(EXIT.refused));
  } finally {
    await handle.close();
  }
}

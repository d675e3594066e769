import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { LIMITS } from '../../core/limits.js';
import { payloadOfLine } from '../entry-lines.js';
import { asFailure, EXIT, Failure } from '../failure.js';
import { type Io, writeLine } from '../io.js';
import { linesOf } from '../lines.js';
import type { NodeClient } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, taskId, withClientOptions, withNode } from '../options.js';
import { showProgress } from '../progress.js';
import { PutWindow } from '../put-window.js';
import { fieldsOf, numberOf } from '../reply-data.js';
import { byteCount, duration, jsonLine } from '../text.js';

/** What a byte of payload takes in JSON at most: `\u0000`. */
const JSON_BYTES_PER_BYTE = 6;
/** Room for the other fields of a line: a topic is at most 65 535 bytes [MQTT-1.5.3]. */
const OTHER_FIELDS_BYTES = 1_048_576;
/** Nothing acknowledged for so long is worth a word. */
const STALLED_MS = 2_000;

/** queue import: entries of a file, put into a queue. */
export function addImportCommand(queue: Command, io: Io): void {
  const command = queue
    .command('import')
    .argument('<task>', 'id of the task', taskId)
    .argument('[file]', 'NDJSON; without it, or with -, stdin')
    .description('put entries of an NDJSON file into a queue, in their order');
  withClientOptions(command)
    .addHelpText(
      'after',
      `
Each line is an object with payload, a text, or payload_base64. Everything else
in it is left aside: entries get a new seq, the time at which they are put, and
no topic. Blank lines are passed over. At the first line that is wrong it ends,
with nothing put after that one. It waits for the node as long as the connection
lasts: a queue with "overflow: block" takes entries as it gets room.
--json prints {"status", "imported", "bytes", "line", "dropped", "discarded"},
where line is the last one that is in.

Examples:
  super-node queue import cam1 cam1.ndjson
  zcat cam1.ndjson.gz | super-node queue import cam1
  tail -n +4712 cam1.ndjson | super-node queue import cam1      # go on after line 4711`,
    )
    .action(async (task: string, file: string | undefined, options: ClientOptions) => {
      await withNode(addressOf(options, io.env), io, (node) =>
        run(node, task, file === '-' ? undefined : file, options, io),
      );
    });
}

async function run(
  node: NodeClient,
  task: string,
  file: string | undefined,
  options: ClientOptions,
  io: Io,
): Promise<void> {
  const window = new PutWindow(node, node.topics.put(task));
  const hide = showProgress(io, () => progressText(window));
  try {
    const before = await losses(node, task);
    await putAll(node, file, window, io);
    const after = await losses(node, task);
    hide();
    await report(window, { dropped: after.dropped - before.dropped, discarded: after.discarded - before.discarded });
  } catch (thrown) {
    hide();
    throw await abandoned(asFailure(thrown), window, options, io);
  }

  async function report({ entries, bytes, line }: PutWindow, lost: Losses): Promise<void> {
    if (options.json) {
      return writeLine(io.stdout, jsonLine({ status: 'ok', imported: entries, bytes, line, ...lost }));
    }
    if (lost.dropped > 0) {
      await writeLine(io.stderr, `super-node: ${lost.dropped} entries dropped meanwhile, as the queue was full`);
    }
    if (lost.discarded > 0) {
      await writeLine(io.stderr, `super-node: ${lost.discarded} entries discarded meanwhile, as the task is stopped`);
    }
    await writeLine(io.stdout, `imported ${entries} entries, ${bytes} bytes`);
  }
}

function progressText({ entries, bytes, idleMs }: PutWindow): string {
  const text = `imported ${entries} entries, ${byteCount(bytes)}`;
  return idleMs > STALLED_MS ? `${text}; waiting for the node for ${duration(idleMs)}` : text;
}

/** @throws Failure with exit code 2 for a line that is wrong, once all before it are in */
async function putAll(node: NodeClient, file: string | undefined, window: PutWindow, io: Io): Promise<void> {
  const packetBytesMax = await node.packetBytesMax();
  const name = file ?? 'stdin';
  const lineBytesMax = JSON_BYTES_PER_BYTE * (packetBytesMax ?? LIMITS.httpLinesBytes) + OTHER_FIELDS_BYTES;
  const chunks = file === undefined ? io.stdin : chunksOf(file);
  try {
    for await (const { number, bytes } of linesOf(chunks, name, lineBytesMax, (chunk) => node.within(chunk))) {
      if (isBlank(bytes)) continue;
      await window.put(checked(bytes, `${name} line ${number}`, packetBytesMax, window), number);
    }
  } catch (thrown) {
    // What came before the wrong line is to be in before it is told.
    if (thrown instanceof Failure && thrown.exitCode === EXIT.usage) await window.drain();
    throw thrown;
  }
  await window.drain();
}

/** A packet that is larger than the node takes would cost us the connection; what is not told beforehand the node refuses. */
function checked(line: Buffer, place: string, packetBytesMax: number | undefined, window: PutWindow): Buffer {
  try {
    const payload = payloadOfLine(line);
    if (packetBytesMax === undefined) return payload;
    const roomBytes = packetBytesMax - window.overheadBytes;
    if (payload.length <= roomBytes) return payload;
    const expected = `at most ${roomBytes} bytes, as packets of this node have ${packetBytesMax} at most`;
    throw new Failure(EXIT.usage, `expected ${expected}, got ${payload.length}`);
  } catch (thrown) {
    const { exitCode, message } = asFailure(thrown);
    throw new Failure(exitCode, `${place}: ${message}`);
  }
}

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    const handle = await open(file);
    try {
      yield* handle.createReadStream({ autoClose: false });
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new Failure(EXIT.usage, `${file}: expected a file that can be read, got ${String(code)}`);
  }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

interface Losses {
  readonly dropped: number;
  readonly discarded: number;
}

/** What the queue has lost so far. A task that is not there yet comes into being by the first put. */
async function losses(node: NodeClient, task: string): Promise<Losses> {
  const envelope = await node.request(node.topics.stat(task), {});
  if (envelope.code === 'SN_ERR_TASK_UNKNOWN') return { dropped: 0, discarded: 0 };
  const { dropped, discarded } = fieldsOf(fieldsOf(dataOf(envelope)).queue);
  return { dropped: numberOf(dropped) ?? 0, discarded: numberOf(discarded) ?? 0 };
}

/** Tells how far it came, also to who interrupted it: that is where to go on. */
async function abandoned(
  { exitCode, message, code, silent }: Failure,
  { entries, bytes, line }: PutWindow,
  options: ClientOptions,
  io: Io,
): Promise<Failure> {
  const soFar = { imported: entries, bytes, line };
  if (options.json) await writeLine(io.stdout, jsonLine({ status: 'error', error: message, code, ...soFar }));
  const text = entries === 0 ? 'nothing imported' : `imported ${entries} entries, ${bytes} bytes, up to line ${line}`;
  if (silent && !options.json) await writeLine(io.stderr, text);
  return new Failure(exitCode, `${message}; ${text}`, { code, silent: silent || options.json === true });
}

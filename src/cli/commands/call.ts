import type { Command } from 'commander';
import { LIMITS } from '../../core/limits.js';
import { type Io, readPayload, write, writeLine } from '../io.js';
import type { Envelope } from '../node-client.js';
import { addressOf, type ClientOptions, dataOf, printAnswer, taskId, withClientOptions, withNode } from '../options.js';
import { payloadBytes, payloadFields } from '../payload.js';
import { fieldsOf } from '../reply-data.js';
import { jsonLine, stripControls } from '../text.js';

/** The node tells that the time of a call is up; so much later it counts as silent. */
const GRACE_MS = 5_000;

/** call: a question to one worker of a task. */
export function addCallCommand(program: Command, io: Io): void {
  const command = program
    .command('call')
    .argument('<task>', 'id of the task', taskId)
    .argument('<payload>', 'text, or - for all of stdin, byte for byte')
    .description('ask a worker of a task, and print its answer as it comes');
  withClientOptions(command, LIMITS.callTimeoutMs)
    .addHelpText(
      'after',
      `
The parts of an answer are printed one after the other with nothing between them. Ctrl-C cancels the call.
--json prints one reply a line.

Examples:
  super-node call llm 'Why is the sky blue?'
  super-node call detector - < frame.jpg > boxes.json`,
    )
    .action(async (task: string, payload: string, options: ClientOptions) => {
      await call(task, await readPayload(payload, io), options, io);
    });
}

async function call(task: string, payload: Buffer, options: ClientOptions, io: Io): Promise<void> {
  const address = addressOf(options, io.env, LIMITS.callTimeoutMs);
  const answer = new AnswerPrinter(io);
  await withNode(address, io, async (node) => {
    const body = { cmd: 'call', task_id: task, ...payloadFields(payload), timeout_ms: address.timeoutMs };
    try {
      const last = await node.request(node.topics.cmd, body, {
        timeoutMs: address.timeoutMs + GRACE_MS,
        continues: ({ data }) => fieldsOf(data).last !== true,
        accept: (part: Envelope) =>
          options.json ? writeLine(io.stdout, jsonLine(part)) : answer.print(payloadBytes(fieldsOf(part.data))),
      });
      if (options.json && last.status === 'error') await printAnswer(last, options, io, async () => undefined);
      dataOf(last);
    } finally {
      await answer.end();
    }
  });
}

/** Parts into a pipe go as they are. On a terminal they lose what it would obey; a character may be cut in two by the
 *  end of a part. */
class AnswerPrinter {
  readonly #io: Io;
  readonly #decoder = new TextDecoder();
  #lastCharacter = '\n';

  constructor(io: Io) {
    this.#io = io;
  }

  async print(bytes: Buffer): Promise<void> {
    const { stdout } = this.#io;
    if (stdout.isTTY !== true) return write(stdout, bytes);
    await this.#show(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What stands on a terminal ends with a line feed: the prompt comes below it. */
  async end(): Promise<void> {
    if (this.#io.stdout.isTTY !== true) return;
    await this.#show(this.#decoder.decode());
    if (this.#lastCharacter !== '\n') await this.#show('\n');
  }

  async #show(text: string): Promise<void> {
    const shown = stripControls(text);
    this.#lastCharacter = shown.at(-1) ?? this.#lastCharacter;
    if (shown !== '') await write(this.#io.stdout, shown);
  }
}

import { type Command, InvalidArgumentError } from 'commander';
import { isTaskId, TASK_ID_PATTERN } from '../core/topics.js';
import { connectNode, SCHEMES } from './connect.js';
import { EXIT, Failure } from './failure.js';
import { type Io, writeLine } from './io.js';
import type { Envelope, NodeAddress, NodeClient } from './node-client.js';
import { jsonLine } from './text.js';

const DEFAULT_URL = 'mqtt://127.0.0.1:1883';
const DEFAULT_TIMEOUT_MS = 10_000;
const MS_MAX = 3_600_000;

/** What every command that speaks to a node understands. */
export interface ClientOptions {
  readonly url?: string;
  readonly username?: string;
  readonly password?: string;
  readonly prefix?: string;
  readonly timeout?: number;
  readonly json?: boolean;
}

export function withClientOptions(command: Command, timeoutMs = DEFAULT_TIMEOUT_MS): Command {
  return command
    .optionsGroup('Connection:')
    .option('--url <url>', `${SCHEMES} (env SN_URL, default ${DEFAULT_URL})`)
    .option('--username <name>', 'user name (env SN_USERNAME)')
    .option('--password <password>', 'better give it as env SN_PASSWORD: arguments show in the list of processes')
    .option('--prefix <prefix>', "the node's topic prefix; none over HTTP (env SN_TOPIC_PREFIX)")
    .option('--timeout <ms>', `longest wait for an answer (default ${timeoutMs})`, integer(1, MS_MAX))
    .option('--json', 'print what the node answers, as JSON');
}

export function addressOf(options: ClientOptions, env: Io['env'], timeoutMs = DEFAULT_TIMEOUT_MS): NodeAddress {
  return {
    url: options.url ?? env.SN_URL ?? DEFAULT_URL,
    username: options.username ?? env.SN_USERNAME,
    password: options.password ?? env.SN_PASSWORD,
    prefix: options.prefix ?? env.SN_TOPIC_PREFIX ?? '',
    timeoutMs: options.timeout ?? timeoutMs,
  };
}

/** Connects, runs, and says goodbye whatever happens. */
export async function withNode<T>(address: NodeAddress, io: Io, run: (node: NodeClient) => Promise<T>): Promise<T> {
  const node = await connectNode(address, io.interrupted);
  try {
    return await run(node);
  } finally {
    await node.close();
  }
}

/** Prints the answer with `show`, or as it came with `--json`.
 *  @throws Failure with exit code 1 for an error reply */
export async function printAnswer(
  envelope: Envelope,
  options: ClientOptions,
  io: Io,
  show: (data: unknown) => Promise<void>,
): Promise<void> {
  if (options.json) {
    await writeLine(io.stdout, jsonLine(envelope));
    if (envelope.status === 'error') throw new Failure(EXIT.refused, 'told', { silent: true });
    return;
  }
  await show(dataOf(envelope));
}

/** @throws Failure with exit code 1 for an error reply */
export function dataOf(envelope: Envelope): unknown {
  if (envelope.status === 'ok') return envelope.data;
  throw new Failure(EXIT.refused, envelope.error ?? 'the node answered with an error', {
    code: envelope.code,
  });
}

/** Reads an argument as a task id: it becomes part of a topic, so it is checked before it is sent. */
export function taskId(text: string): string {
  if (isTaskId(text)) return text;
  throw new InvalidArgumentError(`Expected text like ${TASK_ID_PATTERN}.`);
}

/** The same for a list of them. */
export function taskIds(text: string, before: string[] = []): string[] {
  return [...before, taskId(text)];
}

/** Reads an argument as an integer in a range. */
export function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`Expected an integer from ${minimum} to ${maximum}.`);
  };
}

/** Reads an argument as a pause between two looks. */
export function seconds(text: string): number {
  const value = Number(text);
  if (value >= 0.2 && value <= 86_400) return value;
  throw new InvalidArgumentError('Expected seconds, from 0.2 to 86400.');
}

import type { Command } from 'commander';
import { type Io, tellMissed, write, writeLine } from '../io.js';
import { addressOf, type ClientOptions, taskId, withClientOptions, withNode } from '../options.js';
import { payloadFields, payloadLine } from '../payload.js';
import { type Fields, fieldsOf, textOf } from '../reply-data.js';
import { lookOf, painted } from '../table.js';
import { jsonLine, oneLine } from '../text.js';

/** Prints one message of a followed topic. */
type Show = (task: string, payload: Buffer, retained: boolean) => Promise<void>;

/** tail, events: what the node tells to everybody, as it comes, until Ctrl-C. */
export function addFollowCommands(program: Command, io: Io): void {
  const tail = program
    .command('tail')
    .argument('[task]', 'id of a task; without it: all tasks', taskId)
    .description('print what workers put, as it comes; takes nothing out of the queues');
  withClientOptions(tail).action((task: string | undefined, options: ClientOptions) =>
    follow('data', task, options, io, (from, payload, retained) =>
      options.json
        ? writeLine(io.stdout, jsonLine(dataLine(from, payload, retained)))
        : write(io.stdout, payloadLine(payload, { name: task === undefined ? from : undefined, base64: false }, io)),
    ),
  );
  const events = program.command('events').description('print state changes, restarts, drops and refusals');
  withClientOptions(events).action((options: ClientOptions) =>
    follow('event', undefined, options, io, (_from, payload) =>
      writeLine(io.stdout, options.json ? jsonLine(parsed(payload)) : eventLine(fieldsOf(parsed(payload)), io)),
    ),
  );
}

async function follow(
  kind: 'data' | 'event',
  task: string | undefined,
  options: ClientOptions,
  io: Io,
  show: Show,
): Promise<void> {
  await withNode(addressOf(options, io.env), io, async (node) => {
    const { topics } = node;
    const filter = kind === 'event' ? topics.event : topics.data(task ?? '+');
    await node.listen(
      filter,
      (topic, payload, retained) => show(topic.slice(topic.lastIndexOf('/') + 1), payload, retained),
      (messages) => tellMissed(messages, io),
    );
    await node.ended;
  });
}

function dataLine(task: string, payload: Buffer, retained: boolean): Fields {
  return { task_id: task, ...payloadFields(payload), ...(retained ? { retained } : {}) };
}

/** `12:03:44.120  restart  cam1  cause=heartbeat` */
function eventLine({ type, task_id, ts, data, ...rest }: Fields, io: Io): string {
  const { colour } = lookOf(io.stdout, io.env);
  const details = Object.entries({ ...rest, ...fieldsOf(data) })
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${textOf(value)}`);
  return [
    painted(timeOf(ts), 'dim', colour),
    painted(oneLine(textOf(type)), 'bold', colour),
    painted(oneLine(textOf(task_id)), 'cyan', colour),
    oneLine(details.join(' ')),
  ]
    .filter((part) => part !== '')
    .join('  ');
}

function timeOf(ts: unknown): string {
  const time = typeof ts === 'number' ? new Date(ts) : undefined;
  if (time === undefined || Number.isNaN(time.getTime())) return '';
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => `${part}`.padStart(2, '0'));
  return `${clock.join(':')}.${`${time.getMilliseconds()}`.padStart(3, '0')}`;
}

/** A JSON object as one, anything else as text. */
function parsed(payload: Buffer): unknown {
  const text = payload.toString('utf8');
  if (!text.startsWith('{')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

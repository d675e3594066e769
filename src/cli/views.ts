import { type Fields, fieldsOf, listOf, numberOf, textOf } from './reply-data.js';
import { type Column, painted, renderTable, type Style, type TableLook } from './table.js';
import { byteCount, cut, duration, oneLine } from './text.js';

/** What `stat` prints. */

const STATE_STYLES: Readonly<Record<string, Style>> = {
  ready: 'green',
  pending: 'yellow',
  starting: 'yellow',
  stopping: 'yellow',
  backoff: 'yellow',
  failed: 'red',
  lost: 'red',
  unkillable: 'red',
  stopped: 'dim',
  exited: 'dim',
  sleeping: 'dim',
};

const TASK_COLUMNS: readonly Column[] = [
  { title: 'TASK' },
  { title: 'STATE', style: stateStyle },
  { title: 'PID', align: 'right' },
  { title: 'GEN', align: 'right' },
  { title: 'RESTARTS', align: 'right' },
  { title: 'UPTIME', align: 'right' },
  { title: 'QUEUE', align: 'right' },
  { title: 'DROPPED', align: 'right', style: (cell) => (cell === '0' ? undefined : 'red') },
  { title: 'CHANNELS', align: 'right' },
];

function stateStyle(state: string): Style | undefined {
  return Object.hasOwn(STATE_STYLES, state) ? STATE_STYLES[state] : undefined;
}

/** The whole node: a line about it and a table of its tasks. */
export function nodeView(data: unknown, look: TableLook): string[] {
  const { name, version, uptime_ms, tasks } = fieldsOf(data);
  const rows = listOf(tasks).map((task) => taskRow(fieldsOf(task)));
  const about = [
    `${textOf(name) || 'super-node'} ${textOf(version)}`.trim(),
    `up ${durationOf(uptime_ms)}`,
    `${rows.length} ${rows.length === 1 ? 'task' : 'tasks'}`,
  ];
  const title = fitted(about.join(', '), look);
  return rows.length === 0 ? [title] : [title, ...renderTable(TASK_COLUMNS, rows, look)];
}

function taskRow(task: Fields): string[] {
  const queue = fieldsOf(task.queue);
  return [
    textOf(task.task_id),
    textOf(task.state),
    textOf(task.pid) || '-',
    textOf(task.generation) || '-',
    textOf(task.restarts_total) || '0',
    durationOf(task.uptime_ms),
    textOf(queue.length) || '0',
    textOf(queue.dropped) || '0',
    `${listOf(task.channels).length}`,
  ];
}

/** One task: everything the node tells about it, a line each. */
export function taskView(data: unknown, look: TableLook): string[] {
  const { task_id, state, record, ...rest } = fieldsOf(data);
  const head = `${painted(oneLine(textOf(task_id)), 'bold', look.colour)}  ${painted(oneLine(textOf(state)), stateStyle(textOf(state)), look.colour)}`;
  const facts = Object.entries(rest).map(([name, value]): [string, string] => [name, factText(name, value)]);
  const fields = Object.entries(fieldsOf(record)).map(([name, value]): [string, string] => [name, textOf(value)]);
  return [
    head,
    ...pairs(
      facts.filter(([, text]) => text !== ''),
      look,
    ),
    ...(fields.length === 0 ? [] : ['', painted('record', 'bold', look.colour), ...pairs(fields, look)]),
  ];
}

function factText(name: string, value: unknown): string {
  if (name === 'queue') return queueText(fieldsOf(value));
  if (name === 'channels')
    return listOf(value)
      .map((channel) => channelText(fieldsOf(channel)))
      .join('; ');
  if (name === 'restarts') return countsText(fieldsOf(value));
  if (name === 'ts' || name.endsWith('_ts')) return timeText(value);
  if (name.endsWith('_ms') && numberOf(value) !== undefined) return durationOf(value);
  return textOf(value);
}

function queueText({ length, bytes, dropped, seq, epoch }: Fields): string {
  const held = `${textOf(length) || '0'} entries, ${byteCount(numberOf(bytes) ?? 0)}, ${textOf(dropped) || '0'} dropped`;
  return `${held}, last seq ${textOf(seq) || '0'}${epoch === undefined ? '' : `, epoch ${textOf(epoch)}`}`;
}

function channelText({ client_id, address, keepalive_s, last_seen_ms }: Fields): string {
  const seen = `seen ${durationOf(last_seen_ms)} ago`;
  return `${textOf(client_id)} from ${textOf(address) || '?'}, keepalive ${textOf(keepalive_s) || '?'}s, ${seen}`;
}

function countsText(counts: Fields): string {
  const entries = Object.entries(counts).filter(([, count]) => count !== 0);
  return entries.length === 0 ? 'none' : entries.map(([cause, count]) => `${cause} ${textOf(count)}`).join(', ');
}

function pairs(entries: readonly (readonly [string, string])[], look: TableLook): string[] {
  const names = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, text]) => fitted(`  ${oneLine(name).padEnd(names)}  ${text}`, look));
}

function fitted(line: string, look: TableLook): string {
  const clean = oneLine(line);
  return look.width === undefined ? clean : cut(clean, look.width);
}

function timeText(ts: unknown): string {
  const time = new Date(numberOf(ts) ?? Number.NaN);
  return Number.isNaN(time.getTime()) ? textOf(ts) : time.toISOString();
}

function durationOf(ms: unknown): string {
  const value = numberOf(ms);
  return value === undefined ? '-' : duration(value);
}

import {
  durationCell,
  fitted,
  memoryCell,
  percentCell,
  restartsCell,
  stateStyle,
  textCell,
  timeText,
} from './cells.js';
import { type Fields, fieldsOf, listOf, numberOf, textOf } from './reply-data.js';
import { type Column, painted, renderTable, type TableLook } from './table.js';
import { byteCount, oneLine } from './text.js';

/** One task: everything the node tells about it, a line each; its workers as a table where it has several. */
export function taskView(data: unknown, look: TableLook): string[] {
  const { task_id, state, record, workers, last_run, ...rest } = fieldsOf(data);
  const head = `${painted(oneLine(textOf(task_id)), 'bold', look.colour)}  ${painted(oneLine(textOf(state)), stateStyle(textOf(state)), look.colour)}`;
  const fields = Object.entries(fieldsOf(record)).map(([name, value]): Pair => [name, textOf(value)]);
  return [
    head,
    ...pairs(factsOf(fieldsOf(rest)), look),
    ...section('workers', workersTable(listOf(workers).map(fieldsOf), look), look),
    ...section('last run', pairs(factsOf(fieldsOf(last_run)), look), look),
    ...section('record', pairs(fields, look), look),
  ];
}

export type Pair = readonly [name: string, text: string];

/** Lines below a title; nothing where there are none. */
export function section(title: string, lines: readonly string[], look: TableLook): string[] {
  return lines.length === 0 ? [] : ['', painted(title, 'bold', look.colour), ...lines];
}

function factsOf(fields: Fields): Pair[] {
  return Object.entries(fields)
    .flatMap(([name, value]) => factLines(name, value).map((text, index): Pair => [index === 0 ? name : '', text]))
    .filter(([, text]) => text !== '');
}

/** Lines of output stand below each other, everything else on one line. */
function factLines(name: string, value: unknown): string[] {
  const isOutput = name === 'stdout' || name === 'stderr';
  return isOutput && Array.isArray(value) ? value.map(textOf) : [factText(name, value)];
}

function factText(name: string, value: unknown): string {
  if (name === 'queue') return queueText(fieldsOf(value));
  if (name === 'channels' && Array.isArray(value))
    return value.map((channel) => channelText(fieldsOf(channel))).join('; ');
  if (name === 'restarts') return countsText(fieldsOf(value));
  if (name === 'ts' || name.endsWith('_ts')) return timeText(value);
  if (numberOf(value) === undefined) return textOf(value);
  if (name === 'last_seen_ms') return `${durationCell(value)} ago`;
  if (name.endsWith('_ms')) return durationCell(value);
  if (name.endsWith('_percent')) return `${percentCell(value)} %`;
  if (name.endsWith('_kb')) return memoryCell(value);
  return textOf(value);
}

function queueText({ length, bytes, dropped, seq, epoch }: Fields): string {
  const held = `${textOf(length) || '0'} entries, ${byteCount(numberOf(bytes) ?? 0)}, ${textOf(dropped) || '0'} dropped`;
  return `${held}, last seq ${textOf(seq) || '0'}${epoch === undefined ? '' : `, epoch ${textOf(epoch)}`}`;
}

function channelText({ client_id, worker_id, address, keepalive_s, last_seen_ms }: Fields): string {
  const seen = `seen ${durationCell(last_seen_ms)} ago`;
  const whose = worker_id === undefined ? '' : ` of ${textOf(worker_id)}`;
  return `${textOf(client_id)}${whose} from ${textOf(address) || '?'}, keepalive ${textOf(keepalive_s) || '?'}s, ${seen}`;
}

function countsText(counts: Fields): string {
  const entries = Object.entries(counts).filter(([, count]) => count !== 0);
  return entries.length === 0 ? 'none' : entries.map(([cause, count]) => `${cause} ${textOf(count)}`).join(', ');
}

const WORKER_COLUMNS: readonly Column[] = [
  { title: '  WORKER' },
  { title: 'STATE', style: stateStyle },
  { title: 'PID', align: 'right' },
  { title: 'GEN', align: 'right' },
  { title: 'RESTARTS', align: 'right' },
  { title: 'CPU%', align: 'right' },
  { title: 'MEM', align: 'right' },
  { title: 'CHANNELS', align: 'right' },
  { title: 'CALLS', align: 'right' },
  { title: 'LAST END' },
];

function workersTable(workers: readonly Fields[], look: TableLook): string[] {
  const rows = workers.map((worker) => [
    `  ${textOf(worker.worker_id)}`,
    textOf(worker.state),
    textCell(worker.pid),
    textCell(worker.generation),
    restartsCell(worker.restarts),
    percentCell(worker.cpu_percent),
    memoryCell(worker.rss_kb),
    textCell(worker.channels),
    textCell(worker.calls),
    endText(worker),
  ]);
  return rows.length === 0 ? [] : renderTable(WORKER_COLUMNS, rows, look);
}

/** `heartbeat, SIGKILL, next start 2026-01-01T00:00:01.000Z` */
function endText({ cause, exit_code, signal, next_start_ts }: Fields): string {
  const parts = [
    textOf(cause),
    textOf(signal) || (numberOf(exit_code) === undefined ? '' : `exit code ${textOf(exit_code)}`),
    next_start_ts === undefined ? '' : `next start ${timeText(next_start_ts)}`,
  ];
  return parts.filter((part) => part !== '').join(', ') || '-';
}

/** A fact a line, the texts below each other. */
export function pairs(entries: readonly Pair[], look: TableLook): string[] {
  const names = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, text]) => fitted(`  ${oneLine(name).padEnd(names)}  ${text}`, look));
}

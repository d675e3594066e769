import {
  durationCell,
  fitted,
  lossStyle,
  memoryCell,
  percentCell,
  restartsCell,
  stateStyle,
  textCell,
} from './cells.js';
import { type Fields, fieldsOf, listOf, numberOf, textOf } from './reply-data.js';
import { type Column, painted, renderTable, type TableLook } from './table.js';
import { inOrder, SORT_KEYS, type SortKey } from './task-order.js';
import { byteCount, oneLine } from './text.js';

/** What `top` draws. */

const COLUMNS: readonly Column[] = [
  { title: 'TASK' },
  { title: 'STATE', chars: 8, style: stateStyle },
  { title: 'PID', align: 'right' },
  { title: 'RESTARTS', align: 'right' },
  { title: 'CPU%', align: 'right', chars: 5 },
  { title: 'MEM', align: 'right', chars: 6 },
  { title: 'QUEUE', align: 'right' },
  { title: 'DROPPED', align: 'right', style: lossStyle },
  { title: 'SEEN', align: 'right' },
];

const ORDERS: Readonly<Record<SortKey, { readonly key: string; readonly word: string }>> = {
  name: { key: 'n', word: 'name' },
  cpu: { key: 'c', word: 'cpu' },
  mem: { key: 'm', word: 'memory' },
  restarts: { key: 'r', word: 'restarts' },
  queue: { key: 'u', word: 'queue' },
};

/** The order that a key asks for. */
export function sortOf(key: string): SortKey | undefined {
  return SORT_KEYS.find((by) => ORDERS[by].key === key.toLowerCase());
}

/** The line at the bottom; the order in use stands in brackets. */
export function keyLine(sort: SortKey, look: TableLook): string {
  const orders = SORT_KEYS.map((by) => {
    const text = `${ORDERS[by].key} ${ORDERS[by].word}`;
    return by === sort ? `[${text}]` : ` ${text} `;
  });
  return painted(fitted(`q quit   sort by: ${orders.join(' ')}`.trimEnd(), look), 'dim', look.colour);
}

/** The node in a few lines, and a table of its tasks, the workers of a pool below theirs. */
export function topView(data: unknown, sort: SortKey, look: TableLook): string[] {
  const node = fieldsOf(data);
  const tasks = listOf(node.tasks).map(fieldsOf);
  const rows = inOrder(tasks, sort).flatMap((task) => [taskRow(task), ...listOf(task.workers).map(workerRow)]);
  const [about = '', ...figures] = header(node, tasks).map((line) => fitted(line, look));
  return [painted(about, 'bold', look.colour), ...figures, '', ...renderTable(COLUMNS, rows, look)];
}

function header(node: Fields, tasks: readonly Fields[]): string[] {
  const about = [
    `${textOf(node.name) || 'super-node'} ${textOf(node.version)}`.trim(),
    `up ${durationCell(node.uptime_ms)}`,
    node.connections === 1 ? '1 connection' : `${textCell(node.connections)} connections`,
  ];
  const children = total(tasks, 'children');
  const memoryKb = total(tasks, 'rss_kb');
  const cpu = total(tasks, 'cpu_percent');
  const queueBytes = numberOf(node.queue_bytes);
  const workers = [
    `${children ?? '-'} children`,
    cpu === undefined ? 'cpu -' : `cpu ${percentCell(cpu)} %`,
    `memory ${memoryCell(memoryKb)}`,
    `queues ${queueBytes === undefined ? '-' : byteCount(queueBytes)}`,
  ];
  return [
    about.join(', '),
    `tasks    ${tasks.length}${counts(byState(tasks), ': ')}`,
    `workers  ${workers.join(', ')}`,
    `events   ${eventsText(node.events)}`,
  ];
}

/** The sum over all tasks; undefined when not one of them tells it. */
function total(tasks: readonly Fields[], field: string): number | undefined {
  const figures = tasks.flatMap((task) => numberOf(task[field]) ?? []);
  return figures.length === 0 ? undefined : figures.reduce((sum, figure) => sum + figure, 0);
}

function byState(tasks: readonly Fields[]): Map<string, number> {
  const states = new Map<string, number>();
  for (const { state } of tasks) {
    const name = textCell(state);
    states.set(name, (states.get(name) ?? 0) + 1);
  }
  return states;
}

function eventsText(events: unknown): string {
  const types = Object.entries(fieldsOf(events)).flatMap(([type, count]): [string, number][] => {
    const number = numberOf(count);
    return number === undefined ? [] : [[type, number]];
  });
  if (events === undefined) return '-';
  return `${types.reduce((sum, [, count]) => sum + count, 0)}${counts(new Map(types), ': ')}`;
}

/** `ready 3, backoff 1`, the most first; nothing where there is none. */
function counts(of: ReadonlyMap<string, number>, before: string): string {
  if (of.size === 0) return '';
  const words = [...of].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`);
  return before + words.join(', ');
}

function taskRow(task: Fields): string[] {
  const queue = fieldsOf(task.queue);
  return [
    textOf(task.task_id),
    textOf(task.state),
    textCell(task.pid),
    textCell(task.restarts_total),
    percentCell(task.cpu_percent),
    shortMemory(task.rss_kb),
    textCell(queue.length),
    textCell(queue.dropped),
    durationCell(task.last_seen_ms),
  ];
}

/** Queue and signs of life belong to the whole pool. */
function workerRow(value: unknown): string[] {
  const { worker_id, state, pid, restarts, cpu_percent, rss_kb } = fieldsOf(value);
  return [
    `  ${oneLine(textOf(worker_id))}`,
    textOf(state),
    textCell(pid),
    restartsCell(restarts),
    percentCell(cpu_percent),
    shortMemory(rss_kb),
  ];
}

/** `85.3M`: nine columns have to fit into eighty. */
function shortMemory(kb: unknown): string {
  return memoryCell(kb).replace(' ', '').replace('iB', '');
}

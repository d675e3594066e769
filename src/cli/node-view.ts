import { durationCell, fitted, lossStyle, stateStyle, textCell } from './cells.js';
import { type Fields, fieldsOf, listOf, textOf } from './reply-data.js';
import { type Column, renderTable, type TableLook } from './table.js';

const TASK_COLUMNS: readonly Column[] = [
  { title: 'TASK' },
  { title: 'STATE', style: stateStyle },
  { title: 'PID', align: 'right' },
  { title: 'GEN', align: 'right' },
  { title: 'RESTARTS', align: 'right' },
  { title: 'UPTIME', align: 'right' },
  { title: 'QUEUE', align: 'right' },
  { title: 'DROPPED', align: 'right', style: lossStyle },
  { title: 'CHANNELS', align: 'right' },
];

/** The whole node: a line about it and a table of its tasks. */
export function nodeView(data: unknown, look: TableLook): string[] {
  const { name, version, uptime_ms, tasks } = fieldsOf(data);
  const rows = listOf(tasks).map((task) => taskRow(fieldsOf(task)));
  const about = [
    `${textOf(name) || 'super-node'} ${textOf(version)}`.trim(),
    `up ${durationCell(uptime_ms)}`,
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
    textCell(task.pid),
    textCell(task.generation),
    textOf(task.restarts_total) || '0',
    durationCell(task.uptime_ms),
    textOf(queue.length) || '0',
    textOf(queue.dropped) || '0',
    `${listOf(task.channels).length}`,
  ];
}

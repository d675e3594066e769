import { isUtf8 } from 'node:buffer';
import { fitted, lossStyle, textCell, timeText } from './cells.js';
import { payloadBytes } from './payload.js';
import { type Fields, fieldsOf, numberOf, textOf } from './reply-data.js';
import { type Column, painted, renderTable, type TableLook } from './table.js';
import { type Pair, pairs, section } from './task-view.js';
import { byteCount, cut, duration, oneLine } from './text.js';

/** One queue: what `queue inspect` shows. */

/** How much of the oldest entry is shown. */
const START_CHARS = 200;

const GROUP_COLUMNS: readonly Column[] = [
  { title: '  GROUP' },
  { title: 'READY', align: 'right' },
  { title: 'LEASED', align: 'right' },
  { title: 'DROPPED', align: 'right', style: lossStyle },
];

/** An entry without its payload: that can be a mebibyte. `base64`: the start is that of bytes that are no text. */
export interface EntryStart {
  readonly seq: unknown;
  readonly ts: unknown;
  readonly topic: unknown;
  readonly bytes: number;
  readonly start: string;
  readonly encoding: 'text' | 'base64';
}

export function entryStart(entry: Fields): EntryStart {
  const { seq, ts, topic } = entry;
  const bytes = payloadBytes(entry);
  const encoding = isUtf8(bytes) ? 'text' : 'base64';
  const start = bytes.toString(encoding === 'text' ? 'utf8' : 'base64');
  return { seq, ts, topic, bytes: bytes.length, start: cut(start, START_CHARS), encoding };
}

/** @param queue As `m/stat` tells it; what a newer node says beside it is shown as it comes */
export function queueView(task: string, queue: Fields, oldest: EntryStart | undefined, look: TableLook): string[] {
  const { length, bytes, ready, dead, dropped, discarded, seq, epoch, bounds, storage_error, groups, ...more } = queue;
  const { storage, ...limits } = fieldsOf(bounds);
  const facts: Pair[] = [
    ['storage', textCell(storage)],
    ['bounds', boundsText(limits)],
    ['epoch', textCell(epoch)],
    ['length', textCell(length)],
    ['bytes', byteCount(numberOf(bytes) ?? 0)],
    ['ready', textCell(ready)],
    ['dead', textOf(dead) || '0'],
    ['dropped', textCell(dropped)],
    ['discarded', textCell(discarded)],
    ['last seq', textCell(seq)],
    ...Object.entries(more).map(([name, value]): Pair => [name, textOf(value)]),
  ];
  const error = storage_error === undefined ? [] : [errorLine(textOf(storage_error), look)];
  return [
    painted(oneLine(task), 'bold', look.colour),
    ...error,
    ...pairs(facts, look),
    ...section('groups', groupsTable(fieldsOf(groups), look), look),
    ...section('oldest entry', oldest === undefined ? [] : pairs(entryFacts(oldest), look), look),
  ];
}

function errorLine(error: string, look: TableLook): string {
  return painted(fitted(`  nothing can be put: ${error}`, look), 'red', look.colour);
}

/** `1000 entries, 16.0 MiB, drop_oldest, ttl 5m 0s`; a bound that is 0 is none. */
function boundsText({ length, bytes, overflow, ttl_ms, max_attempts, groups: _, ...more }: Fields): string {
  return [
    `${textCell(length)} entries`,
    byteCount(numberOf(bytes) ?? 0),
    textOf(overflow),
    numberOf(ttl_ms) ? `ttl ${duration(numberOf(ttl_ms) ?? 0)}` : '',
    numberOf(max_attempts) ? `max attempts ${textOf(max_attempts)}` : '',
    ...Object.entries(more).map(([name, value]) => `${name} ${textOf(value)}`),
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function groupsTable(groups: Fields, look: TableLook): string[] {
  const rows = Object.entries(groups).map(([name, value]) => {
    const { ready, leased, dropped } = fieldsOf(value);
    return [`  ${name}`, textCell(ready), textCell(leased), textCell(dropped)];
  });
  return rows.length === 0 ? [] : renderTable(GROUP_COLUMNS, rows, look);
}

function entryFacts({ seq, ts, topic, bytes, start, encoding }: EntryStart): Pair[] {
  return [
    ['seq', textCell(seq)],
    ['time', timeText(ts)],
    ...(topic === undefined ? [] : [['topic', textOf(topic)] as const]),
    ['size', byteCount(bytes)],
    [encoding, start],
  ];
}

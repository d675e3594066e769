import { fieldsOf, numberOf, textOf } from './reply-data.js';
import type { Style, TableLook } from './table.js';
import { byteCount, cut, duration, oneLine } from './text.js';

/** How the values of a reply read in a table; what is not told shows as `-`. */

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

export function stateStyle(state: string): Style | undefined {
  return Object.hasOwn(STATE_STYLES, state) ? STATE_STYLES[state] : undefined;
}

/** Something was lost. */
export function lossStyle(count: string): Style | undefined {
  return count === '0' || count === '-' || count === '' ? undefined : 'red';
}

export function textCell(value: unknown): string {
  return textOf(value) || '-';
}

export function durationCell(ms: unknown): string {
  const value = numberOf(ms);
  return value === undefined ? '-' : duration(value);
}

/** Restarts in all, told as a number or by cause. */
export function restartsCell(value: unknown): string {
  if (numberOf(value) !== undefined) return textOf(value);
  if (value === undefined) return '-';
  return `${Object.values(fieldsOf(value)).reduce<number>((sum, count) => sum + (numberOf(count) ?? 0), 0)}`;
}

export function timeText(ts: unknown): string {
  const time = new Date(numberOf(ts) ?? Number.NaN);
  return Number.isNaN(time.getTime()) ? textOf(ts) : time.toISOString();
}

export function percentCell(value: unknown): string {
  return numberOf(value)?.toFixed(1) ?? '-';
}

/** KiB, as the kernel counts resident memory: 87_347 → `85.3 MiB`. */
export function memoryCell(kb: unknown): string {
  const value = numberOf(kb);
  return value === undefined ? '-' : byteCount(value * 1_024);
}

/** A line that keeps to the terminal. */
export function fitted(line: string, look: TableLook): string {
  const clean = oneLine(line);
  return look.width === undefined ? clean : cut(clean, look.width);
}

import { escapeControls } from '../core/controls.js';

/** Text from the network, made fit for a terminal and for people. */

/** C0 but tab and line feed, DEL, C1 (ECMA-48 §5.2, §5.3), and the marks that reorder text (UAX #9 §2). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Without anything a terminal would obey: an escape sequence from a sensor must not move the operator's cursor.
 *  Tabs and line feeds stay. */
export function stripControls(text: string): string {
  return text.replaceAll(CONTROLS, '');
}

/** The same on one line: tabs and line feeds become blanks. */
export function oneLine(text: string): string {
  return stripControls(text.replaceAll(/\r?\n|\t/g, ' '));
}

/** JSON that shows what a terminal would obey as escapes. Any JSON reader gets the same value. */
export function jsonLine(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}

/** At most `width` characters; what is cut off shows as `…`. */
export function cut(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`;
}

/** 950 → `0.9s`, 61_000 → `1m 1s`, 93_600_000 → `1d 2h`. */
export function duration(ms: number): string {
  const s = Math.floor(ms / 1_000);
  if (s < 10) return `${(Math.floor(ms / 100) / 10).toFixed(1)}s`;
  if (s < 60) return `${s}s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)}h ${Math.floor((s % 3_600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3_600)}h`;
}

/** 999 → `999 B`, 1_536 → `1.5 KiB`. */
export function byteCount(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = bytes;
  let unit = 0;
  for (; size >= 1_024 && unit < units.length - 1; unit++) size /= 1_024;
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

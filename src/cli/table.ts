import { styleText } from 'node:util';
import type { Io, Output } from './io.js';
import { cut, oneLine } from './text.js';

export type Style = Parameters<typeof styleText>[0];

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Width of a column whose cells change under the eye. Default: as its cells are now. */
  readonly chars?: number;
  /** Colour of a cell, by its text. */
  readonly style?: (cell: string) => Style | undefined;
}

export interface TableLook {
  /** Longest line, in characters. Undefined: as long as it gets. */
  readonly width: number | undefined;
  readonly colour: boolean;
}

const GAP = '  ';
const COLUMN_CHARS_MIN = 8;

/** Lines of an aligned table, the titles first. Cells may come from the network: they are stripped of control
 *  characters here. In a narrow terminal the widest columns of text are cut first, then the last columns left out. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  look: TableLook,
): string[] {
  const cells = rows.map((row) => columns.map((_, index) => oneLine(row[index] ?? '')));
  const widths = columns.map(({ title, chars = 0 }, index) =>
    Math.max(title.length, chars, ...cells.map((row) => [...(row[index] ?? '')].length)),
  );
  const shown = columns.slice(0, look.width === undefined ? columns.length : narrow(widths, columns, look.width));
  const line = (row: readonly string[], style: (column: Column, cell: string) => Style | undefined) =>
    shown
      .map((column, index) => {
        const text = cut(row[index] ?? '', widths[index] ?? 0);
        const last = index === shown.length - 1;
        return painted(pad(text, widths[index] ?? 0, column.align, last), style(column, text), look.colour);
      })
      .join(GAP);
  const titles = columns.map(({ title }) => title);
  return [line(titles, () => 'bold'), ...cells.map((row) => line(row, (column, cell) => column.style?.(cell)))];
}

/** Takes characters from the widest columns of text, then whole columns from the end: a figure that lost its end would
 *  be another figure. Gives how many columns are left. */
function narrow(widths: number[], columns: readonly Column[], room: number): number {
  let excess = widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length) - room;
  for (; excess > 0; excess--) {
    const texts = widths.map((width, index) => (columns[index]?.align === 'right' ? 0 : width));
    const widest = Math.max(...texts);
    if (widest <= COLUMN_CHARS_MIN) break;
    widths[texts.indexOf(widest)] = widest - 1;
  }
  let count = widths.length;
  for (; excess > 0 && count > 1; count--) excess -= (widths[count - 1] ?? 0) + GAP.length;
  return count;
}

function pad(text: string, width: number, align: Column['align'], last: boolean): string {
  const blanks = ' '.repeat(Math.max(0, width - [...text].length));
  if (align === 'right') return blanks + text;
  return last ? text : text + blanks;
}

export function painted(text: string, style: Style | undefined, colour: boolean): string {
  return colour && style !== undefined ? styleText(style, text, { validateStream: false }) : text;
}

/** How tables look here: as wide as the terminal, and coloured on one unless NO_COLOR is set
 *  (https://no-color.org). A pipe gets everything, plain. */
export function lookOf(output: Output, env: Io['env']): TableLook {
  const isTTY = output.isTTY === true;
  return { width: isTTY ? (output.columns ?? 80) : undefined, colour: isTTY && !env.NO_COLOR && env.TERM !== 'dumb' };
}

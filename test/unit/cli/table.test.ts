import { expect, test } from 'vitest';
import { type Column, lookOf, renderTable } from '../../../src/cli/table.js';

const columns: Column[] = [
  { title: 'TASK' },
  { title: 'STATE', style: (cell) => (cell === 'ready' ? 'green' : undefined) },
  { title: 'PID', align: 'right' },
];
const plain = { width: undefined, colour: false };

test('columns are as wide as their widest cell; numbers stand right', () => {
  expect(
    renderTable(
      columns,
      [
        ['cam1', 'ready', '17'],
        ['thermometer', 'lost', '12345'],
      ],
      plain,
    ),
  ).toEqual(['TASK         STATE    PID', 'cam1         ready     17', 'thermometer  lost   12345']);
});

test('in a narrow terminal the widest column is cut first', () => {
  const lines = renderTable(columns, [['a-very-long-task-name', 'ready', '17']], { width: 24, colour: false });
  expect(lines).toEqual(['TASK          STATE  PID', 'a-very-long…  ready   17']);
});

test('a figure is never cut: its column is left out, the last one first', () => {
  const rows = [['a-very-long-task-name', 'ready', '12345']];
  expect(renderTable(columns, rows, { width: 22, colour: false })[1]).toBe('a-very-…  ready  12345');
  expect(renderTable(columns, rows, { width: 21, colour: false })[1]).toBe('a-very-…  ready');
});

test('a column can be wider than its cells', () => {
  const [titles, row] = renderTable([{ title: 'A', chars: 3 }, { title: 'B' }], [['x', 'y']], plain);
  expect([titles, row]).toEqual(['A    B', 'x    y']);
});

test('colour wraps a cell without moving the next one', () => {
  const rows = [['cam1', 'ready', '17']];
  const [, coloured = ''] = renderTable(columns, rows, { width: undefined, colour: true });
  const [, uncoloured] = renderTable(columns, rows, plain);
  expect(coloured).toContain('\u001b[32mready\u001b[39m');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are such
  expect(coloured.replaceAll(/\u001b\[\d+m/g, '')).toBe(uncoloured);
});

test('a cell from the network cannot send escape sequences or break its line', () => {
  const lines = renderTable(columns, [['cam\u001b[2J1', 'rea\ndy', '\u009b1']], plain);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toBe('cam[2J1  rea dy    1');
});

test('only a terminal gets colour and a width, and NO_COLOR or a dumb one get no colour', () => {
  const output = { write: () => true, isTTY: true, columns: 100 };
  expect(lookOf(output, {})).toEqual({ width: 100, colour: true });
  expect(lookOf(output, { NO_COLOR: '1' })).toEqual({ width: 100, colour: false });
  expect(lookOf(output, { TERM: 'dumb' })).toEqual({ width: 100, colour: false });
  expect(lookOf({ write: () => true }, {})).toEqual({ width: undefined, colour: false });
});

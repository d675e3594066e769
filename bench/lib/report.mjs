import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

/** The command line and the output that all benchmarks share. */

/** @param {Record<string, { default: string, help: string }>} options Beside `--json` and `--help`. */
export function options(title, options) {
  const known = Object.fromEntries(Object.entries(options).map(([name]) => [name, { type: 'string' }]));
  const { values } = parseArgs({ options: { ...known, json: { type: 'boolean' }, help: { type: 'boolean' } } });
  if (values.help) {
    console.log(`${title}\n`);
    for (const [name, option] of Object.entries(options)) {
      console.log(`  --${name.padEnd(12)} ${option.help} (default ${option.default || 'none'})`);
    }
    console.log(`  --${'json'.padEnd(12)} one JSON document instead of tables`);
    process.exit(0);
  }
  const defaults = Object.fromEntries(Object.entries(options).map(([name, option]) => [name, option.default]));
  return { ...defaults, ...values };
}

/** A whole number above 0. */
export function count(text, name) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: expected an integer from 1, got ${text}`);
  return value;
}

/** Prints tables, or everything as JSON.
 *  @param {{ title: string, rows: Record<string, string | number>[], details?: unknown }[]} tables */
export function print({ json }, tables) {
  if (json) {
    const machine = { node: process.version, platform: process.platform, cpus: availableParallelism() };
    console.log(JSON.stringify({ machine, ts: Date.now(), tables }, undefined, 2));
    return;
  }
  for (const { title, rows } of tables) console.log(`${title}\n${table(rows)}\n`);
}

/** As a Markdown table, so that it can be pasted. */
function table(rows) {
  const names = Object.keys(rows[0] ?? {});
  const cells = [names, ...rows.map((row) => names.map((name) => String(row[name])))];
  const widths = names.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const [head, ...body] = cells.map(line);
  return [head, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body].join('\n');
}

export function met(goal) {
  return goal ? 'yes' : 'NO';
}

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { checkConfig } from '../../src/app/config-check.js';
import { ConfigSchema } from '../../src/core/config-schema.js';
import { validate } from '../../src/core/validate.js';
import { renderOptionTables } from '../fixtures/config-doc.js';
import { fencesOf } from '../fixtures/markdown.js';

const FILE = new URL('../../docs/config.md', import.meta.url);
const BEGIN = '<!-- options: begin. Made from src/core/config-schema.ts: UPDATE_DOCS=1 npx vitest run config-doc -->\n';
const END = '<!-- options: end -->';

function split(page: string): { before: string; tables: string; after: string } {
  const begin = page.indexOf(BEGIN) + BEGIN.length;
  const end = page.indexOf(END);
  if (begin < BEGIN.length || end < 0) throw new Error('docs/config.md: expected both markers of the option tables');
  return { before: page.slice(0, begin), tables: page.slice(begin, end), after: page.slice(end) };
}

const expected = `\n${renderOptionTables()}\n`;

test('docs/config.md has every option as the schema has it', () => {
  const page = readFileSync(FILE, 'utf8');
  const { before, tables, after } = split(page);
  if (process.env.UPDATE_DOCS) {
    writeFileSync(FILE, before + expected + after);
    return;
  }
  expect(tables, 'UPDATE_DOCS=1 rewrites it').toBe(expected);
});

test('every option says what it means', () => {
  const silent = expected.split('\n').filter((line) => line.startsWith('| `') && line.endsWith('|  |'));
  expect(silent).toEqual([]);
});

test('every YAML example of docs/config.md is a valid config', () => {
  const examples = fencesOf(readFileSync(FILE, 'utf8')).filter(({ language }) => language === 'yaml');
  expect(examples.length).toBeGreaterThan(0);
  for (const { text, line } of examples) {
    checkConfig(validate(ConfigSchema, parse(text), 'SN_ERR_CONFIG', `docs/config.md:${line}`));
  }
});

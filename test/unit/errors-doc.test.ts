import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_TABLE } from '../../src/core/errors.js';

interface Row {
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly means: string;
}

const inCode: Row[] = Object.entries(ERROR_TABLE).map(([code, entry]) => ({ code, ...entry }));

function rowsOf(markdown: string): Row[] {
  return [...markdown.matchAll(/^\| `(SN_ERR_\w+)` \| (\d+) \| (yes|no) \| (.+) \|$/gm)].map(
    ([, code = '', status, again, means = '']) => ({ code, status: Number(status), retryable: again === 'yes', means }),
  );
}

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

function codesNamedIn(text: string): string[] {
  return [...new Set(text.match(/SN_ERR_[A-Z0-9_]*[A-Z0-9]/g) ?? [])];
}

test('docs/errors.md has every code with its status, its retryability and its meaning, and no other', () => {
  expect(rowsOf(read('docs/errors.md'))).toEqual(inCode);
});

test.each(['README.md', 'docs/errors.md', 'docs/protocol.md'])('%s names only codes that exist', (path) => {
  const known = new Set(Object.keys(ERROR_TABLE));
  expect(codesNamedIn(read(path)).filter((code) => !known.has(code))).toEqual([]);
});

test('the check sees a code that only the docs have, one that only the code has, and a changed status', () => {
  const page = read('docs/errors.md');
  const [first] = inCode;
  const line = `| \`${first?.code}\` | ${first?.status} |`;
  expect(page).toContain(line);
  expect(rowsOf(`${page}| \`SN_ERR_GHOST\` | 400 | no | nothing |\n`)).not.toEqual(inCode);
  expect(rowsOf(page.replace(/^\| `SN_ERR_JSON`.*\n/m, ''))).not.toEqual(inCode);
  expect(rowsOf(page.replace(line, `| \`${first?.code}\` | 599 |`))).not.toEqual(inCode);
  expect(codesNamedIn('see SN_ERR_GHOST')).toEqual(['SN_ERR_GHOST']);
});

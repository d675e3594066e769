import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/app/config-file.js';
import { requireOrSkip, SYSTEM_PYTHON } from '../fixtures/system.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

test.each(readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml')))('the node refuses nothing in %s', (name) => {
  expect(() => loadConfig(`${EXAMPLES}${name}`, {})).not.toThrow();
});

describe.skipIf(requireOrSkip('paho'))('calc.py, which knows no MQTT', () => {
  function answersTo(...lines: unknown[]): unknown[] {
    const input = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
    const output = execFileSync(SYSTEM_PYTHON, [`${EXAMPLES}workers/calc.py`], { input, encoding: 'utf8' });
    return output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  }

  test('answers what `;` separates in parts, the last of which says so, and writes one line as an entry', () => {
    expect(answersTo({ call: 'a', payload: '2 * (3 + 4); -7 / 2' })).toEqual([
      { reply: 'a', payload: '14', last: false },
      { reply: 'a', payload: '-3.5', last: true },
      { terms: ['2 * (3 + 4)', ' -7 / 2'], results: ['14', '-3.5'] },
    ]);
  });

  test('answers with an error what is no arithmetic, and goes on', () => {
    const wrong = ['1 / 0', '__import__("os")', '2 ** 9', '', '('.repeat(1_000), '1+'.repeat(20_000)];
    const answers = answersTo(...wrong.map((payload, call) => ({ call: `${call}`, payload })), {
      call: 'bytes',
      payload_base64: 'gA==',
    });
    expect(answers).toEqual(
      [...wrong.keys(), 'bytes'].map((call) => ({ reply: `${call}`, error: expect.stringMatching(/^\w+Error: ./) })),
    );
  });

  test('ignores a cancel and what `send` brings', () => {
    expect(answersTo('a command', '5', '[1]', { cancel: 'a' }, { call: 'b', payload: '1' })).toHaveLength(2);
  });
});

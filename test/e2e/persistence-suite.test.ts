import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SUITE = fileURLToPath(new URL('../fixtures/programs/persistence-suite.mjs', import.meta.url));
/** Tests of the suite in aedes-persistence 11. */
const TESTS = 50;

test('our persistence passes the suite that aedes-persistence has for all of them', async () => {
  const output = await new Promise<string>((resolve) => {
    const options = { env: { ...process.env, NODE_TEST_CONTEXT: undefined }, maxBuffer: 16_777_216 };
    const flags = ['--test', '--test-reporter=tap', SUITE];
    execFile(process.execPath, flags, options, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
  const count = (word: string) => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(output)?.[1]);
  const failed = output.split('\n').filter((line) => /^\s*not ok /.test(line));
  expect(failed).toEqual([]);
  expect({ fail: count('fail'), skipped: count('skipped'), todo: count('todo') }).toEqual({
    fail: 0,
    skipped: 0,
    todo: 0,
  });
  expect(count('pass')).toBeGreaterThanOrEqual(TESTS);
}, 60_000);

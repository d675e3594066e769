import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LIMITS } from '../../src/core/limits.js';
import type { RestartCause } from '../../src/core/restart-causes.js';
import { renderEvents, renderTransitions } from '../fixtures/supervision-doc.js';
import { eventsOf, STATES } from '../fixtures/worker-table.js';

const FILE = new URL('../../docs/supervision.md', import.meta.url);
const BEGIN = '<!-- table: begin. Made from src/supervisor: UPDATE_DOCS=1 npx vitest run supervision-doc -->\n';
const END = '<!-- table: end -->';

function split(page: string): { before: string; table: string; after: string } {
  const begin = page.indexOf(BEGIN) + BEGIN.length;
  const end = page.indexOf(END);
  if (begin < BEGIN.length || end < 0) throw new Error('docs/supervision.md: expected both markers of the table');
  return { before: page.slice(0, begin), table: page.slice(begin, end), after: page.slice(end) };
}

const expected = `\n${renderEvents()}\n${renderTransitions()}\n`;

test('docs/supervision.md has the table of a worker as the code answers', () => {
  const page = readFileSync(FILE, 'utf8');
  const { before, table, after } = split(page);
  if (process.env.UPDATE_DOCS) {
    writeFileSync(FILE, before + expected + after);
    return;
  }
  expect(table, 'UPDATE_DOCS=1 rewrites it').toBe(expected);
});

test('the table names every variant of a state, and every event', () => {
  for (const name of Object.keys(STATES)) expect(expected).toContain(`| ${name} |`);
  for (const { type } of eventsOf(1)) expect(expected).toContain(`| \`${type}\` |`);
});

/** One that is missing here does not compile. */
const CAUSES: Readonly<Record<RestartCause, true>> = {
  exit: true,
  signal: true,
  memory: true,
  oom: true,
  exec_timeout: true,
  heartbeat: true,
  stale: true,
  ready_timeout: true,
  spawn_error: true,
  command: true,
};

test('every cause of a restart and every state has its row', () => {
  const { before } = split(readFileSync(FILE, 'utf8'));
  const states = new Set(Object.values(STATES).map(({ name }) => name));
  for (const name of [...Object.keys(CAUSES), ...states]) expect(before).toContain(`| \`${name}\` |`);
});

test('the numbers on the page are those of the code', () => {
  const { before } = split(readFileSync(FILE, 'utf8'));
  const text = before.replaceAll(/\s+/g, ' ');
  for (const phrase of [
    `${LIMITS.restartBurst} restarts at once and ${LIMITS.restartsPerSecond} a second`,
    `the last ${LIMITS.lastStderrLines} lines of stderr`,
    `${LIMITS.unkillableMs / 1_000} s after SIGKILL`,
    `every ${LIMITS.usageMs / 1_000} s`,
    `${LIMITS.memorySamples} samples running`,
    `at least ${LIMITS.shortRunPauseMs} ms`,
    `within ${LIMITS.shortRunMs} ms`,
    `${LIMITS.shutdownGraceMs / 1_000} s more`,
    `up to ${LIMITS.instancesMax} workers`,
  ]) {
    expect(text).toContain(phrase);
  }
});

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { METRICS } from '../../src/app/metric-list.js';
import { familiesOf, metricWorld, samplesOf } from '../fixtures/metric-world.js';
import { renderMetricTables } from '../fixtures/metrics-doc.js';

const FILE = new URL('../../docs/metrics.md', import.meta.url);
const BEGIN = '<!-- metrics: begin. Made from src/app/metric-list.ts: UPDATE_DOCS=1 npx vitest run metrics-doc -->\n';
const END = '<!-- metrics: end -->';

test('docs/metrics.md has every metric as it is exposed, and no other', async () => {
  const page = readFileSync(FILE, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const [tables, after] = (rest ?? '').split(END);
  if (before === undefined || after === undefined) throw new Error('docs/metrics.md: expected both markers');
  const expected = `\n${renderMetricTables(await metricWorld().metrics.text())}\n`;
  if (process.env.UPDATE_DOCS) writeFileSync(FILE, before + BEGIN + expected + END + after);
  else expect(tables, 'UPDATE_DOCS=1 rewrites it').toBe(expected);
});

test('what is exposed is what the list says: names, types, and no other labels', async () => {
  const { metrics, announced } = metricWorld();
  announced.counts.set('refused', 1);
  const text = await metrics.text();
  const exposed = [...familiesOf(text)].filter(([name]) => name.startsWith('supernode_'));
  expect(Object.fromEntries(exposed)).toEqual(
    Object.fromEntries(Object.entries(METRICS).map(([name, { type }]) => [name, type])),
  );
  for (const { name, labels } of samplesOf(text)) {
    const listed: readonly string[] | undefined = Object.entries(METRICS).find(([known]) => known === name)?.[1].labels;
    if (listed) expect([name, Object.keys(labels)]).toEqual([name, listed]);
  }
});

test('every metric that the page names is exposed', async () => {
  const text = await metricWorld().metrics.text();
  const known = new Set(familiesOf(text).keys());
  const named = readFileSync(FILE, 'utf8').match(/\b(?:supernode|nodejs|process)_\w*[a-z]/g) ?? [];
  expect(named.filter((name) => !known.has(name.replace(/_(?:bucket|sum|count)$/, '')) && !known.has(name))).toEqual(
    [],
  );
});

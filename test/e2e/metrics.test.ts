import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import type { NodeConfig } from '../../src/app/super-node.js';
import { familiesOf, samplesOf } from '../fixtures/metric-world.js';
import { connectApp, startTestNode } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';
import { requireOrSkip } from '../fixtures/system.js';
import { waitFor } from '../fixtures/wait-for.js';

/** What a node is seen to be from outside: by Prometheus, by an orchestrator, by tools that know Mosquitto. */

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));
const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sn-metrics-'));
  dirs.push(dir);
  return dir;
}

async function started(config: NodeConfig = {}) {
  const node = await startTestNode('daemon', config);
  onTestFinished(() => node.close());
  const base = new URL(node.wsUrl.replace(/^ws/, 'http'));
  const get = (path: string) => fetch(new URL(path, base));
  const scrape = async () => (await get('/metrics')).text();
  return { ...node, get, scrape };
}

/** A node that has seen something of everything. */
async function busyNode() {
  const node = await started({
    data_dir: tempDir(),
    tasks: [
      { task_id: 'tiny', queue: { length: 1 } },
      { task_id: 'broken', command: ['/nonexistent/program'], backoff: { initial_ms: 60_000 } },
    ],
  });
  const app = await connectApp(node.port);
  onTestFinished(() => app.client.kill());
  for (const text of ['one', 'two']) await app.client.publish('w/ch/tiny', text, { qos: 1 });
  await app.ask('m/fetch/tiny');
  await app.untilState('broken', 'backoff');
  return node;
}

function promtool(args: readonly string[], input?: string, cwd?: string) {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, cwd, encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

describe('/metrics', () => {
  test('tells what happened to entries, tasks, the disk and connections', async () => {
    const node = await busyNode();
    const text = await node.scrape();
    const value = (name: string, labels: Record<string, string> = {}) =>
      samplesOf(text).find(
        (sample) => sample.name === name && Object.entries(labels).every(([key, own]) => sample.labels[key] === own),
      )?.value;
    expect(value('supernode_put_entries_total')).toBe(2);
    expect(value('supernode_dropped_entries_total', { policy: 'drop_oldest' })).toBe(1);
    expect(value('supernode_task_fetched_entries_total', { task: 'tiny' })).toBe(1);
    expect(value('supernode_task_state', { task: 'broken', state: 'backoff' })).toBe(1);
    expect(value('supernode_restarts_total', { cause: 'spawn_error' })).toBe(1);
    expect(value('supernode_store_flush_duration_seconds_count')).toBeGreaterThan(0);
    expect(value('supernode_mqtt_connections')).toBe(1);
    expect(value('supernode_mqtt_received_publishes_total')).toBeGreaterThan(3);
  });

  test('counts each request by its route and its status, once', async () => {
    const node = await started({ tasks: [{ task_id: 'a' }] });
    const post = (path: string, body: string) => {
      const headers = { 'content-type': 'application/json' };
      return fetch(new URL(path, node.httpUrl), { method: 'POST', headers, body });
    };
    await post('/w/ch/a', 'entry');
    await post('/m/fetch/a', '{}');
    await node.get('/m/fetch/a');
    await post('/m/cmd', '{"cmd":"fly"}');
    await node.get('/m/stat/nobody');
    await node.get('/m/cmd');
    await node.get('/nowhere');
    const counted = [...(await node.scrape()).matchAll(/^supernode_http_requests_total\{(.*)\} (\d+)$/gm)];
    expect(counted.map(([, labels, count]) => `${labels?.replace(/\w+="([^"]*)"/g, '$1')} ${count}`).sort()).toEqual([
      'GET,(none),404 1',
      'GET,/m/cmd,405 1',
      'GET,/m/fetch/:task,200 1',
      'GET,/m/stat/:task,404 1',
      'POST,/m/cmd,400 1',
      'POST,/m/fetch/:task,200 1',
      'POST,/w/ch/:task,200 1',
    ]);
  });

  test('is typed as Prometheus wants it', async () => {
    const response = await (await started()).get('/metrics');
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  });
});

describe.skipIf(requireOrSkip('promtool'))('promtool', () => {
  test('finds nothing to complain about in what a node exposes', async () => {
    const text = await (await busyNode()).scrape();
    expect(promtool(['check', 'metrics'], text)).toEqual({ status: 0, said: '' });
    expect(promtool(['check', 'metrics'], '# TYPE wrong counter\nwrong 1\n').status).not.toBe(0);
  });

  test('takes the example config and the alerts, and the alerts pass their tests', () => {
    const cwd = join(DEPLOY, 'prometheus');
    for (const args of [
      ['check', 'config', 'prometheus.yml'],
      ['check', 'rules', 'alerts.yml'],
      ['test', 'rules', 'alerts.test.yml'],
    ]) {
      expect(promtool(args, undefined, cwd)).toMatchObject({ status: 0 });
    }
  });

  test('sees an alert that does not fire any more', () => {
    const cwd = tempDir();
    cpSync(join(DEPLOY, 'prometheus'), cwd, { recursive: true });
    const rules = readFileSync(join(cwd, 'alerts.yml'), 'utf8');
    writeFileSync(
      join(cwd, 'alerts.yml'),
      rules.replace('supernode_storage_error == 1', 'supernode_storage_error == 2'),
    );
    expect(promtool(['test', 'rules', 'alerts.test.yml'], undefined, cwd).status).not.toBe(0);
  });
});

describe('what deploy/ asks Prometheus for', () => {
  const NAME = /\b(?:supernode|nodejs|process)_\w+/g;
  const dashboard = JSON.parse(readFileSync(join(DEPLOY, 'grafana/super-node.json'), 'utf8'));
  const panels: Panel[] = dashboard.panels;
  const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

  interface Panel {
    readonly id: number;
    readonly title: string;
    readonly gridPos: Record<'x' | 'y' | 'w' | 'h', number>;
    readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
  }

  async function unknown(expressions: readonly string[]): Promise<string[]> {
    const known = familiesOf(await (await started()).scrape());
    const names = expressions.flatMap((expression) => expression.match(NAME) ?? []);
    expect(names.length).toBeGreaterThan(10);
    const isKnown = (name: string) =>
      known.has(name) || known.get(name.replace(/_(?:bucket|sum|count)$/, '')) === 'histogram';
    return names.filter((name) => !isKnown(name));
  }

  test('every metric of the alerts exists', async () => {
    const { groups } = parse(readFileSync(join(DEPLOY, 'prometheus/alerts.yml'), 'utf8'));
    const expressions: string[] = groups[0].rules.map(({ expr }: { expr: string }) => expr);
    expect(await unknown(expressions)).toEqual([]);
    expect(await unknown([...expressions, 'rate(supernode_ghost_total[5m])'])).toEqual(['supernode_ghost_total']);
  });

  test('every metric of the dashboard exists, and every metric of the node is in it', async () => {
    expect(await unknown(queries)).toEqual([]);
    const shown = new Set(queries.flatMap((query) => query.match(NAME) ?? []));
    const families = [...familiesOf(await (await started()).scrape())].filter(([name]) =>
      name.startsWith('supernode_'),
    );
    const left = families.filter(([name, type]) => !shown.has(type === 'histogram' ? `${name}_bucket` : name));
    expect(left).toEqual([]);
  });

  test('the dashboard imports anywhere: its data source is a variable, its panels have ids and places of their own', () => {
    expect(dashboard.templating.list.map(({ name }: { name: string }) => name)).toEqual([
      'datasource',
      'instance',
      'task',
    ]);
    const sources = JSON.stringify(dashboard).match(/"uid":"[^"]*"/g) ?? [];
    expect([...new Set(sources)].sort()).toEqual([`"uid":"\${datasource}"`, '"uid":"super-node"']);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    );
    expect(new Set(places).size).toBe(places.length);
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  });
});

describe('/health and /ready', () => {
  test('tell that the node lives, and that it can be used although a task fails', async () => {
    const node = await busyNode();
    expect(await (await node.get('/health')).json()).toMatchObject({ status: 'ok' });
    const response = await node.get('/ready');
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      ready: true,
      checks: { tasks: { ok: true, total: 2, trouble: [{ task_id: 'broken', cause: 'spawn_error' }] } },
    });
  });
});

describe('$SYS/broker', () => {
  async function heard(port: number, filter: string) {
    const client = await RawClient.connect(port, { clientId: `hears ${filter}` });
    onTestFinished(() => client.kill());
    await client.subscribe(filter);
    const topics = () => client.publishes.map(({ topic }) => topic);
    return { client, topics };
  }

  test('has the figures of a daemon, retained, with values that come anew', async () => {
    const node = await started({ sys_interval: 1 });
    const { client, topics } = await heard(node.port, '$SYS/broker/#');
    await waitFor(() => topics().includes('$SYS/broker/clients/connected'));
    const [version] = client.publishes;
    expect([version?.topic, version?.retain]).toEqual(['$SYS/broker/version', true]);
    const connected = () =>
      client.publishes
        .filter(({ topic }) => topic === '$SYS/broker/clients/connected')
        .map(({ payload }) => `${payload}`);
    await waitFor(() => connected().includes('1'));
  });

  test('is not heard by wildcards at the beginning, and nobody else may write there', async () => {
    const node = await started({ sys_interval: 1 });
    const [all, named] = [await heard(node.port, '#'), await heard(node.port, '$SYS/broker/uptime')];
    await all.client.publish('$SYS/broker/uptime', 'for ever', { qos: 1 });
    await waitFor(() => named.topics().length >= 2);
    expect(named.client.publishes.map(({ payload }) => String(payload))).not.toContain('for ever');
    expect(all.topics().filter((topic) => topic.startsWith('$'))).toEqual([]);
  });

  test('is silent where super-node is a plugin on a broker of a host, unless it is asked for', async () => {
    const topicsOf = async (config: NodeConfig) => {
      const node = await startTestNode('plugin', config);
      onTestFinished(() => node.close());
      const { client, topics } = await heard(node.port, '$SYS/broker/#');
      await client.ping();
      return topics();
    };
    expect(await topicsOf({})).toEqual([]);
    expect(await topicsOf({ sys_interval: 60 })).toContain('$SYS/broker/version');
  });
});

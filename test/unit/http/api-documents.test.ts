import { readFileSync, writeFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';
import { compileErrors, validate } from '@readme/openapi-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { ERROR_TABLE, type ErrorCode } from '../../../src/core/errors.js';
import { Topics } from '../../../src/core/topics.js';
import { asyncApiDocument } from '../../../src/http/asyncapi.js';
import { ROUTE_DOCS } from '../../../src/http/openapi.js';
import { PATH_ERRORS, ROUTE_ERRORS, START_ERRORS } from '../../../src/http/route-errors.js';
import { withComponents } from '../../../src/http/schema-components.js';
import { startTestNode, type TestNode } from '../../fixtures/nodes.js';

const ROOT = new URL('../../../', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));

let node: TestNode;
const texts: Record<string, string> = {};

beforeAll(async () => {
  node = await startTestNode('daemon');
  texts.openapi = await (await fetch(`${node.httpUrl}/docs/openapi.yaml`)).text();
  texts.asyncapi = placeless(await (await fetch(`${node.httpUrl}/docs/asyncapi.yaml`)).text());
});
afterAll(() => node?.close());

/** Without the listeners of that node. */
function placeless(text: string): string {
  const document = parse(text);
  delete document.servers;
  for (const channel of Object.values<{ servers?: unknown }>(document.channels)) delete channel.servers;
  return stringify(document, { aliasDuplicateObjects: false, lineWidth: 120 });
}

const textOf = (name: string) => texts[name] ?? '';

/** What the parser of OpenAPI has to say. */
async function openApiFaults(text: string): Promise<string> {
  const result = await validate(parse(text));
  const { warnings } = result;
  return [result.valid ? '' : compileErrors(result), ...warnings.map(({ message }) => message)].join('\n').trim();
}

/** That there is a later version is no fault. */
const KNOWN_NOTES = new Set(['asyncapi-latest-version']);

async function asyncApiFaults(text: string): Promise<string[]> {
  const notes = await new Parser().validate(text);
  return notes
    .filter(({ code }) => !KNOWN_NOTES.has(String(code)))
    .map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe.each(['openapi', 'asyncapi'])('%s', (name) => {
  test('the file in docs is what a node serves', () => {
    const file = new URL(`docs/${name}.yaml`, ROOT);
    if (process.env.UPDATE_DOCS) writeFileSync(file, textOf(name));
    expect(readFileSync(file, 'utf8'), 'UPDATE_DOCS=1 rewrites it').toBe(textOf(name));
  });

  test('every reference leads somewhere, and every shape is used', () => {
    const document = parse(textOf(name));
    const uses = new Set([...textOf(name).matchAll(/\$ref: "#\/([^"]+)"/g)].map(([, path = '']) => path));
    const lost = [...uses].filter((path) => path.split('/').reduce((at, key) => at?.[key], document) === undefined);
    expect(lost).toEqual([]);
    const made = Object.keys(document.components.schemas).map((title) => `components/schemas/${title}`);
    expect(made.length).toBeGreaterThan(30);
    expect(made.filter((path) => !uses.has(path))).toEqual([]);
  });
});

describe('the OpenAPI document', () => {
  test('is valid', async () => {
    expect(await openApiFaults(textOf('openapi'))).toBe('');
  });

  test.each([
    [
      'a response without a description',
      (text: string) => text.replace('description: The command was carried out.', 'x-no: 1'),
    ],
    ['a path parameter that is not declared', (text: string) => text.replaceAll('/m/stat/{task}:', '/m/stat/{other}:')],
    [
      'an operation id that comes twice',
      (text: string) => text.replace('operationId: taskStatus', 'operationId: nodeStatus'),
    ],
    ['a reference to nothing', (text: string) => text.replace('/schemas/CommandReply"', '/schemas/Nothing"')],
  ])('with %s it would not be', async (_title, broken) => {
    const text = broken(textOf('openapi'));
    expect(text).not.toBe(textOf('openapi'));
    expect(await openApiFaults(text).catch((error: Error) => error.message)).not.toBe('');
  });

  test('has each documented route once, and says of each what it is', () => {
    const paths: Record<string, Record<string, Record<string, unknown>>> = parse(textOf('openapi')).paths;
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
    const ids = operations.map(({ operationId }) => operationId);
    expect(ids.toSorted()).toEqual(
      Object.values(ROUTE_DOCS)
        .map((schema) => schema.operationId)
        .toSorted(),
    );
    for (const { summary, description, tags } of operations)
      expect([summary, description, tags]).not.toContain(undefined);
  });

  test('a fetch may be asked with an empty body, a command may not', () => {
    const { paths } = parse(textOf('openapi'));
    expect(paths['/m/fetch/{task}'].post.requestBody.required).toBe(false);
    expect(paths['/m/cmd'].post.requestBody.required).toBe(true);
  });

  test('every error code is one that a route names, or one that belongs to no route', () => {
    const named = new Set<ErrorCode>([...Object.values(ROUTE_ERRORS).flat(), ...PATH_ERRORS, ...START_ERRORS]);
    expect([...named].toSorted()).toEqual(Object.keys(ERROR_TABLE).toSorted());
  });

  test('each error stands at the status that the table gives it', () => {
    const document = parse(textOf('openapi'));
    let seen = 0;
    for (const methods of Object.values<object>(document.paths)) {
      for (const { responses } of Object.values(methods)) {
        for (const [status, { $ref }] of Object.entries<{ $ref?: string }>(responses)) {
          for (const word of $ref?.split('/').at(-1)?.split('-') ?? []) {
            expect(ERROR_TABLE[`SN_ERR_${word}` as ErrorCode]?.status, word).toBe(Number(status));
            seen += 1;
          }
        }
      }
    }
    expect(seen).toBeGreaterThan(100);
  });
});

describe('the AsyncAPI document', () => {
  test('is valid', async () => {
    expect(await asyncApiFaults(textOf('asyncapi'))).toEqual([]);
  });

  test('is valid for a node with a prefix, and listeners of both types', async () => {
    const servers = [
      { type: 'mqtt', host: '::1', port: 1_883 },
      { type: 'http', host: '127.0.0.1', port: 8_080 },
    ] as const;
    const text = stringify(asyncApiDocument({ name: 'edge-1', version, prefix: 'site7/', servers }));
    expect(await asyncApiFaults(text)).toEqual([]);
    const document = parse(text);
    expect(document.servers.mqtt1.host).toBe('[::1]:1883');
    expect(document.channels.fetch).toMatchObject({
      address: 'site7/m/fetch/{task_id}',
      servers: [{ $ref: '#/servers/mqtt1' }, { $ref: '#/servers/mqttSocket2' }],
    });
    expect(document.channels.fetchSocket).toMatchObject({
      address: '/m/fetch/{task_id}',
      servers: [{ $ref: '#/servers/json2' }],
    });
  });

  test.each([
    [
      'an operation on no channel',
      (text: string) => text.replace('$ref: "#/channels/put"', '$ref: "#/channels/nowhere"'),
    ],
    [
      'a parameter that is not declared',
      (text: string) => text.replace('address: m/cmd/{task_id}', 'address: m/cmd/{other}'),
    ],
    ['a QoS that there is not', (text: string) => text.replace('qos: 1', 'qos: 7')],
    ['an action that there is not', (text: string) => text.replace('action: receive', 'action: listen')],
  ])('with %s it would not be', async (_title, broken) => {
    const text = broken(textOf('asyncapi'));
    expect(text).not.toBe(textOf('asyncapi'));
    expect(await asyncApiFaults(text)).not.toEqual([]);
  });

  test('what is received and sent is what the topic map says of each topic', () => {
    const topics = new Topics();
    const { channels, operations } = parse(textOf('asyncapi'));
    const seen = new Set<string>();
    for (const { action, channel } of Object.values<{ action: string; channel: { $ref: string } }>(operations)) {
      const { address } = channels[channel.$ref.split('/').at(-1) ?? ''];
      if (address.startsWith('/')) continue;
      const { kind } = topics.meaning(address.replaceAll('{', '').replaceAll('}', ''));
      expect([address, action]).toEqual([address, kind === 'node' ? 'send' : 'receive']);
      expect(['free', 'unknown']).not.toContain(kind);
      seen.add(kind);
    }
    expect([...seen].toSorted()).toEqual([
      'ack',
      'answer',
      'cmd',
      'fetch',
      'node',
      'put',
      'report',
      'stat',
      'task-cmd',
    ]);
  });

  test('every row of the table of topics in docs/protocol.md has a channel', () => {
    const { channels } = parse(textOf('asyncapi'));
    const known = new Set(
      Object.values<{ address: string }>(channels).map(({ address }) =>
        address.replaceAll(/\{task_id\}/g, '<task>').replaceAll(/\{(\w+)\}/g, '<$1>'),
      ),
    );
    const rows = topicsOf(readFileSync(new URL('docs/protocol.md', ROOT), 'utf8'));
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter((topic) => !known.has(topic))).toEqual([]);
  });
});

/** The topics of the page's table, those that only stand for others left out. */
function topicsOf(page: string): string[] {
  const table = page.slice(page.indexOf('## Topics'), page.indexOf('Two directions, two roots'));
  const cells = [...table.matchAll(/^\| (`[mw]\/[^|]+) \|/gm)].map(([, cell = '']) => cell);
  return cells
    .flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, topic = '']) => topic))
    .map((topic) => topic.replace('[/<group>]', ''))
    .filter((topic) => !topic.includes('…') && !topic.includes('+'));
}

test('two shapes of one title are refused', () => {
  const one = { title: 'Same', type: 'object' };
  expect(() => withComponents({ a: one, b: { ...one, type: 'string' } })).toThrow(/Same: expected one shape/);
  expect(withComponents({ a: one, b: one })).toMatchObject({ a: { $ref: '#/components/schemas/Same' } });
});

test('what is no document is answered as everywhere', async () => {
  const answer = await fetch(`${node.httpUrl}/docs/nothing`);
  expect([answer.status, await answer.json()]).toMatchObject([404, { code: 'SN_ERR_ROUTE_UNKNOWN' }]);
});

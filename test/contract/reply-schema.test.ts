import { fileURLToPath } from 'node:url';
import { type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest';
import type { NodeConfig } from '../../src/app/super-node.js';
import {
  AckDataSchema,
  COMMAND_DATA_SCHEMAS,
  ErrorReplySchema,
  FetchDataSchema,
  LiveEntryOfAllSchema,
  LiveEntrySchema,
  LogLineOfAllSchema,
  okReply,
  PutReplySchema,
} from '../../src/core/reply-schema.js';
import {
  EventSchema,
  InfoSchema,
  NodeStateSchema,
  NodeStatSchema,
  type TASK_STATES,
  TaskStateSchema,
  TaskStatSchema,
  UsageSchema,
} from '../../src/core/status-schema.js';
// Teaches TypeBox to check `Type.Unsafe`.
import '../../src/core/validate.js';
import type { TaskStatus } from '../../src/supervisor/status.js';
import { type App, connectApp, NODE_KINDS, type ReplyBody, startTestNode, type TestNode } from '../fixtures/nodes.js';
import { waitFor } from '../fixtures/wait-for.js';

/** The shapes of the API documents, held against what a real node says. They are open, so that a node may say more; here
 *  they are closed, so that whatever it says more has to be written down. */

/** Answers calls by lines: in two parts, with bytes that are no text, or with an error. */
const CALCULATOR = `
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { call, payload } = JSON.parse(line);
    const say = (answer) => console.log(JSON.stringify({ reply: call, ...answer }));
    if (payload === 'fail') return say({ error: 'as asked' });
    if (payload === 'bytes') return say({ payload_base64: '/w==', last: true });
    say({ payload: 'part' });
    say({ payload: 'end', last: true });
  });
  console.error('ready');
`;

const CONNECTS = fileURLToPath(new URL('../fixtures/programs/worker.mjs', import.meta.url));
const LATE = { backoff: { initial_ms: 600_000, max_ms: 600_000 } };

const CONFIG: NodeConfig = {
  workers: {
    shell: { command: ['sh', '-c', '{start_params}'], ready: 'spawn', env: { SHOWN: 'name only' }, pin: ['cwd'] },
  },
  tasks: [
    { task_id: 'pool', command: [process.execPath, '-e', CALCULATOR], stdin: 'lines', ready: 'spawn', instances: 2 },
    { task_id: 'linked', command: [process.execPath, CONNECTS], start_params: 'echo', instances: 2 },
    { task_id: 'runs', worker: 'shell', start_params: 'sleep 600' },
    { task_id: 'ends', worker: 'shell', start_params: 'echo why >&2; exit 4', restart: 'never' },
    { task_id: 'again', worker: 'shell', start_params: 'exit 5', instances: 2, ...LATE },
    { task_id: 'missing', command: ['/no/such/program'], instances: 2, ...LATE },
    { task_id: 'job', worker: 'shell', start_params: 'echo out; echo err >&2; exit 3', exec_interval: 600_000 },
    { task_id: 'net', queue: { length: 4, max_attempts: 1, groups: [{ name: 'billing' }] } },
  ],
};

interface Said {
  readonly what: string;
  readonly schema: TSchema;
  readonly value: unknown;
}

/** What was looked at by the sampler. */
interface Weighed {
  readonly rss_kb?: number;
}

/** Asks a node for all it has to say. */
class Interview {
  readonly said: Said[] = [];
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  async ask(topic: string, data: TSchema, body: Record<string, unknown> = {}): Promise<ReplyBody['data']> {
    const reply = await this.#app.ask(topic, body);
    this.said.push({ what: `${topic} ${JSON.stringify(body)}`, schema: okReply('Reply', data), value: reply });
    return reply.data;
  }

  command(cmd: keyof typeof COMMAND_DATA_SCHEMAS, fields: Record<string, unknown> = {}): Promise<ReplyBody['data']> {
    return this.ask('m/cmd', COMMAND_DATA_SCHEMAS[cmd], { cmd, ...fields });
  }

  async refused(topic: string, body: Record<string, unknown> = {}): Promise<void> {
    this.said.push({ what: topic, schema: ErrorReplySchema, value: await this.#app.ask(topic, body) });
  }

  /** What was told below a topic, once it has come. */
  async told(pattern: RegExp, schema: TSchema): Promise<void> {
    const found = await waitFor(() => {
      const all = this.#app.client.publishes.filter(({ topic, payload }) => pattern.test(topic) && payload.length > 0);
      return all.length > 0 && all;
    });
    for (const { topic, payload } of found) {
      this.said.push({ what: topic, schema, value: JSON.parse(payload.toString()) });
    }
  }

  async entries(): Promise<void> {
    const fetch = (fields: Record<string, unknown>) => this.ask('m/fetch/net', FetchDataSchema, fields);
    for (const payload of ['a', Buffer.of(0xff), 'c', 'd', 'e']) {
      await this.#app.client.publish('w/ch/net', payload, { qos: 1 });
    }
    await fetch({ from: { seq: 1 }, max: 10 });
    const { lease } = await fetch({ max: 3, lease_ms: 60_000 });
    await this.ask('m/ack', AckDataSchema, { lease, lease_ms: 60_000 });
    await this.ask('m/ack', AckDataSchema, { lease, ok: true, seqs: [3] });
    await this.ask('m/stat/net', TaskStatSchema);
    await this.ask('m/ack', AckDataSchema, { lease, ok: false });
    await this.ask('m/stat/net', TaskStatSchema);
    await this.ask('m/fetch', FetchDataSchema);
    await this.command('requeue', { task_id: 'net' });
    await this.command('remove_group', { task_id: 'net', group: 'billing' });
    await this.command('purge', { task_id: 'net' });
    await this.#app.client.publish('routed/topic', 'by a route', { qos: 1 });
    await this.ask('m/fetch/routed', FetchDataSchema, { wait_ms: 5_000 });
  }

  /** What HTTP alone has. */
  async overHttp(url: string): Promise<void> {
    const put = async (task: string, body: string, schema: TSchema) => {
      const headers = { 'content-type': 'application/x-ndjson' };
      const answer = await fetch(`${url}/w/ch/${task}`, { method: 'POST', headers, body });
      this.said.push({ what: `POST /w/ch/${task}`, schema, value: await answer.json() });
    };
    const info = await (await fetch(`${url}/m/info`)).json();
    this.said.push({ what: 'GET /m/info', schema: InfoSchema, value: info });
    const open = async (path: string) => ({ path, stream: await fetch(`${url}${path}`) });
    const streams = [
      { ...(await open('/m/data/web')), schema: LiveEntrySchema },
      { ...(await open('/m/data')), schema: LiveEntryOfAllSchema },
    ];
    await put('web', 'one\ntwo\n', PutReplySchema);
    await put('web', `three\n${'x'.repeat(2_000_000)}\n`, ErrorReplySchema);
    for (const { path, stream, schema } of streams) {
      this.said.push({ what: `GET ${path}`, schema, value: await firstData(stream) });
    }
    // Of all tasks: those of shells say something again and again.
    this.said.push({ what: 'GET /m/log', schema: LogLineOfAllSchema, value: await this.#firstLine(url) });
  }

  async #firstLine(url: string): Promise<unknown> {
    const stream = await fetch(`${url}/m/log`);
    await this.command('start', { task_id: 'talks', worker: 'shell', start_params: 'echo here; sleep 60' });
    const line = await firstData(stream);
    await this.command('remove', { task_id: 'talks' });
    return line;
  }

  async commands(): Promise<void> {
    await this.command('workers');
    await this.#app.untilState('pool', 'ready');
    await this.command('call', { task_id: 'pool', payload: 'go' });
    await this.command('call', { task_id: 'pool', payload: 'bytes' });
    await this.refused('m/cmd', { cmd: 'call', task_id: 'pool', payload: 'fail' });
    await this.refused('m/cmd', { cmd: 'fly' });
    await this.command('send', { task_id: 'pool', payload: {} });
    await this.command('start', { task_id: 'new', worker: 'shell', start_params: 'sleep 60' });
    await this.command('signal', { task_id: 'new', sig: 'SIGCONT' });
    await this.command('restart', { task_id: 'new' });
    await this.command('stop', { task_id: 'new' });
    await this.command('remove', { task_id: 'new' });
    await this.command('logs', { task_id: 'pool' });
    await this.command('logs', { task_id: 'ends' });
  }

  async states(): Promise<void> {
    await this.#app.untilStat('job', (task) => task.last_run !== undefined && task.next_run_ts !== undefined);
    await this.#app.untilStat('ends', (task) => task.cause !== undefined);
    await this.#app.untilStat('linked', (task) => task.channels.length === 2);
    for (const task of ['again', 'missing']) {
      await this.#app.untilStat(task, ({ workers }) => workers.every(({ state }: TaskStatus) => state === 'backoff'));
    }
    for (const { task_id } of CONFIG.tasks ?? []) await this.ask(`m/stat/${task_id}`, TaskStatSchema);
    await this.#app.untilStat('pool', ({ workers }) => workers.every(({ rss_kb }: Weighed) => rss_kb !== undefined));
    await this.#app.untilStat('runs', ({ rss_kb }: Weighed) => rss_kb !== undefined);
    await this.told(/^m\/usage\/pool$/, UsageSchema);
    await this.told(/^m\/usage\/runs$/, UsageSchema);
    await this.ask('m/stat/pool', TaskStatSchema);
    await this.ask('m/stat', NodeStatSchema);
    // What it took when it was last looked at stands in the state that follows.
    await this.command('restart', { task_id: 'runs' });
    await this.ask('m/stat/runs', TaskStatSchema);
    await this.told(/^m\/usage\/net$/, UsageSchema);
    await this.told(/^m\/event$/, EventSchema);
    await this.told(/^m\/info$/, InfoSchema);
    await this.told(/^m\/state\/./, TaskStateSchema);
  }
}

/** The same shape, without room for more. */
function closed(schema: TSchema): TSchema {
  if (Array.isArray(schema.anyOf)) return { ...schema, anyOf: schema.anyOf.map(closed) };
  if (schema.type === 'array') return { ...schema, items: closed(schema.items) };
  if (schema.type !== 'object' || schema.properties === undefined) return schema;
  const properties = Object.entries<TSchema>(schema.properties).map(([name, field]) => [name, closed(field)]);
  return { ...schema, properties: Object.fromEntries(properties), additionalProperties: false };
}

/** Why a value does not fit; empty: it does. */
function faults({ what, schema, value }: Said): string[] {
  return [...Value.Errors(closed(schema), value)].map(({ path, message }) => `${what} ${path}: ${message}`);
}

/** Adds the fields of titled shapes that the value has, as `Title.field`. */
function collect(schema: TSchema, value: unknown, into: Set<string>): void {
  if (Array.isArray(value) && schema.type === 'array') for (const one of value) collect(schema.items, one, into);
  if (typeof value !== 'object' || value === null || schema.properties === undefined) return;
  for (const [name, field] of Object.entries<TSchema>(schema.properties)) {
    const inner: unknown = Reflect.get(value, name);
    if (inner === undefined) continue;
    if (schema.title !== undefined) into.add(`${schema.title}.${name}`);
    collect(field, inner, into);
  }
}

/** All there could be. */
function fieldsOf(schema: TSchema, into: Set<string>): void {
  if (schema.type === 'array') fieldsOf(schema.items, into);
  for (const [name, field] of Object.entries<TSchema>(schema.properties ?? {})) {
    if (schema.title !== undefined) into.add(`${schema.title}.${name}`);
    fieldsOf(field, into);
  }
}

/** Fields that this interview does not bring about: of a full disk, live bytes, and in a template what tasks set. */
const NOT_SEEN =
  /^(QueueStatus|TaskState|TaskStat|TaskSummary)\.storage_error$|^LiveEntry(OfAll)?\.payload_base64$|^WorkerTemplate\./;

describe.each(NODE_KINDS)('what a node as %s says', (kind) => {
  let node: TestNode;
  let said: readonly Said[];

  beforeAll(async () => {
    node = await startTestNode(kind, { ...CONFIG, routes: [{ from: 'routed/+', task_id: 'routed' }] });
    const app = await connectApp(node.port);
    for (const filter of ['m/state/#', 'm/event', 'm/info', 'm/usage/#'])
      await app.client.subscribe({ filter, qos: 1 });
    const interview = new Interview(app);
    await interview.entries();
    await interview.commands();
    await interview.states();
    await interview.overHttp(node.httpUrl);
    await app.client.disconnect();
    said = interview.said;
  }, 60_000);
  afterAll(() => node?.close());

  test('fits the shapes of the API documents, and says nothing that they do not have', () => {
    expect(said.length).toBeGreaterThan(60);
    expect(said.flatMap(faults)).toEqual([]);
  });

  test('has every field that the shapes have', () => {
    const all = new Set<string>();
    const seen = new Set<string>();
    for (const { schema, value } of said) {
      fieldsOf(schema, all);
      collect(schema, value, seen);
    }
    expect(all.size).toBeGreaterThan(100);
    const missing = [...all].filter((field) => !seen.has(field) && !NOT_SEEN.test(field));
    expect(missing.filter((field) => kind === 'daemon' || field !== 'Info.listeners')).toEqual([]);
  });

  test('would not fit with a field more, or one that must be there missing', () => {
    for (const one of said) {
      const { schema, value } = one;
      expect(faults({ ...one, value: { ...Object(value), surplus: 1 } })).toHaveLength(1);
      for (const name of schema.required ?? []) {
        const { [name]: _, ...rest } = Object(value);
        expect(faults({ ...one, value: rest }).length, `${one.what} without ${name}`).toBeGreaterThan(0);
      }
    }
  });
});

test('closing a shape reaches what is in its lists and its choices', () => {
  const inner = Type.Object({ a: Type.Integer() });
  const schema = Type.Object({ list: Type.Array(inner), choice: Type.Union([inner, Type.Null()]) });
  const check = (value: unknown) => faults({ what: 'x', schema, value }).length;
  expect(check({ list: [{ a: 1 }], choice: null })).toBe(0);
  expect(check({ list: [{ a: 1, b: 2 }], choice: null })).toBeGreaterThan(0);
  expect(check({ list: [], choice: { a: 1, b: 2 } })).toBeGreaterThan(0);
  expect(check({ list: [{ a: 'one' }], choice: null })).toBeGreaterThan(0);
});

test('states are those of the supervisor', () => {
  expectTypeOf<(typeof TASK_STATES)[number]>().toEqualTypeOf<TaskStatus['state']>();
  expect(Value.Check(NodeStateSchema, 'online')).toBe(true);
  expect(Value.Check(NodeStateSchema, 'asleep')).toBe(false);
});

/** The data of the first message of an event stream. */
async function firstData({ body }: Response): Promise<unknown> {
  let text = '';
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString();
    const [, data] = /^data: (.+)\n/m.exec(text) ?? [];
    if (data !== undefined) return JSON.parse(data);
  }
  return undefined;
}

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifySchema } from 'fastify';
import { ROUTE_DOCS, type RouteName } from './openapi.js';
import * as parts from './openapi-parts.js';
import { errorResponses, type ROUTE_ERRORS, withNamedErrors } from './route-errors.js';
import { type JsonObject, withComponents } from './schema-components.js';

/** What the OpenAPI document says of each route, and beside its routes. Nothing is validated or serialised by it: the
 *  router checks what comes, by the schemas that this is made of. */

const WORKER_AUTH = [{}, { worker: [] }];

interface Texts {
  readonly summary: string;
  readonly description: string;
  readonly tags: readonly [string];
}

type RequestParts = Pick<FastifySchema, 'params' | 'querystring' | 'body' | 'headers' | 'security'>;

function route(
  errors: keyof typeof ROUTE_ERRORS,
  texts: Texts,
  request: RequestParts,
  answers: Record<number, JsonObject>,
): FastifySchema {
  return { ...texts, ...request, response: { ...errorResponses(errors), ...answers } };
}

/** For `POST /m/fetch…`: an empty body asks for the next entry. */
const OPTIONAL_FETCH = { body: parts.FETCH, 'x-body-optional': true };
const TASK = { params: parts.TASK_PARAMS };

const commands = {
  cmd: route(
    'cmd',
    {
      summary: 'Command the node',
      description:
        'Starts, stops and asks tasks. The answer comes when the work is done. A `call` that is answered in several parts has those before the last one in `data.parts`; with `Accept: application/x-ndjson` each is a line, as it comes.',
      tags: ['Commands'],
    },
    { body: parts.COMMAND },
    { 200: parts.COMMAND_ANSWER },
  ),
  taskCmd: route(
    'taskCmd',
    {
      summary: 'Send raw bytes to the workers of a task',
      description: 'The body goes as it is to every channel of the task that takes commands; it is never stored.',
      tags: ['Commands'],
    },
    { ...TASK, body: parts.ANY_BODY },
    { 200: parts.SENT_ANSWER },
  ),
};

const FETCHING =
  'With `Accept: application/x-ndjson` each entry is a line, with `application/octet-stream` one raw entry is the body. What is taken is settled once the response is written, and given back if the connection breaks before; with `lease_ms` it waits for `m/ack`.';
const FETCH_ANSWERS = { 200: parts.FETCH_ANSWER, 204: parts.NO_ENTRY };

const fetches = {
  fetchGet: route(
    'fetchGet',
    {
      summary: 'Take entries of all tasks',
      description: `In order of arrival. ${FETCHING}`,
      tags: ['Entries'],
    },
    { querystring: parts.FETCH_QUERY },
    FETCH_ANSWERS,
  ),
  fetchGetTask: route(
    'fetchGetTask',
    {
      summary: 'Take entries of a task',
      description: `With \`from_seq\` or \`from_ts\` they are only looked at. ${FETCHING}`,
      tags: ['Entries'],
    },
    { ...TASK, querystring: parts.FETCH_TASK_QUERY },
    FETCH_ANSWERS,
  ),
  fetchPost: route(
    'fetchPost',
    {
      summary: 'Take entries of all tasks, asked by a body',
      description: `As on MQTT; an empty body asks for the next entry. ${FETCHING}`,
      tags: ['Entries'],
    },
    OPTIONAL_FETCH,
    FETCH_ANSWERS,
  ),
  fetchPostTask: route(
    'fetchPostTask',
    {
      summary: 'Take entries of a task, asked by a body',
      description: `As on MQTT; an empty body asks for the next entry. ${FETCHING}`,
      tags: ['Entries'],
    },
    { ...TASK, ...OPTIONAL_FETCH },
    FETCH_ANSWERS,
  ),
  ack: route(
    'ack',
    {
      summary: 'End or extend a lease',
      description: 'With `ok` the entries are settled or given back, with `lease_ms` their lease lasts longer.',
      tags: ['Entries'],
    },
    { body: parts.ACK },
    { 200: parts.ACK_ANSWER },
  ),
};

const puts = {
  put: route(
    'put',
    {
      summary: 'Put entries into the queue of a task',
      description:
        'The body is one entry, any bytes; of `application/x-ndjson` each line that is not empty is one. An answer of 200 means what a PUBACK means. An error that came after some of the lines tells how many are in all the same.',
      tags: ['Entries'],
    },
    { ...TASK, headers: parts.PUT_HEADERS, body: parts.PUT_BODY, security: WORKER_AUTH },
    { 200: parts.PUT_ANSWER },
  ),
  putBare: route(
    'putBare',
    {
      summary: 'Put entries into the queue of the own task',
      description: 'The same for a worker, whose token names the task.',
      tags: ['Entries'],
    },
    { headers: parts.PUT_HEADERS, body: parts.PUT_BODY, security: [{ worker: [] }] },
    { 200: parts.PUT_ANSWER },
  ),
};

const ENDLESS =
  'Server-sent events that do not end: `curl -N` shows them, a page reads them with `EventSource`. Who comes back with the id of the last message it saw gets what it missed, or an event `gap` that says how many messages are gone.';
const STREAM = { headers: parts.STREAM_HEADERS };

const told = {
  stat: route(
    'stat',
    {
      summary: 'The status of the node and its tasks',
      description: 'Figures of the node, and how each task stands.',
      tags: ['Status'],
    },
    {},
    { 200: parts.NODE_ANSWER },
  ),
  statTask: route(
    'statTask',
    {
      summary: 'The status of a task',
      description: 'How it stands, its record with the defaults filled in, and its last lines of stderr.',
      tags: ['Status'],
    },
    TASK,
    { 200: parts.TASK_ANSWER },
  ),
  info: route(
    'info',
    {
      summary: 'What the node is',
      description: 'Name, version, limits, listeners: what is retained on `m/info`.',
      tags: ['Status'],
    },
    {},
    { 200: parts.INFO_ANSWER },
  ),
  events: route(
    'events',
    {
      summary: 'What happens, as it happens',
      description: `Changes of state, drops, restarts with their causes, refusals: what is told on \`m/event\`. ${ENDLESS}`,
      tags: ['Streams'],
    },
    STREAM,
    { 200: parts.EVENT_STREAM },
  ),
  dataOfAll: route(
    'dataOfAll',
    {
      summary: 'What is put into all queues, live',
      description: `As for one task, each message with its \`task_id\`. ${ENDLESS}`,
      tags: ['Streams'],
    },
    STREAM,
    { 200: parts.ALL_DATA_STREAM },
  ),
  data: route(
    'data',
    {
      summary: 'What is put into the queue of a task, live',
      description: `Nothing is taken: what is told on \`m/data/<task>\`. ${ENDLESS}`,
      tags: ['Streams'],
    },
    { ...TASK, ...STREAM },
    { 200: parts.DATA_STREAM },
  ),
  logOfAll: route(
    'logOfAll',
    {
      summary: 'The output of all tasks, live',
      description: `As for one task, each line with its \`task_id\`. ${ENDLESS}`,
      tags: ['Streams'],
    },
    STREAM,
    { 200: parts.ALL_LOG_STREAM },
  ),
  log: route(
    'log',
    {
      summary: 'The output of a task, live',
      description: `What its processes write to stdout and stderr: what is told on \`m/log/<task>\`. ${ENDLESS}`,
      tags: ['Streams'],
    },
    { ...TASK, ...STREAM },
    { 200: parts.LOG_STREAM },
  ),
};

const watching = {
  metrics: route(
    'plain',
    {
      summary: 'Figures for Prometheus',
      description: 'Prometheus’ text format.',
      tags: ['Watching'],
    },
    {},
    { 200: parts.text('The figures.', 'text/plain; version=0.0.4; charset=utf-8') },
  ),
  health: route(
    'plain',
    {
      summary: 'Whether the node is alive',
      description: 'Answers as long as the node does anything at all.',
      tags: ['Watching'],
    },
    {},
    { 200: parts.HEALTH_ANSWER },
  ),
  ready: route(
    'plain',
    {
      summary: 'Whether the node can do its work',
      description: 'For who starts and watches it: 503 when it cannot, with what is wrong.',
      tags: ['Watching'],
    },
    {},
    { 200: parts.READY_ANSWER, 503: parts.UNREADY_ANSWER },
  ),
};

function document(summary: string, answer: JsonObject): FastifySchema {
  const texts = { summary, description: 'As this node speaks it.', tags: ['Documents'] } as const;
  return route('plain', texts, {}, { 200: answer });
}

const YAML = parts.text('The document.', 'application/yaml');

const documents = {
  openapiJson: document('This document, as JSON', parts.json('The document.', { type: 'object' })),
  openapiYaml: document('This document, as YAML', YAML),
  asyncapiYaml: document('The AsyncAPI document of MQTT and the WebSockets', YAML),
};

const ROUTES: Readonly<Record<RouteName, FastifySchema>> = {
  ...commands,
  ...fetches,
  ...puts,
  ...told,
  ...watching,
  ...documents,
};
const NAMES = Object.keys(ROUTE_DOCS).filter((name): name is RouteName => name in ROUTES);

/** All that the document says of the route with this id.
 *  @throws Error for an id that no route has */
export function routeSchema(operationId: string): FastifySchema {
  const name = NAMES.find((known) => ROUTE_DOCS[known].operationId === operationId);
  if (name === undefined) throw new Error(`operationId: expected one of ROUTE_DOCS, got ${operationId}`);
  return { operationId, ...ROUTES[name] };
}

export interface ApiNames {
  /** Of the node. */
  readonly name: string;
  readonly version: string;
}

const OVERVIEW = [
  'Everything that is done over MQTT can be done here: the path of a thing is `/` and its topic, without `topics.prefix`, and answers are the same envelopes.',
  'An answer of 429, 503 or 507 says in `Retry-After` when to try again. A path that nothing is served at is 404; a method that a path does not know is 405, with `Allow`.',
  'Topics and WebSockets are in [the AsyncAPI document](/docs/asyncapi.yaml).',
].join('\n\n');

const TAGS = [
  { name: 'Commands', description: 'Start, stop, ask and tell tasks.' },
  { name: 'Entries', description: 'Put data into the queue of a task, and take it.' },
  { name: 'Status', description: 'How things stand.' },
  { name: 'Streams', description: 'What happens, as it happens.' },
  { name: 'Watching', description: 'For who starts and watches the node.' },
  { name: 'Documents', description: 'What there is, for programs.' },
];

/** The options of `@fastify/swagger`: what the document says beside its routes. No servers: paths are those of the node
 *  that serves the document. */
export function openApiInfo({ name, version }: ApiNames): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: name,
        version,
        description: OVERVIEW,
        license: { name: 'LGPL-3.0-or-later', identifier: 'LGPL-3.0-or-later' },
      },
      tags: TAGS,
      security: [],
      components: {
        securitySchemes: {
          worker: {
            type: 'http',
            scheme: 'basic',
            description: 'A worker that the node started: user SN_TASK_ID, password SN_TOKEN.',
          },
        },
      },
    },
    convertConstToEnum: false,
    transformObject: (made) => ('openapiObject' in made ? finished(made.openapiObject) : made.swaggerObject),
  };
}

/** Names the shapes and the errors, and says which bodies may be left out: `@fastify/swagger` demands them all. */
function finished(made: object) {
  const document = JSON.parse(JSON.stringify(made));
  const responses: JsonObject = {};
  for (const path of Object.values<object>(document.paths)) {
    for (const operation of Object.values(path)) {
      if (operation['x-body-optional'] === true) operation.requestBody.required = false;
      delete operation['x-body-optional'];
      operation.responses = withNamedErrors(operation.responses, responses);
    }
  }
  document.components.responses = responses;
  return withComponents(document);
}

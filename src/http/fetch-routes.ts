import type { FastifyReply, FastifyRequest } from 'fastify';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { TaskId } from '../core/topics.js';
import { parseBody } from '../router/body.js';
import type { Envelope } from '../router/request.js';
import { type Api, taskOf } from './api.js';
import { Exchange } from './exchange.js';
import { fetchBodyOf } from './fetch-query.js';
import { answerType, BYTES_TYPE, JSON_TYPE, LINES_TYPE } from './media-types.js';
import { ROUTE_DOCS } from './openapi.js';
import { asks } from './request-socket.js';

const NOTHING = new Uint8Array();
const ONCE_READ = 'none: what is fetched ahead nobody may ever look at';

/** Fetch: takes entries, settled once the response is written and given back if it breaks off before. */
export function fetchRoutes(api: Api): void {
  for (const named of [false, true]) {
    const path = named ? '/m/fetch/:task' : '/m/fetch';
    const task = (request: FastifyRequest) => (named ? taskOf(request) : undefined);
    api.route({
      method: 'GET',
      path,
      isHot: true,
      schema: named ? ROUTE_DOCS.fetchGetTask : ROUTE_DOCS.fetchGet,
      handle: (request, reply) => get(api, request, reply, task(request)),
      socket: asks(api, 'fetch', task),
    });
    api.route({
      method: 'POST',
      path,
      isHot: true,
      schema: named ? ROUTE_DOCS.fetchPostTask : ROUTE_DOCS.fetchPost,
      handle: async (request, reply) => {
        const taskId = task(request);
        return fetch(api, request, reply, taskId, parseBody(await api.json(request)));
      },
    });
  }
}

function get(api: Api, request: FastifyRequest, reply: FastifyReply, taskId: TaskId | undefined) {
  const { headers } = request;
  const purpose = headers['sec-purpose'] ?? headers.purpose;
  if (purpose !== undefined) throw mismatch('SN_ERR_FORBIDDEN', 'Sec-Purpose', ONCE_READ, purpose);
  return fetch(api, request, reply, taskId, fetchBodyOf(request.query));
}

type Body = Record<string, unknown>;

async function fetch(api: Api, request: FastifyRequest, reply: FastifyReply, taskId: TaskId | undefined, asked: Body) {
  const type = answerType(request, LINES_TYPE, BYTES_TYPE);
  const body = type === BYTES_TYPE ? oneRaw(asked) : asked;
  const exchange = new Exchange(reply.raw, request.party);
  const answer = await exchange.ask(api.ports, { kind: 'fetch', taskId, payload: NOTHING, body });
  try {
    if (type === JSON_TYPE || answer.code !== undefined) return api.answer(reply, answer);
    const { entries, ...about } = dataOf(answer.envelope);
    for (const [name, value] of Object.entries(about)) header(reply, name, value);
    if (type === BYTES_TYPE) return sendRaw(api, reply, entries[0]);
    return api.send(reply, LINES_TYPE, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  } catch (error) {
    exchange.giveUp();
    throw error;
  }
}

/** @throws SuperNodeError SN_ERR_REQUEST: a body holds one entry */
function oneRaw(asked: Body): Body {
  if (asked.max !== undefined && asked.max !== 1) {
    throw mismatch('SN_ERR_REQUEST', 'max', `1, or none, with Accept: ${BYTES_TYPE}`, asked.max);
  }
  return { ...asked, encoding: 'base64' };
}

function sendRaw(api: Api, reply: FastifyReply, entry: Body | undefined) {
  if (entry === undefined) return reply.code(204).send();
  const { payload_base64: payload, ts, ...about } = entry;
  for (const [name, value] of Object.entries({ ...about, timestamp: ts })) header(reply, name, value);
  return api.send(reply, BYTES_TYPE, Buffer.from(String(payload), 'base64'));
}

/** `task_id` becomes `SN-Task`, `dropped` `SN-Dropped`: a field of JSON as a header. What a header cannot hold is
 *  percent-encoded (RFC 9110 §5.5). */
function header(reply: FastifyReply, field: string, value: unknown): void {
  if (value === undefined) return;
  const name = field === 'task_id' ? 'task' : field;
  const text = String(value).replace(/[^\x21-\x24\x26-\x7e]/gu, encodeURIComponent);
  // A topic may be longer than any header that clients take; the JSON has it.
  if (text.length <= LIMITS.httpTopicHeaderBytes) reply.header(`sn-${name}`, text);
}

function dataOf(envelope: Envelope): Body & { entries: readonly Body[] } {
  const data = envelope.status === 'ok' ? envelope.data : undefined;
  if (typeof data === 'object' && data !== null && 'entries' in data && Array.isArray(data.entries)) {
    return { ...data, entries: data.entries };
  }
  throw new SuperNodeError('SN_ERR_INTERNAL', 'fetch: expected entries, got none');
}

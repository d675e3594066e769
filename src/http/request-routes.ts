import type { FastifyReply, FastifyRequest } from 'fastify';
import { asSuperNodeError, SuperNodeError } from '../core/errors.js';
import { jsonText } from '../core/json-text.js';
import { LIMITS } from '../core/limits.js';
import type { Reply } from '../router/request.js';
import { type Api, taskOf } from './api.js';
import { Exchange } from './exchange.js';
import { answerType, LINES_TYPE } from './media-types.js';
import { ROUTE_DOCS } from './openapi.js';
import { ReplyLines } from './reply-lines.js';
import { asks } from './request-socket.js';

const NOTHING = new Uint8Array();

/** Commands, acknowledgements and status: requests as on MQTT, with the same envelopes. */
export function requestRoutes(api: Api): void {
  api.route({
    method: 'POST',
    path: '/m/cmd',
    schema: ROUTE_DOCS.cmd,
    handle: async (request, reply) => {
      const payload = await api.json(request);
      return answerType(request, LINES_TYPE) === LINES_TYPE
        ? commandByLines(api, request, reply, payload)
        : command(api, request, reply, payload);
    },
  });
  api.socketRoute('/m/cmd', asks(api, 'cmd'));
  api.route({
    method: 'POST',
    path: '/m/cmd/:task',
    schema: ROUTE_DOCS.taskCmd,
    handle: async (request, reply) => {
      const taskId = taskOf(request);
      return api.relay(request, reply, 'task-cmd', { taskId, payload: await api.body(request) });
    },
  });
  api.socketRoute('/m/cmd/:task', asks(api, 'task-cmd', taskOf));
  api.route({
    method: 'POST',
    path: '/m/ack',
    schema: ROUTE_DOCS.ack,
    handle: async (request, reply) =>
      api.relay(request, reply, 'ack', { taskId: undefined, payload: await api.json(request) }),
  });
  api.socketRoute('/m/ack', asks(api, 'ack'));
  api.route({
    method: 'GET',
    path: '/m/stat',
    schema: ROUTE_DOCS.stat,
    handle: (request, reply) => api.relay(request, reply, 'stat', { taskId: undefined, payload: NOTHING }),
    socket: asks(api, 'stat'),
  });
  api.route({
    method: 'GET',
    path: '/m/stat/:task',
    schema: ROUTE_DOCS.statTask,
    handle: (request, reply) => api.relay(request, reply, 'stat', { taskId: taskOf(request), payload: NOTHING }),
    socket: asks(api, 'stat', taskOf),
  });
}

/** One envelope: the last part of a call's answer, with those before it in `parts`. */
async function command(api: Api, request: FastifyRequest, reply: FastifyReply, payload: Buffer) {
  const parts: unknown[] = [];
  let bytes = 0;
  let failure: SuperNodeError | undefined;
  const exchange = new Exchange(reply.raw, request.party);
  const more = ({ envelope: part }: Reply) => {
    if (part.status !== 'ok') return undefined;
    const partBytes = JSON.stringify(part.data).length;
    bytes += partBytes;
    if (failure !== undefined) return undefined;
    try {
      if (bytes > LIMITS.callPartsBytes) throw tooManyParts();
      api.hold(reply, partBytes);
      parts.push(part.data);
    } catch (error) {
      failure = asSuperNodeError(error);
      parts.length = 0;
      exchange.abort();
    }
    return undefined;
  };
  const answer = await exchange.ask(api.ports, { kind: 'cmd', taskId: undefined, payload, more });
  if (failure !== undefined) throw failure;
  const { envelope } = answer;
  if (parts.length === 0 || envelope.status === 'error') return api.answer(reply, answer);
  const whole = { ...envelope, data: { ...Object(envelope.data), parts } };
  return api.answer(reply, { code: undefined, json: () => jsonText(whole) });
}

function tooManyParts(): SuperNodeError {
  const expected = `at most ${LIMITS.callPartsBytes} bytes, or Accept: ${LINES_TYPE}`;
  return new SuperNodeError('SN_ERR_LIMIT', `parts of the answer: expected ${expected}, got more`);
}

/** An envelope a line, as they come. */
async function commandByLines(api: Api, request: FastifyRequest, reply: FastifyReply, payload: Buffer) {
  const exchange = new Exchange(reply.raw, request.party);
  const lines = new ReplyLines(reply.raw, reply.getHeaders());
  const more = ({ envelope: part }: Reply) => lines.write(part);
  const answer = await exchange.ask(api.ports, { kind: 'cmd', taskId: undefined, payload, more });
  // What failed before it began has its status.
  if (!lines.hasBegun && answer.code !== undefined) return api.answer(reply, answer);
  reply.hijack();
  lines.write(answer.envelope);
  lines.end();
  return reply;
}

import type { FastifyReply, FastifyRequest } from 'fastify';
import { asSuperNodeError, mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { TaskId } from '../core/topics.js';
import { type Api, type Count, taskOf } from './api.js';
import { linesOf } from './bodies.js';
import { refuse } from './error-replies.js';
import { bodyType, JSON_TYPE, LINES_TYPE } from './media-types.js';
import { ROUTE_DOCS } from './openapi.js';

const ONE = '{"status":"ok","data":{"entries":1}}\n';

/** Entries over HTTP: the body as it is, or each line of it. */
export function putRoutes(api: Api): void {
  const { workers } = api.ports;
  api.bareRoute({
    method: 'POST',
    path: '/w/ch/:task',
    schema: ROUTE_DOCS.put,
    handle: (request, reply, count) => put(api, request, reply, ownTask(request, taskOf(request)), count),
  });
  api.socketRoute('/w/ch/:task', {
    admit: (request) => workers.admit(ownTask(request, taskOf(request))),
    open: (socket, request) => {
      api.sockets.add(socket, 'json');
      const acks = Reflect.get(Object(request.query), 'acks') === 'true';
      workers.open(socket, request.raw, { taskId: taskOf(request), party: request.party, acks });
    },
  });
  api.bareRoute({
    method: 'POST',
    path: '/w/ch',
    schema: ROUTE_DOCS.putBare,
    handle: (request, reply, count) => put(api, request, reply, ownTask(request, undefined), count),
  });
}

function put(api: Api, request: FastifyRequest, reply: FastifyReply, taskId: TaskId, count: Count) {
  if (bodyType(request) === LINES_TYPE) return putLines(api, request, reply, taskId, count);
  return putOne(api, request, reply, taskId, count);
}

/** Without a promise where none is needed: this is what every entry passes. */
function putOne(api: Api, request: FastifyRequest, reply: FastifyReply, taskId: TaskId, count: Count): void {
  const failed = (error: unknown) => void reply.send(error);
  const taken = () => {
    count(200);
    api.ports.figures.bytesSent += ONE.length;
    reply.type(JSON_TYPE).send(ONE);
  };
  const received = (body: Buffer) => {
    let flushed: undefined | Promise<void>;
    try {
      flushed = api.puts.put(taskId, body, request.party.worker?.instance);
    } catch (error) {
      failed(error);
      return;
    }
    if (flushed === undefined) taken();
    else flushed.then(taken, failed);
  };
  api.receive(request, received, failed);
}

/** Whoever hears of an error hears how many were taken before it. */
async function putLines(api: Api, request: FastifyRequest, reply: FastifyReply, taskId: TaskId, count: Count) {
  const { ports, puts } = api;
  const instance = request.party.worker?.instance;
  let entries = 0;
  let flushed: Promise<void> | undefined;
  try {
    const lines = linesOf(request.raw, {
      ...api.bodyOptions,
      bytesMax: LIMITS.httpLinesBytes,
      lineBytesMax: ports.limits.packetBytesMax,
    });
    for await (const line of lines) {
      if (entries >= LIMITS.httpLinesMax) throw tooMany();
      const outcome = puts.put(taskId, line, instance);
      // Those of one flush share its promise; the last one settles last.
      if (outcome !== undefined) flushed = outcome;
      entries += 1;
    }
    await flushed;
  } catch (thrown) {
    const error = asSuperNodeError(thrown);
    if (error.code === 'SN_ERR_INTERNAL') throw thrown;
    const data = { entries: error.code === 'SN_ERR_STORAGE' ? 0 : await settled(flushed, entries) };
    refuse(reply, error, ports.figures, { data });
    return reply;
  }
  count(200);
  return api.send(reply, JSON_TYPE, `{"status":"ok","data":{"entries":${entries}}}\n`);
}

/** The task whose queue it is for.
 *  @throws SuperNodeError SN_ERR_REQUEST, SN_ERR_FORBIDDEN */
function ownTask({ party }: FastifyRequest, named: TaskId | undefined): TaskId {
  const own = party.worker?.taskId;
  const taskId = named ?? own;
  if (taskId === undefined) throw mismatch('SN_ERR_REQUEST', 'path', '/w/ch/<task>, or the token of a worker', '/w/ch');
  if (own !== undefined && own !== taskId) {
    throw mismatch('SN_ERR_FORBIDDEN', 'path', `the own task, /w/ch/${own}`, `/w/ch/${taskId}`);
  }
  return taskId;
}

function tooMany(): SuperNodeError {
  return new SuperNodeError('SN_ERR_TOO_LARGE', `lines: expected at most ${LIMITS.httpLinesMax} in one put, got more`);
}

/** How many are in the queue for good. */
async function settled(flushed: Promise<void> | undefined, entries: number): Promise<number> {
  try {
    await flushed;
    return entries;
  } catch {
    return 0;
  }
}

import type { FastifyReply, FastifyRequest } from 'fastify';
import { mismatch } from '../core/errors.js';
import { type Api, taskOf } from './api.js';
import { JSON_TYPE } from './media-types.js';
import { ROUTE_DOCS } from './openapi.js';

/** What happens as it happens, and how the node itself is. */
export function watchRoutes(api: Api): void {
  api.route({
    method: 'GET',
    path: '/',
    schema: { hide: true },
    // Whoever looks at the node with a browser sees what there is.
    handle: (_request, reply) => reply.redirect('/docs'),
  });
  streamRoutes(api);
  const { ports } = api;
  const alive = `${JSON.stringify({ status: 'ok', data: { name: ports.name, version: ports.version } })}\n`;
  api.route({
    method: 'GET',
    path: '/m/info',
    schema: ROUTE_DOCS.info,
    handle: (_request, reply) => api.send(reply, JSON_TYPE, `${JSON.stringify(ports.info())}\n`),
  });
  api.route({
    method: 'GET',
    path: '/metrics',
    schema: ROUTE_DOCS.metrics,
    handle: async (_request, reply) => {
      const { contentType, text } = await ports.metrics();
      return api.send(reply, contentType, text);
    },
  });
  api.route({
    method: 'GET',
    path: '/health',
    schema: ROUTE_DOCS.health,
    handle: (_request, reply) => api.send(reply, JSON_TYPE, alive),
  });
  api.route({
    method: 'GET',
    path: '/ready',
    schema: ROUTE_DOCS.ready,
    handle: (_request, reply) => {
      const readiness = ports.readiness();
      if (!readiness.ready) {
        reply.code(503);
        ports.figures.count('GET', '/ready', 503);
      }
      return api.send(reply, JSON_TYPE, `${JSON.stringify(readiness)}\n`);
    },
  });
}

/** Server-sent events. */
function streamRoutes(api: Api): void {
  const open = (request: FastifyRequest, reply: FastifyReply, topic: string) => {
    // As a worker's connection over MQTT asks for nothing below m/.
    const { worker } = request.party;
    if (worker) throw mismatch('SN_ERR_FORBIDDEN', topic, 'an app or operator', `the worker of ${worker.taskId}`);
    const lastEventId = request.headers['last-event-id'];
    api.ports.streams.open({
      topic,
      lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
      request: request.raw,
      response: reply.raw,
      headers: Object.fromEntries(Object.entries(reply.getHeaders())),
    });
    reply.hijack();
  };
  api.route({
    method: 'GET',
    path: '/m/event',
    schema: ROUTE_DOCS.events,
    handle: (request, reply) => open(request, reply, 'm/event'),
  });
  for (const [word, schemaOfAll, schema] of [
    ['data', ROUTE_DOCS.dataOfAll, ROUTE_DOCS.data],
    ['log', ROUTE_DOCS.logOfAll, ROUTE_DOCS.log],
  ] as const) {
    const path = `/m/${word}`;
    api.route({
      method: 'GET',
      path,
      schema: schemaOfAll,
      handle: (request, reply) => open(request, reply, `m/${word}`),
    });
    api.route({
      method: 'GET',
      path: `${path}/:task`,
      schema,
      handle: (request, reply) => open(request, reply, `m/${word}/${taskOf(request)}`),
    });
  }
}

import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { AsyncApiOptions } from './asyncapi.js';
import { ROUTE_DOCS } from './openapi.js';
import type { ApiNames } from './route-docs.js';

/** The API documents, and the page that shows them. */

export interface DocsOptions extends ApiNames, Pick<AsyncApiOptions, 'prefix'> {
  /** The listeners of the node; asked when somebody wants the documents. */
  servers(): AsyncApiOptions['servers'];
}

interface Documented extends Pick<RouteOptions, 'method' | 'url'> {
  readonly operationId: string;
}

const PREFIX = '/docs';

/** The page runs what it brings and asks the node alone. */
const HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "base-uri 'none'",
    "connect-src 'self'",
    "font-src 'self'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "img-src 'self' data:",
    "script-src 'self'",
    "style-src 'self'",
  ].join('; '),
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** Serves `/docs` and the documents below it. Has to be called on the root instance, before the routes that are to be in
 *  the OpenAPI document: those whose schema has an `operationId`. Nothing is loaded or made before somebody asks: the
 *  packages cost a node that nobody looks at some megabytes and a slower start. */
export function docsRoutes(app: FastifyInstance, options: DocsOptions): void {
  const documented: Documented[] = [];
  app.addHook('onRoute', ({ method, url, schema }) => {
    const { operationId } = schema ?? {};
    if (operationId !== undefined) documented.push({ method, url, operationId });
  });
  let pages: Promise<FastifyInstance> | undefined;
  const open = () => {
    pages ??= openPages(documented, options);
    return pages;
  };
  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const made = await open().catch((error: unknown) => {
      pages = undefined;
      throw error;
    });
    reply.hijack();
    made.routing(request.raw, reply.raw);
  };
  for (const url of [PREFIX, `${PREFIX}/*`]) app.get(url, { schema: { hide: true } }, serve);
  app.get(`${PREFIX}/openapi.json`, { schema: ROUTE_DOCS.openapiJson }, serve);
  app.get(`${PREFIX}/openapi.yaml`, { schema: ROUTE_DOCS.openapiYaml }, serve);
  app.get(`${PREFIX}/asyncapi.yaml`, { schema: ROUTE_DOCS.asyncapiYaml }, serve);
  app.addHook('onClose', async () => {
    await (await pages?.catch(() => undefined))?.close();
  });
}

function isDocument({ url }: Documented): boolean {
  return url.startsWith(PREFIX);
}

/** The OpenAPI document of these routes. */
async function openApiOf(documented: readonly Documented[], names: ApiNames) {
  const [app, { fastifySwagger }, { openApiInfo, routeSchema }] = await Promise.all([
    bareApp(),
    import('@fastify/swagger'),
    import('./route-docs.js'),
  ]);
  await app.register(fastifySwagger, openApiInfo(names));
  // What the documents say of themselves comes last.
  const inOrder = documented.toSorted((a, b) => Number(isDocument(a)) - Number(isDocument(b)));
  for (const { method, url, operationId } of inOrder) {
    app.route({ method, url, schema: routeSchema(operationId), handler: nothing });
  }
  await app.ready();
  const text = JSON.stringify(app.swagger());
  await app.close();
  // The types of static mode know no OpenAPI 3.1.
  return JSON.parse(text);
}

async function openPages(documented: readonly Documented[], options: DocsOptions): Promise<FastifyInstance> {
  const [document, app, { asyncApiDocument }, { fastifySwagger }, { fastifySwaggerUi }, yaml] = await Promise.all([
    openApiOf(documented, options),
    bareApp(),
    import('./asyncapi.js'),
    import('@fastify/swagger'),
    import('@fastify/swagger-ui'),
    import('yaml'),
  ]);
  app.addHook('onSend', async (_request, reply) => {
    reply.headers(HEADERS);
    // Files say themselves how long they are good.
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
  app.get(`${PREFIX}/openapi.json`, (_request, reply) => reply.send(document));
  const asText: Record<string, () => object> = {
    openapi: () => document,
    asyncapi: () => asyncApiDocument({ ...options, servers: options.servers() }),
  };
  for (const [name, make] of Object.entries(asText)) {
    // Writing it takes long enough to do it once.
    let text: string | undefined;
    app.get(`${PREFIX}/${name}.yaml`, (_request, reply) => {
      text ??= yaml.stringify(make(), { aliasDuplicateObjects: false, lineWidth: 120 });
      return reply.type('application/yaml').send(text);
    });
  }
  await app.register(fastifySwagger, { mode: 'static', specification: { document } });
  await app.register(fastifySwaggerUi, {
    routePrefix: PREFIX,
    theme: { title: `${options.name}: API` },
    uiConfig: { layout: 'BaseLayout', defaultModelsExpandDepth: 0, displayRequestDuration: true },
  });
  app.setNotFoundHandler((request, reply) => {
    const error = `path: expected ${PREFIX} or a document below it, got ${JSON.stringify(request.url.slice(0, 200))}`;
    return reply.code(404).send({ status: 'error', error, code: 'SN_ERR_ROUTE_UNKNOWN' });
  });
  await app.ready();
  return app;
}

/** An app that validates nothing and never listens. */
async function bareApp(): Promise<FastifyInstance> {
  const { fastify } = await import('fastify');
  const app = fastify({ exposeHeadRoutes: false });
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  return app;
}

function nothing(): void {
  // Its routes are there to be described.
}

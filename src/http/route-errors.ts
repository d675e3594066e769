import { ERROR_TABLE, type ErrorCode } from '../core/errors.js';
import { ErrorReplySchema } from '../core/reply-schema.js';
import { saysWhenAgain } from './error-replies.js';
import { type JsonObject, plain } from './schema-components.js';

/** Which errors a route can give, as its responses. */

/** Every request can meet these. */
const ALWAYS: readonly ErrorCode[] = [
  'SN_ERR_HTTP',
  'SN_ERR_UNAUTHORIZED',
  'SN_ERR_FORBIDDEN',
  'SN_ERR_TIMEOUT',
  'SN_ERR_HEADERS',
  'SN_ERR_LIMIT',
  'SN_ERR_INTERNAL',
  'SN_ERR_CLOSING',
];
const BODY: readonly ErrorCode[] = ['SN_ERR_TOO_LARGE', 'SN_ERR_MEDIA_TYPE'];
const JSON_BODY: readonly ErrorCode[] = [...BODY, 'SN_ERR_JSON', 'SN_ERR_REQUEST'];
const TASK: readonly ErrorCode[] = ['SN_ERR_TASK_ID', 'SN_ERR_TASK_UNKNOWN'];

export const ROUTE_ERRORS = {
  cmd: [
    ...ALWAYS,
    ...JSON_BODY,
    ...TASK,
    'SN_ERR_COMMAND_UNKNOWN',
    'SN_ERR_WORKER_UNKNOWN',
    'SN_ERR_TASK_EXISTS',
    'SN_ERR_GROUP_UNKNOWN',
    'SN_ERR_NO_CHANNEL',
    'SN_ERR_NOT_RUNNING',
    'SN_ERR_SUPERSEDED',
    'SN_ERR_UNKILLABLE',
    'SN_ERR_CALL_FAILED',
    'SN_ERR_WORKER_GONE',
    'SN_ERR_CALL_TIMEOUT',
  ],
  taskCmd: [...ALWAYS, ...BODY, ...TASK, 'SN_ERR_REQUEST', 'SN_ERR_NO_CHANNEL'],
  fetchGet: [...ALWAYS, 'SN_ERR_REQUEST'],
  fetchGetTask: [...ALWAYS, ...TASK, 'SN_ERR_REQUEST'],
  fetchPost: [...ALWAYS, ...JSON_BODY],
  fetchPostTask: [...ALWAYS, ...JSON_BODY, ...TASK],
  ack: [...ALWAYS, ...JSON_BODY, 'SN_ERR_LEASE_UNKNOWN'],
  stat: ALWAYS,
  statTask: [...ALWAYS, ...TASK],
  put: [...ALWAYS, ...BODY, ...TASK, 'SN_ERR_QUEUE_FULL', 'SN_ERR_STORAGE'],
  putBare: [...ALWAYS, ...BODY, 'SN_ERR_REQUEST', 'SN_ERR_TASK_UNKNOWN', 'SN_ERR_QUEUE_FULL', 'SN_ERR_STORAGE'],
  info: ALWAYS,
  events: ALWAYS,
  dataOfAll: ALWAYS,
  logOfAll: ALWAYS,
  data: [...ALWAYS, 'SN_ERR_TASK_ID'],
  log: [...ALWAYS, 'SN_ERR_TASK_ID'],
  plain: ALWAYS,
} as const satisfies Record<string, readonly ErrorCode[]>;

/** Codes that belong to a path and not to what is done there, so that no route names them: nothing is served there, not
 *  with this method, or not without a WebSocket. */
export const PATH_ERRORS: readonly ErrorCode[] = [
  'SN_ERR_ROUTE_UNKNOWN',
  'SN_ERR_METHOD',
  'SN_ERR_UPGRADE',
  'SN_ERR_TOPIC',
];
/** Codes that no request meets: with them the node does not start. */
export const START_ERRORS: readonly ErrorCode[] = ['SN_ERR_CONFIG', 'SN_ERR_DATA_DIR', 'SN_ERR_LISTEN'];

/** The error responses of a route, by status; the codes of each are in its schema and its text. */
export function errorResponses(route: keyof typeof ROUTE_ERRORS): Record<number, JsonObject> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of ROUTE_ERRORS[route]) {
    const { status } = ERROR_TABLE[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, responseOf(status, codes)]));
}

function responseOf(status: number, codes: readonly ErrorCode[]): JsonObject {
  return {
    description: codes.map((code) => `\`${code}\`: ${ERROR_TABLE[code].means}.`).join('\n\n'),
    ...(saysWhenAgain(status)
      ? { headers: { 'Retry-After': { type: 'integer', description: 'After how many seconds to try again.' } } }
      : {}),
    ...(status === 401
      ? { headers: { 'WWW-Authenticate': { type: 'string', description: 'Basic authentication is expected.' } } }
      : {}),
    content: {
      'application/json': {
        schema: {
          allOf: [
            plain(ErrorReplySchema),
            { type: 'object', properties: { code: { type: 'string', enum: [...codes] } } },
          ],
        },
        examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code) }])),
      },
    },
  };
}

function exampleOf(code: ErrorCode): JsonObject {
  return { status: 'error', error: ERROR_TABLE[code].means, code };
}

/** The responses of an operation, each error as a reference; many routes have the same.
 *  @param named Gets the errors, each named by its codes */
export function withNamedErrors(responses: Record<string, { description: string }>, named: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => {
      const codes = response.description.match(/(?<=`SN_ERR_)[A-Z_]+(?=`)/g);
      if (codes === null) return [status, { ...response }];
      const name = codes.join('-');
      named[name] = { ...response };
      return [status, { $ref: `#/components/responses/${name}` }];
    }),
  );
}

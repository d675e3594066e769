import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ERROR_TABLE, type ErrorCode, mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Logger } from '../core/ports.js';
import { discardBody } from './bodies.js';
import { hasBegunAnswer } from './connections.js';
import type { Figures } from './figures.js';
import { isUpgrade } from './upgrades.js';

/** After how many seconds a refusal of the moment is worth another try. */
const RETRY_AFTER_S = '1';
/** Refusals of the moment: they say when to come again. */
const AGAIN = new Set<number>([429, 503, 507]);

/** The codes of Node's HTTP parser and of its timers (`ConnectionError` of Fastify). */
const BROKEN_REQUESTS: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'SN_ERR_HEADERS',
  ERR_HTTP_REQUEST_TIMEOUT: 'SN_ERR_TIMEOUT',
};

export function saysWhenAgain(status: number): boolean {
  return AGAIN.has(status);
}

/** Headers that every answer with this status has. */
export function headersOf(status: number): Record<string, string> {
  return saysWhenAgain(status) ? { 'retry-after': RETRY_AFTER_S } : {};
}

/** Answers with an error. */
function sendError(reply: FastifyReply, error: SuperNodeError, extra: Record<string, unknown> = {}): void {
  const { status } = ERROR_TABLE[error.code];
  if (!reply.request.raw.complete) discardBody(reply.request.raw);
  if (status === 401) reply.header('www-authenticate', 'Basic realm="super-node"');
  reply
    .code(status)
    .headers(headersOf(status))
    .type('application/json')
    .send(`${JSON.stringify({ status: 'error', error: error.message, code: error.code, ...extra })}\n`);
}

/** Answers with an error, and counts it. */
export function refuse(reply: FastifyReply, error: SuperNodeError, figures: Figures, extra = {}): void {
  countError(reply, error.code, figures);
  sendError(reply, error, extra);
}

/** A path that is none of ours is anything that somebody makes up. */
export function countError({ request }: FastifyReply, code: ErrorCode, figures: Figures): void {
  figures.count(request.method, request.routeOptions.url ?? '(none)', ERROR_TABLE[code].status);
}

/** Whatever was thrown on the way through Fastify. */
export function errorHandler(log: Logger, figures: Figures) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    refuse(reply, asHttpError(thrown, log, request.url), figures);
  };
}

function asHttpError(thrown: unknown, log: Logger, url: string): SuperNodeError {
  if (thrown instanceof SuperNodeError) return thrown;
  const status = thrown instanceof Error ? Reflect.get(thrown, 'statusCode') : undefined;
  if (thrown instanceof Error && typeof status === 'number' && status >= 400 && status < 500) {
    const code = status === 415 ? 'SN_ERR_MEDIA_TYPE' : 'SN_ERR_HTTP';
    return new SuperNodeError(code, `request: ${thrown.message}`, { cause: thrown });
  }
  log.error({ err: thrown, url: url.slice(0, 200) }, 'a request met a fault of ours');
  return new SuperNodeError('SN_ERR_INTERNAL', 'the node met a fault; its log has the details');
}

/** What every answer has, whoever gives it. */
export function prepare({ raw }: FastifyRequest, reply: FastifyReply): void {
  reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  // One that becomes no WebSocket: nobody else closes its connection, which is HTTP's no more.
  if (isUpgrade(raw)) reply.raw.once('finish', () => raw.socket.destroySoon());
}

/** Answers a path that cannot be read: no route is found for it, and no hook runs. */
export function refuseUrl(_error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  prepare(request, reply);
  const expected = `percent-encoded UTF-8, at most ${LIMITS.httpSegmentChars} characters from one slash to the next`;
  sendError(reply, mismatch('SN_ERR_HTTP', 'path', expected, request.raw.url));
}

/** Answers bytes that made no request, on the bare socket. */
export function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  // In the midst of another answer it would be taken for a part of that.
  if (!socket.writable || hasBegunAnswer(socket)) {
    socket.destroy();
    return;
  }
  const code = BROKEN_REQUESTS[error.code ?? ''] ?? 'SN_ERR_HTTP';
  const { status, means } = ERROR_TABLE[code];
  const body = `${JSON.stringify({ status: 'error', error: means, code })}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json',
    'Cache-Control: no-store',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  // One that does not close in turn must not keep the socket.
  socket.destroySoon();
}

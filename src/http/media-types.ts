import type { FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';

export const JSON_TYPE = 'application/json';
export const LINES_TYPE = 'application/x-ndjson';
export const BYTES_TYPE = 'application/octet-stream';

export type AnswerType = typeof JSON_TYPE | typeof LINES_TYPE | typeof BYTES_TYPE;

/** The type of answer that a client likes best of those there are, JSON first (RFC 9110 §12.5.1). Whoever accepts none
 *  of them gets JSON. */
export function answerType({ headers }: FastifyRequest, ...others: readonly AnswerType[]): AnswerType {
  const { accept } = headers;
  if (accept === undefined || accept === '*/*' || accept === JSON_TYPE) return JSON_TYPE;
  const offered: AnswerType[] = [JSON_TYPE, ...others];
  const best = new Negotiator({ headers: { accept } }).mediaType(offered);
  return offered.find((type) => type === best) ?? JSON_TYPE;
}

/** The media type of a body, without its parameters; empty: none is named. */
export function bodyType({ headers }: FastifyRequest): string {
  const type = headers['content-type'] ?? '';
  const at = type.indexOf(';');
  return (at === -1 ? type : type.slice(0, at)).trim().toLowerCase();
}

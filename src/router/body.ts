import { isUtf8 } from 'node:buffer';
import { describe, SuperNodeError } from '../core/errors.js';
import { nestsDeeper } from '../core/json-depth.js';
import { LIMITS } from '../core/limits.js';

/** The JSON object of a request. An empty payload is an empty object; what nests deeper than `LIMITS.jsonDepth` is not
 *  parsed.
 *  @throws SuperNodeError SN_ERR_JSON */
export function parseBody(payload: Uint8Array): Record<string, unknown> {
  if (payload.length === 0) return {};
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (!isUtf8(bytes))
    throw new SuperNodeError('SN_ERR_JSON', 'payload: expected a JSON object, got bytes that are no UTF-8');
  if (nestsDeeper(bytes, LIMITS.jsonDepth)) {
    const expected = `JSON at most ${LIMITS.jsonDepth} levels deep`;
    throw new SuperNodeError('SN_ERR_JSON', `payload: expected ${expected}, got deeper nesting`);
  }
  const value = parseJson(bytes.toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SuperNodeError('SN_ERR_JSON', `payload: expected a JSON object, got ${describe(value)}`);
  }
  return { ...value };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : 'no JSON';
    throw new SuperNodeError('SN_ERR_JSON', `payload: expected a JSON object, got ${describe(text)} (${why})`, {
      cause: error,
    });
  }
}

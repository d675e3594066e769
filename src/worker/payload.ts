import { SuperNodeError } from '../core/errors.js';

/** Text goes out as UTF-8, bytes as they are, anything else as JSON. */
export type Payload = string | Uint8Array | object | number | boolean | null;

/** A copy: the caller may use its buffer again before the connection is back. `what` names it in a complaint.
 *  @throws SuperNodeError SN_ERR_JSON for a value that JSON cannot hold */
export function bytesOf(what: string, payload: Payload): Buffer {
  if (typeof payload === 'string' || payload instanceof Uint8Array) return Buffer.from(payload);
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SuperNodeError('SN_ERR_JSON', `${what}: expected a value that JSON can hold, got ${why}`, {
      cause: error,
    });
  }
  if (text === undefined) {
    throw new SuperNodeError('SN_ERR_JSON', `${what}: expected a value that JSON can hold, got none`);
  }
  return Buffer.from(text);
}

import type { Envelope } from './node-client.js';

/** The answer that these bytes are, or a text that says why they are none. */
export function readEnvelope(payload: Buffer): Envelope | string {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    if (typeof value === 'object' && value !== null && 'status' in value) {
      const { status, data, error, code, transaction } = { ...value } as Partial<Record<keyof Envelope, unknown>>;
      if (status !== 'ok' && status !== 'error') return 'expected a reply with a status, got another one';
      return {
        status,
        data,
        ...(typeof error === 'string' ? { error } : {}),
        ...(typeof code === 'string' ? { code } : {}),
        ...(transaction === undefined ? {} : { transaction }),
      };
    }
  } catch (error) {
    return `expected a reply in JSON, got none (${error instanceof Error ? error.message : ''})`;
  }
  return 'expected a reply with a status, got none';
}

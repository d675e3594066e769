import { mismatch } from '../core/errors.js';

const NUMBERS = new Set(['max', 'max_bytes', 'wait_ms', 'lease_ms']);
/** Named apart, since a query holds no objects. */
const PLACES = new Map<string, 'seq' | 'ts'>([
  ['from_seq', 'seq'],
  ['from_ts', 'ts'],
]);
const DIGITS = /^\d{1,16}$/;

/** The query of a fetch as the JSON body that asks the same. Which names and values are good is the router's to judge.
 *  @throws SuperNodeError SN_ERR_REQUEST for a name that comes twice, and for a number that is none */
export function fetchBodyOf(query: unknown): Record<string, unknown> {
  const body = new Map<string, unknown>();
  const from: Record<string, number> = {};
  if (typeof query !== 'object' || query === null) return {};
  for (const [name, value] of Object.entries(query)) {
    if (typeof value !== 'string') throw mismatch('SN_ERR_REQUEST', `query ${name}`, 'it once', value);
    const place = PLACES.get(name);
    if (place !== undefined) from[place] = numberOf(name, value);
    else body.set(name, NUMBERS.has(name) ? numberOf(name, value) : value);
  }
  if (Object.keys(from).length > 0) body.set('from', from);
  return Object.fromEntries(body);
}

function numberOf(name: string, text: string): number {
  if (!DIGITS.test(text)) throw mismatch('SN_ERR_REQUEST', `query ${name}`, 'a whole number', text);
  return Number(text);
}

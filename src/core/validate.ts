import { type Static, type TSchema, TypeRegistry } from '@sinclair/typebox';
import { Value, type ValueError, ValueErrorType } from '@sinclair/typebox/value';
import { describe, type ErrorCode, SuperNodeError } from './errors.js';

/** What is wrong with a value, and where in it. */
export interface Fault {
  /** Keys from the root to the object or value concerned; list places are decimal text. */
  readonly path: readonly string[];
  /** `expected …, got …`, or `unknown key …`. */
  readonly text: string;
  /** The key below `path` that should not be there. */
  readonly unknownKey?: string;
}

// TypeBox checks no `Type.Unsafe` by itself; ours are lists of values and unions of such.
TypeRegistry.Set<TSchema>('Unsafe', accepts);

function accepts(schema: TSchema, value: unknown): boolean {
  if (Array.isArray(schema.anyOf)) return schema.anyOf.some((one) => accepts(one, value));
  if (Array.isArray(schema.enum)) return schema.enum.includes(value);
  return typeof value === schema.type;
}

/** Checks an outside value against its schema and gives it its type.
 *  @param what Stands before the path in the message, such as a file name or `start`; may be empty.
 *  @throws SuperNodeError with `code`: `<what> <path>: expected …, got …`, the first fault only. */
export function validate<T extends TSchema>(schema: T, value: unknown, code: ErrorCode, what: string): Static<T> {
  if (Value.Check(schema, value)) return value;
  const fault = faultOf(schema, value) ?? { path: [], text: 'not valid' };
  const place = [what, formatPath(fault.path)].filter(Boolean).join(' ');
  throw new SuperNodeError(code, `${place || 'request'}: ${fault.text}`);
}

/** The first fault of a value; undefined when it fits its schema. */
export function faultOf(schema: TSchema, value: unknown): Fault | undefined {
  const faults = Value.Errors(schema, value);
  const first = faults.First();
  if (first === undefined) return undefined;
  if (first.type === ValueErrorType.ObjectRequiredProperty) {
    // A required key that is missing is often there, misspelt; then the misspelling is what helps.
    const parent = parentOf(first.path);
    for (const other of faults) {
      if (other.type === ValueErrorType.ObjectAdditionalProperties && parentOf(other.path) === parent) {
        const misspelt = unknownKey(other);
        if (misspelt.text.includes(SUGGESTION)) return misspelt;
      }
    }
  }
  return first.type === ValueErrorType.ObjectAdditionalProperties ? unknownKey(first) : mismatchOf(first);
}

function mismatchOf(error: ValueError): Fault {
  const missing = error.type === ValueErrorType.ObjectRequiredProperty;
  const got = missing ? 'nothing' : describe(error.value);
  // Where a text is only too long or too short, its pattern would mislead.
  const ofLength = error.type === ValueErrorType.StringMaxLength || error.type === ValueErrorType.StringMinLength;
  const expected = ofLength ? lengthOf(error.schema) : expectation(error.schema);
  return { path: keysOf(error.path), text: `expected ${expected}, got ${got}` };
}

const SUGGESTION = ', did you mean ';
const LISTED_KEYS_MAX = 12;

function unknownKey(error: ValueError): Fault {
  const keys = keysOf(error.path);
  const key = keys.at(-1) ?? '';
  const known = Object.keys(error.schema.properties ?? {});
  const near = nearest(key, known);
  const listed = known.length > 0 && known.length <= LISTED_KEYS_MAX ? `, expected one of ${known.join(', ')}` : '';
  const pattern = Object.keys(error.schema.patternProperties ?? {})[0];
  const hint = pattern ? `, expected text like ${pattern}` : listed;
  const text = `unknown key ${describe(key)}${near === undefined ? hint : `${SUGGESTION}${describe(near)}?`}`;
  return { path: keys.slice(0, -1), text, unknownKey: key };
}

/** `['listeners', '0', 'port']` → `listeners[0].port`, as people write it. */
export function formatPath(path: readonly string[]): string {
  let text = '';
  for (const key of path) text += /^\d+$/.test(key) ? `[${key}]` : `${text ? '.' : ''}${key}`;
  return text;
}

function keysOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function parentOf(pointer: string): string {
  return pointer.slice(0, pointer.lastIndexOf('/'));
}

/** The candidate that a misspelt word most likely meant: at most a third of its letters differ. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const lower = word.slice(0, 64).toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(lower.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Letters to insert, delete, replace or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : changed;
      row.push(Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, changed, swapped));
    }
    [before, above] = [above, row];
  }
  return above[b.length] ?? 0;
}

/** Text from a place that knows only text (an environment variable, an argument), as the number or truth value that
 *  the schema wants at `path`. What does not read as such stays text, for `validate` to complain about. */
export function textFor(schema: TSchema, path: readonly string[], text: string): unknown {
  let at: TSchema | undefined = schema;
  for (const key of path) at = at?.properties?.[key] ?? at?.items ?? Object.values(at?.patternProperties ?? {})[0];
  const types: unknown[] = (at?.anyOf ?? [at]).map((one: TSchema | undefined) => one?.type);
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  if (types.includes('integer') || types.includes('number')) {
    return /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  }
  return text;
}

/** What a schema asks for, in a few words. */
export function expectation(schema: TSchema): string {
  if (Array.isArray(schema.enum)) return `one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`;
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map(expectation).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  switch (schema.type) {
    case 'integer':
    case 'number':
      return `${schema.type}${rangeOf(schema.minimum, schema.maximum)}`;
    case 'string':
      if (schema.pattern) return `text like ${schema.pattern}`;
      return schema.minLength || schema.maxLength ? lengthOf(schema) : 'text';
    case 'array':
      return `a list${schema.minItems ? ` of at least ${schema.minItems}` : ''}${schema.maxItems ? ` of at most ${schema.maxItems}` : ''}`;
    case 'object':
      return 'an object';
    case 'boolean':
      return 'true or false';
    default:
      return 'a value';
  }
}

function lengthOf({ minLength = 0, maxLength = 'any number of' }: TSchema): string {
  return `text of ${minLength} to ${maxLength} characters`;
}

function rangeOf(minimum: number | undefined, maximum: number | undefined): string {
  if (minimum !== undefined && maximum !== undefined) return ` ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  return maximum !== undefined ? ` of at most ${maximum}` : '';
}

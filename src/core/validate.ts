import type { Static, TSchema } from '@sinclair/typebox';
import { Value, type ValueError, ValueErrorType } from '@sinclair/typebox/value';
import { describe, type ErrorCode, SuperNodeError } from './errors.js';

/** Checks an outside value against its schema and gives it its type.
 *  @param what Stands before the path in the message, such as a file name or `start`; may be empty.
 *  @throws SuperNodeError with `code`: `<what> <path>: expected …, got …`, the first fault only. */
export function validate<T extends TSchema>(schema: T, value: unknown, code: ErrorCode, what: string): Static<T> {
  if (Value.Check(schema, value)) return value;
  const first = Value.Errors(schema, value).First();
  const place = [what, first ? pathOf(first.path) : ''].filter(Boolean).join(' ');
  throw new SuperNodeError(code, `${place || 'request'}: ${first ? complaint(first) : 'not valid'}`);
}

function complaint(error: ValueError): string {
  const key = error.path.slice(error.path.lastIndexOf('/') + 1);
  if (error.type === ValueErrorType.ObjectAdditionalProperties) {
    return `unknown key ${describe(unescapePointer(key))}`;
  }
  if (error.type === ValueErrorType.ObjectRequiredProperty) {
    return `expected ${expectation(error.schema)}, got nothing`;
  }
  return `expected ${expectation(error.schema)}, got ${describe(error.value)}`;
}

/** `/listeners/0/port` → `listeners[0].port`, as people write it. */
function pathOf(pointer: string): string {
  let path = '';
  for (const part of pointer.split('/').slice(1)) {
    const name = unescapePointer(part);
    path += /^\d+$/.test(name) ? `[${name}]` : `${path ? '.' : ''}${name}`;
  }
  return path;
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
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
      return schema.minLength || schema.maxLength
        ? `text of ${schema.minLength ?? 0} to ${schema.maxLength ?? 'any number of'} characters`
        : 'text';
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

function rangeOf(minimum: number | undefined, maximum: number | undefined): string {
  if (minimum !== undefined && maximum !== undefined) return ` ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  return maximum !== undefined ? ` of at most ${maximum}` : '';
}

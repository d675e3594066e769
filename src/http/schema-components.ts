import type { TSchema } from '@sinclair/typebox';

/** How schemas come into the API documents: as plain JSON, and those with a `title` once, below
 *  `#/components/schemas`. */

export type JsonValue = string | number | boolean | null | undefined | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

/** A schema as plain JSON: without TypeBox's symbols, and shared with nobody. */
export function plain(schema: TSchema): JsonObject {
  return JSON.parse(JSON.stringify(schema));
}

/** A titled copy: requests have no names of their own. */
export function titled(title: string, schema: TSchema, example?: JsonValue): JsonObject {
  return { title, ...plain(schema), ...(example === undefined ? {} : { examples: [example] }) };
}

/** Where values stand that are no schemas, whatever they look like. */
const DATA_KEYS = new Set(['example', 'examples', 'default', 'const', 'enum', 'info', 'tags']);

/** The document with each titled schema replaced by a reference, and all of them in its `components.schemas`, by name.
 *  @throws Error when two different schemas have one title */
export function withComponents(document: JsonObject): JsonObject {
  const schemas = new Map<string, JsonValue>();
  const { components, ...rest } = document;
  const body = hoisted(rest, schemas);
  const named = isObject(components) ? hoisted(components, schemas) : {};
  const sorted = [...schemas].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { ...Object(body), components: { ...Object(named), schemas: Object.fromEntries(sorted) } };
}

function hoisted(value: JsonValue, schemas: Map<string, JsonValue>): JsonValue {
  if (Array.isArray(value)) return value.map((one) => hoisted(one, schemas));
  if (!isObject(value)) return value;
  const made: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) made[key] = DATA_KEYS.has(key) ? inner : hoisted(inner, schemas);
  const { title } = value;
  return typeof title === 'string' ? reference(title, made, schemas) : made;
}

function reference(title: string, schema: JsonObject, schemas: Map<string, JsonValue>): JsonObject {
  const known = schemas.get(title);
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema)) {
    throw new Error(`schema ${title}: expected one shape of this title, got two`);
  }
  schemas.set(title, schema);
  return { $ref: `#/components/schemas/${title}` };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

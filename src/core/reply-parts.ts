import { type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox';
import { TaskIdField } from './task-schema.js';

/** What the shapes of all that the node answers and tells are made of. They are open: replies, states and events may
 *  gain fields. A `title` is the name of the shape in the API documents. */

export const count = (description: string) => Type.Integer({ minimum: 0, description });
export const duration = (description: string) =>
  Type.Integer({ minimum: 0, description: `${description} Milliseconds.` });
export const instant = (description: string) =>
  Type.Integer({ description: `${description} Milliseconds since 1970-01-01 UTC.`, examples: [1_767_225_600_000] });
export const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
export const lines = (description: string) => Type.Array(Type.String(), { description });

export function named<T extends TProperties>(
  title: string,
  properties: T,
  description: string,
  example?: unknown,
): TObject<T> {
  return Type.Object(properties, { title, description, ...(example === undefined ? {} : { examples: [example] }) });
}

/** A task as answers name it. */
export const TaskIdExample = Type.String({ ...TaskIdField, examples: ['host'] });

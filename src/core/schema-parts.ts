import { type TObject, type TProperties, Type } from '@sinclair/typebox';

/** What the shapes of everything that comes from outside are made of. */

export function exact<T extends TProperties>(properties: T, description?: string): TObject<T> {
  return Type.Object(properties, { additionalProperties: false, ...(description ? { description } : {}) });
}

export function oneOf<T extends readonly string[]>(
  values: readonly [...T],
  description: string,
  byDefault?: T[number],
) {
  return Type.Unsafe<T[number]>({
    type: 'string',
    enum: [...values],
    description,
    ...(byDefault === undefined ? {} : { default: byDefault }),
  });
}

export const milliseconds = (description: string, byDefault: number, minimum = 0) =>
  Type.Integer({ minimum, maximum: 31_536_000_000, default: byDefault, description });

/** Milliseconds from `minimum` on, or 0: off. */
export const zeroOrFrom = (minimum: number, description: string) =>
  Type.Union([Type.Literal(0), Type.Integer({ minimum, maximum: 31_536_000_000 })], { default: 0, description });

/** What the system takes as one argument, variable or path: no NUL in it (execve(2)). */
export const WORD = { maxLength: 65_536, pattern: '^[^\\u0000]*$' };

export const text = (description: string) => Type.String({ ...WORD, description });

import type { Cancel } from '../core/ports.js';

type Method = (...args: unknown[]) => unknown;

/** Puts a method of ours before one of somebody else's object.
 *  @param make Gets the one that was there, bound to the object
 *  @returns puts back what was there, unless somebody replaced ours in turn */
export function replaceMethod(target: object, name: string, make: (before: Method) => Method): Cancel {
  const before: unknown = Reflect.get(target, name);
  if (typeof before !== 'function') return () => undefined;
  const isOwn = Object.hasOwn(target, name);
  const method = make((...args) => Reflect.apply(before, target, args));
  Reflect.set(target, name, method);
  return () => {
    if (Reflect.get(target, name) !== method) return;
    if (isOwn) Reflect.set(target, name, before);
    else Reflect.deleteProperty(target, name);
  };
}

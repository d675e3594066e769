import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nestsDeeper } from '../../src/core/json-depth.js';

const deeper = (text: string, depthMax: number) => nestsDeeper(Buffer.from(text), depthMax);

/** What a parser finds. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

describe('the depth of JSON', () => {
  test.each([
    ['7', 0],
    ['[]', 1],
    ['{"a":[1,{"b":2}],"c":{}}', 3],
    [' [ [ ] , [ ] , [ [ ] ] ] ', 3],
    ['"[[[["', 0],
    ['["\\"[[[[",[1]]', 2],
    ['["\\\\",[[1]]]', 3],
    [`["${'x'.repeat(1_000)}\\"[[[",[1]]`, 2],
    [`["${'x'.repeat(63)}\\\\",[[1]]]`, 3],
    [`["${'\\"[{'.repeat(1_000)}",[1]]`, 2],
  ])('of %s is %i', (text, depth) => {
    expect(depthOf(JSON.parse(text))).toBe(depth);
    expect(deeper(text, depth)).toBe(false);
    if (depth > 0) expect(deeper(text, depth - 1)).toBe(true);
  });

  test('is that which a parser finds, whatever the strings hold', () => {
    const unit = fc.constantFrom('[', '{', ']', '}', '"', '\\', 'x', 'é', ' '.repeat(70));
    const leaf = fc.oneof(fc.string({ unit, maxLength: 40 }), fc.integer(), fc.constant(null));
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ maxDepth: 6 }, leaf, fc.array(tie('tree')), fc.dictionary(fc.string({ unit }), tie('tree'))),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        const text = JSON.stringify(value);
        const depth = depthOf(value);
        expect(deeper(text, depth)).toBe(false);
        if (depth > 0) expect(deeper(text, depth - 1)).toBe(true);
      }),
    );
  });

  test('is found in what is no JSON as well', () => {
    expect(deeper('['.repeat(1_000_000), 128)).toBe(true);
    expect(deeper('{"a":'.repeat(200), 128)).toBe(true);
    expect(deeper(`"${'['.repeat(1_000)}`, 128)).toBe(false);
    expect(deeper(`]]]]${'\\'.repeat(1_000)}`, 128)).toBe(false);
  });
});

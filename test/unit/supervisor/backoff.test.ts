import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffDelayMs } from '../../../src/supervisor/backoff.js';

const POLICY = { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0, resetMs: 60_000 };

test('each pause is longer by the factor, up to the longest', () => {
  const pauses = [0, 1, 2, 3, 4, 5, 6, 7].map((count) => backoffDelayMs(POLICY, count, 0.5));
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
});

test('jitter goes both ways, by its share', () => {
  const policy = { ...POLICY, jitter: 0.25 };
  expect([0, 0.5, 1].map((chance) => backoffDelayMs(policy, 0, chance))).toEqual([750, 1_000, 1_250]);
});

test('initial_ms 0 never waits, however often', () => {
  expect([0, 1, 5_000].map((count) => backoffDelayMs({ ...POLICY, initialMs: 0 }, count, 1))).toEqual([0, 0, 0]);
});

test('the pause is a whole number from 0 to max_ms, whatever the policy, the count and the chance', () => {
  const policies = fc.record({
    initialMs: fc.nat(1e9),
    factor: fc.double({ min: 1, max: 100, noNaN: true }),
    maxMs: fc.nat(1e9),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    resetMs: fc.constant(0),
  });
  const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(policies, fc.nat(1e6), chances, (policy, count, chance) => {
      const ms = backoffDelayMs(policy, count, chance);
      return Number.isInteger(ms) && ms >= 0 && ms <= policy.maxMs;
    }),
  );
});

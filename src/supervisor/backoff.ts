import type { BackoffPolicy } from '../core/task-record.js';

/** The pause before a restart. Milliseconds, whole, never above `maxMs`; 0 when `initialMs` is 0.
 *  Jitter goes both ways, and the pause before it is capped so that the longest one still fits: workers that
 *  wait at the cap stay spread out instead of meeting at `maxMs`.
 *  @param restartsInARow Restarts since the worker was last ready for `resetMs`; 0 before the first.
 *  @param chance Uniform in [0, 1). */
export function backoffDelayMs(policy: BackoffPolicy, restartsInARow: number, chance: number): number {
  if (policy.initialMs === 0) return 0;
  const longest = policy.maxMs / (1 + policy.jitter);
  const middle = Math.min(longest, policy.initialMs * policy.factor ** restartsInARow);
  return Math.round(middle * (1 + policy.jitter * (2 * chance - 1)));
}

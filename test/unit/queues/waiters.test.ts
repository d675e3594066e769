import { expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { Waiters } from '../../../src/queues/waiters.js';

const WAITER = { serve: () => false, giveUp: () => undefined, taskGone: () => undefined };

test('no more wait than may, and who leaves makes room', () => {
  const waiters = new Waiters();
  const add = () => waiters.add(undefined, { ...WAITER });
  const leave = add();
  for (let waiting = 1; waiting < LIMITS.waitersMax; waiting++) add();
  expect(add).toThrow(expect.objectContaining({ code: 'SN_ERR_LIMIT' }));
  leave();
  expect(waiters.size).toBe(LIMITS.waitersMax - 1);
  expect(add).not.toThrow();
});

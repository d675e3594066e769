import { expect, test } from 'vitest';
import { TokenBucket } from '../../../src/supervisor/token-bucket.js';

test('a bucket is full at first, whenever that is, and fills by its rate up to its burst', () => {
  const bucket = new TokenBucket(3, 2);
  expect(bucket.filled(5_000)).toBe(3);
  bucket.take(2);
  expect([5_250, 5_500, 60_000].map((ms) => bucket.filled(ms))).toEqual([1.5, 2, 3]);
});

test('a bucket goes below nothing, and takes back no more than it holds', () => {
  const bucket = new TokenBucket(3, 2);
  bucket.take(5);
  expect([0, 1_000].map((ms) => bucket.filled(ms))).toEqual([-2, 0]);
  bucket.giveBack(10);
  expect(bucket.filled(1_000)).toBe(3);
});

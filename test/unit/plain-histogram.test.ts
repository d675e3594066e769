import { expect, test } from 'vitest';
import { PlainHistogram } from '../../src/app/plain-histogram.js';

test('each bucket counts what is up to its bound, and the last one counts all', () => {
  const histogram = new PlainHistogram([0, 1, 2.5]);
  for (const value of [0, 0.5, 1, 2.5, 7]) histogram.observe(value);
  expect(histogram.text('x_seconds', 'How long.')).toBe(
    [
      '# HELP x_seconds How long.',
      '# TYPE x_seconds histogram',
      'x_seconds_bucket{le="0"} 1',
      'x_seconds_bucket{le="1"} 3',
      'x_seconds_bucket{le="2.5"} 4',
      'x_seconds_bucket{le="+Inf"} 5',
      'x_seconds_sum 11',
      'x_seconds_count 5',
      '',
    ].join('\n'),
  );
});

test('one that has seen nothing is there all the same', () => {
  expect(new PlainHistogram([1]).text('x', 'h')).toContain('x_bucket{le="+Inf"} 0\nx_sum 0\nx_count 0\n');
});

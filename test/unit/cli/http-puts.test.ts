import { describe, expect, test } from 'vitest';
import { HttpPuts, type PutAnswer, type SendPut } from '../../../src/cli/http-puts.js';

const done: PutAnswer = { envelope: { status: 'ok', data: {} }, retryAfter: undefined };
const no = (code: string, data?: unknown): PutAnswer => ({
  envelope: { status: 'error', error: 'no', code, data },
  retryAfter: '0.001',
});

/** What was sent, `l` for lines and `b` for bytes as they are, and what became of each put. */
async function sent(payloads: readonly string[], ...answers: PutAnswer[]) {
  const bodies: string[] = [];
  const send: SendPut = async (body, type) => {
    bodies.push(`${type === 'application/x-ndjson' ? 'l' : 'b'} ${body}`);
    return answers.shift() ?? done;
  };
  const puts = new HttpPuts(send);
  const order: number[] = [];
  const results = await Promise.allSettled(
    payloads.map((payload, at) => puts.put(Buffer.from(payload)).then(() => order.push(at))),
  );
  return { bodies, order, refused: results.flatMap(({ status }, at) => (status === 'rejected' ? [at] : [])), results };
}

describe('puts over HTTP', () => {
  test('one goes as it is, several of a turn as lines', async () => {
    expect((await sent(['a'])).bodies).toEqual(['b a']);
    expect((await sent(['a', 'b', 'c'])).bodies).toEqual(['l a\nb\nc\n']);
  });

  test('what no line can carry goes alone, in its place', async () => {
    const { bodies, order } = await sent(['a', 'b', 'x\ny', 'c', '', 'd', 'e\r', 'f\rg', 'h']);
    expect(bodies).toEqual(['l a\nb\n', 'b x\ny', 'b c', 'b ', 'b d', 'b e\r', 'l f\rg\nh\n']);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('a request holds no more than it should', async () => {
    const { bodies } = await sent(Array.from({ length: 2_500 }, () => 'x'));
    expect(bodies.map((body) => body.split('\n').length - 1)).toEqual([1_000, 1_000, 500]);
    const large = 'x'.repeat(600_000);
    expect((await sent([large, large, 'y'])).bodies.map(({ length }) => length)).toEqual([600_002, 600_005]);
  });

  test('a full queue is asked again, with what it has not taken yet', async () => {
    const full = (entries: number) => no('SN_ERR_QUEUE_FULL', { entries });
    const { bodies, refused } = await sent(['a', 'b', 'c'], full(1), full(0), full(1), no('SN_ERR_QUEUE_FULL'));
    expect(bodies).toEqual(['l a\nb\nc\n', 'l b\nc\n', 'l b\nc\n', 'b c', 'b c']);
    expect(refused).toEqual([]);
  });

  test('a refusal ends those that were not taken before it, and all after them', async () => {
    const { bodies, order, refused, results } = await sent(['a', 'b', 'c', '\n'], no('SN_ERR_STORAGE', { entries: 1 }));
    expect(bodies).toHaveLength(1);
    expect(order).toEqual([0]);
    expect(refused).toEqual([1, 2, 3]);
    expect(results[1]).toMatchObject({ reason: { exitCode: 1, code: 'SN_ERR_STORAGE', message: 'no' } });
  });

  test('one that is too large is the fault of who puts it', async () => {
    const { results } = await sent(['a'], no('SN_ERR_TOO_LARGE'));
    expect(results[0]).toMatchObject({ reason: { exitCode: 2 } });
  });

  test('what is put while a request is under way goes with the next one', async () => {
    const bodies: string[] = [];
    const later: Promise<void>[] = [];
    const puts: HttpPuts = new HttpPuts(async (body) => {
      bodies.push(`${body}`);
      if (bodies.length === 1) later.push(puts.put(Buffer.from('b')), puts.put(Buffer.from('c')));
      return done;
    });
    await puts.put(Buffer.from('a'));
    await Promise.all(later);
    expect(bodies).toEqual(['a', 'b\nc\n']);
  });
});

import { beforeEach, describe, expect, test } from 'vitest';
import { type Change, WriteBehind } from '../../../src/adapters/write-behind.js';
import { LIMITS } from '../../../src/core/limits.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

describe('changes on their way to disk', () => {
  let clock: VirtualClock;
  let told: string[];
  let commits: { readonly changes: Record<string, string | null>; succeed(): void; fail(text: string): void }[];
  let behind: WriteBehind;

  beforeEach(() => {
    clock = new VirtualClock();
    told = [];
    commits = [];
    behind = new WriteBehind({
      clock,
      commit: (changes) =>
        new Promise((resolve, reject) => {
          const text = (change: Change) => change[1] && Buffer.from(change[1]()).toString();
          commits.push({
            changes: Object.fromEntries(changes.map((change) => [change[0], text(change) ?? null])),
            succeed: resolve,
            fail: (why) => reject(new Error(why)),
          });
        }),
      failed: (error) => told.push(String(error)),
      recovered: () => told.push('recovered'),
    });
  });

  const put = (key: string, value: string, isNew = false) => behind.put(key, () => Buffer.from(value), isNew);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const last = () => {
    const commit = commits.at(-1);
    if (!commit) throw new Error('nothing is being committed');
    return commit;
  };
  const state = async (promise: Promise<void> | undefined) => {
    let done = promise === undefined;
    promise?.then(() => {
      done = true;
    });
    await settle();
    return done ? 'safe' : 'waits';
  };

  test('those of a while are one commit, and the last one of a key wins', async () => {
    put('a', '1');
    put('a', '2');
    put('b', '1');
    behind.remove('c');
    clock.advance(LIMITS.diskRetryMs - 1);
    expect(commits).toEqual([]);
    clock.advance(1);
    expect(commits.map(({ changes }) => changes)).toEqual([{ a: '2', b: '1', c: null }]);
  });

  test('are written at once where somebody waits, who goes on when they are safe', async () => {
    put('a', '1');
    const flushed = behind.flushed();
    clock.advance(0);
    expect(await state(flushed)).toBe('waits');
    last().succeed();
    expect(await state(flushed)).toBe('safe');
    expect(behind.flushed()).toBeUndefined();
  });

  test('that come during a commit wait for the next', async () => {
    put('a', '1');
    const first = behind.flushed();
    clock.advance(0);
    put('a', '2');
    const second = behind.flushed();
    last().succeed();
    expect([await state(first), await state(second)]).toEqual(['safe', 'waits']);
    clock.advance(0);
    expect(last().changes).toEqual({ a: '2' });
    last().succeed();
    expect(await state(second)).toBe('safe');
  });

  test('that fail are tried again with what came meanwhile, and are told once', async () => {
    put('a', 'old');
    put('b', 'kept');
    const first = behind.flushed();
    clock.advance(0);
    put('a', 'new');
    const second = behind.flushed();
    last().fail('no space');
    expect(await state(first)).toBe('waits');
    clock.advance(LIMITS.diskRetryMs);
    expect(last().changes).toEqual({ a: 'new', b: 'kept' });
    last().fail('no space');
    await settle();
    expect(told).toEqual(['Error: no space']);
    clock.advance(LIMITS.diskRetryMs);
    last().succeed();
    expect([await state(first), await state(second)]).toEqual(['safe', 'safe']);
    expect(told).toEqual(['Error: no space', 'recovered']);
  });

  test('of keys that never got there leave nothing behind when they are removed, also while nothing can be written', async () => {
    put('n1', 'x', true);
    put('n2', 'x', true);
    behind.remove('n1');
    const flushed = behind.flushed();
    clock.advance(0);
    expect(last().changes).toEqual({ n2: 'x' });
    behind.remove('n2');
    put('n3', 'x', true);
    last().fail('no space');
    await settle();
    behind.remove('n3');
    clock.advance(LIMITS.diskRetryMs);
    expect(last().changes).toEqual({});
    last().succeed();
    expect(await state(flushed)).toBe('safe');
  });

  test('of a key that may be there are written, whatever happened to it meanwhile', async () => {
    put('n', '1', true);
    behind.flushed();
    clock.advance(0);
    last().succeed();
    await settle();
    put('n', '2');
    behind.remove('n');
    clock.advance(LIMITS.diskRetryMs);
    expect(last().changes).toEqual({ n: null });
  });

  test('in trouble keep nobody waiting who only asks for an attempt', async () => {
    put('a', '1');
    const attempt = behind.attempted();
    clock.advance(0);
    expect(await state(attempt)).toBe('waits');
    last().fail('no space');
    expect(await state(attempt)).toBe('safe');
    put('b', '1');
    expect(behind.attempted()).toBeUndefined();
    clock.advance(LIMITS.diskRetryMs);
    last().succeed();
    await settle();
    put('c', '1');
    const again = behind.attempted();
    clock.advance(0);
    expect(await state(again)).toBe('waits');
    last().succeed();
    expect(await state(again)).toBe('safe');
  });

  test('are written once more at the end, and what cannot be is counted', async () => {
    put('a', '1');
    const closed = behind.close();
    await settle();
    last().fail('no space');
    expect(await closed).toBe(1);
    put('b', '1');
    clock.advance(10 * LIMITS.diskRetryMs);
    expect(commits).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });
});

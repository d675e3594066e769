import { beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { DEFAULT_GROUP, taskIdOf } from '../../../src/core/topics.js';
import type { Fetched, FetchOptions } from '../../../src/queues/fetched.js';
import { Queues } from '../../../src/queues/queues.js';
import { boundsOf } from '../../fixtures/queues.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

const [A, B] = [taskIdOf('a'), taskIdOf('b')];

let clock: VirtualClock;
let queues: Queues;

beforeEach(() => {
  clock = new VirtualClock();
  queues = new Queues({ clock, random: new SeededRandom(1), bytesMax: 1_000_000 });
  for (const taskId of [A, B]) queues.open(taskId, boundsOf({ length: 100 }));
});

function put(text: string, taskId = A): void {
  const queue = queues.get(taskId);
  if (queue) queues.put(queue, Buffer.from(text));
}

const fetch = (over: Partial<FetchOptions> = {}) =>
  queues.fetch({
    taskId: A,
    group: DEFAULT_GROUP,
    max: 10,
    maxBytes: 1_000,
    waitMs: 0,
    leaseMs: undefined,
    signal: undefined,
    ...over,
  });
const texts = ({ entries }: Pick<Fetched, 'entries'>) => entries.map(({ payload }) => Buffer.from(payload).toString());
const leaseOf = async (over: Partial<FetchOptions> = {}): Promise<string> =>
  (await fetch({ leaseMs: 1_000, ...over })).leaseId ?? 'none';
const yes = { ok: true, seqs: undefined } as const;
const no = { ok: false, seqs: undefined } as const;
const unknown = expect.objectContaining({ code: 'SN_ERR_LEASE_UNKNOWN' });

test('a lease is settled by its id, once, and the reply alone settles nothing', async () => {
  put('x');
  const fetched = await fetch({ leaseMs: 1_000 });
  fetched.settle();
  expect(queues.get(A)?.length).toBe(1);
  expect(await queues.acknowledge(fetched.leaseId ?? '', yes)).toBe(1);
  expect([queues.get(A)?.length, clock.pending]).toEqual([0, 0]);
  await expect(queues.acknowledge(fetched.leaseId ?? '', yes)).rejects.toThrow(unknown);
});

test('a lease that runs out hands its entries out again, in order, and a late word says nothing', async () => {
  for (const word of ['x', 'y']) put(word);
  const late = await leaseOf();
  const waiting = fetch({ waitMs: 5_000 });
  clock.advance(1_000);
  const again = await waiting;
  expect([texts(again), again.entries.map(({ attempts }) => attempts)]).toEqual([
    ['x', 'y'],
    [2, 2],
  ]);
  await expect(queues.acknowledge(late, yes)).rejects.toThrow(unknown);
  again.settle();
  expect(queues.get(A)?.length).toBe(0);
});

test('some of a lease are settled, others returned, the rest later', async () => {
  for (const word of ['x', 'y', 'z']) put(word);
  const lease = await leaseOf();
  expect(await queues.acknowledge(lease, { ok: true, seqs: [2, 99] })).toBe(1);
  expect(await queues.acknowledge(lease, { ok: false, seqs: [3] })).toBe(1);
  expect(texts(await fetch())).toEqual(['z']);
  expect(await queues.acknowledge(lease, yes)).toBe(1);
  expect(queues.get(A)?.length).toBe(1);
});

test('a lease lasts longer when it is asked to', async () => {
  put('x');
  const lease = await leaseOf();
  clock.advance(900);
  expect(await queues.acknowledge(lease, { leaseMs: 1_000 })).toBe(1);
  clock.advance(999);
  expect(texts(await fetch())).toEqual([]);
  clock.advance(1);
  expect(texts(await fetch())).toEqual(['x']);
});

test('a lease over several tasks is ended as a whole', async () => {
  put('x');
  put('y', B);
  const lease = await leaseOf({ taskId: undefined });
  await expect(queues.acknowledge(lease, { ok: true, seqs: [1] })).rejects.toThrow(
    expect.objectContaining({ code: 'SN_ERR_REQUEST' }),
  );
  expect(await queues.acknowledge(lease, no)).toBe(2);
  expect(texts(await fetch({ taskId: undefined }))).toEqual(['x', 'y']);
});

test('purge and remove end leases, and so does eviction', async () => {
  put('x');
  const purged = await leaseOf();
  expect(await queues.purge(A, 'all')).toBe(1);
  await expect(queues.acknowledge(purged, yes)).rejects.toThrow(unknown);
  put('y');
  const removed = await leaseOf();
  queues.drop(A);
  queues.open(A, boundsOf({ length: 1 }));
  put('z');
  await expect(queues.acknowledge(removed, yes)).rejects.toThrow(unknown);
  const evicted = await leaseOf();
  put('new');
  await expect(queues.acknowledge(evicted, yes)).rejects.toThrow(unknown);
  expect(texts(await fetch())).toEqual(['new']);
});

test('a waiter of another group is served by what its group has not seen', async () => {
  await fetch({ group: 'two' });
  put('x');
  (await fetch({ group: 'one' })).settle();
  const waiting = fetch({ group: 'one', waitMs: 1_000 });
  const other = await fetch({ group: 'two' });
  expect(texts(other)).toEqual(['x']);
  put('y');
  clock.advance(0);
  expect(texts(await waiting)).toEqual(['y']);
});

test('the dead come back by command, and whoever waits gets them', async () => {
  queues.open(A, boundsOf({ length: 100, maxAttempts: 1 }));
  put('x');
  (await fetch()).giveBack();
  const waiting = fetch({ waitMs: 1_000 });
  expect(await queues.requeue(A)).toBe(1);
  clock.advance(0);
  expect(texts(await waiting)).toEqual(['x']);
});

test('what is too old leaves by itself, and no timer is left', async () => {
  queues.open(A, boundsOf({ length: 100, ttlMs: 500 }));
  put('x');
  clock.advance(300);
  put('y');
  clock.advance(200);
  expect([queues.get(A)?.length, queues.get(A)?.dropped, queues.bytes]).toEqual([1, 1, 1]);
  clock.advance(300);
  expect([queues.get(A)?.length, clock.pending]).toEqual([0, 0]);
});

test('a wait ends in peace though its group was removed and there is no room for it', async () => {
  const waiting = fetch({ group: 'gone', waitMs: 1_000 });
  expect(await queues.removeGroup(A, 'gone')).toBe(true);
  for (let index = 0; index < 16; index += 1) await fetch({ group: `g${index}` }).catch(() => undefined);
  clock.advance(1_000);
  expect(await waiting).toMatchObject({ entries: [], dropped: 0, remaining: 0 });
  const refused = fetch({ group: 'gone', waitMs: 1_000 });
  await expect(refused).rejects.toMatchObject({ code: 'SN_ERR_LIMIT' });
});

test('a lease of which nothing is left cannot be made longer, and makes room for others', async () => {
  for (let index = 0; index < LIMITS.leasesMax; index += 1) {
    put('x');
    await leaseOf({ leaseMs: 86_400_000 });
    if (index < LIMITS.leasesMax - 1) await queues.purge(A, 'all');
  }
  put('y');
  const last = await leaseOf();
  await queues.purge(A, 'all');
  await expect(queues.acknowledge(last, { leaseMs: 1_000 })).rejects.toThrow(unknown);
});

test('a removed task answers who waits for it, and a full one does not stop who takes of all', async () => {
  const waiting = fetch({ waitMs: 1_000 });
  queues.drop(A);
  expect(texts(await waiting)).toEqual([]);
  queues.open(A, boundsOf());
  for (let index = 0; index < 16; index += 1) await fetch({ group: `g${index}` });
  put('y', B);
  expect(texts(await fetch({ taskId: undefined, group: 'one more' }))).toEqual(['y']);
  expect(texts(await fetch({ taskId: undefined }))).toEqual(['y']);
});

test('those who wait are served once a turn, however much comes in it', async () => {
  const waiting = fetch({ waitMs: 1_000 });
  const before = clock.pending;
  for (let index = 0; index < 100; index += 1) put('x');
  expect(clock.pending - before).toBe(1);
  clock.advance(0);
  expect(texts(await waiting)).toHaveLength(10);
});

test('closing leaves no timer, whatever is on lease', async () => {
  queues.open(A, boundsOf({ length: 100, ttlMs: 500 }));
  put('x');
  await leaseOf();
  const waiting = fetch({ group: 'one', waitMs: 1_000, max: 1, taskId: B });
  queues.close();
  expect([texts(await waiting), clock.pending]).toEqual([[], 0]);
});

test('reads take turns, and one whose caller is gone gets nothing', async () => {
  for (const word of ['x', 'y']) put(word);
  const gone = new AbortController();
  const reads = [
    queues.read(A, { seq: 0 }, 10, 1_000),
    queues.read(A, { seq: 0 }, 10, 1_000, gone.signal),
    queues.read(A, { seq: 2 }, 10, 1_000),
  ];
  const done: number[] = [];
  for (const [index, read] of reads.entries()) read.then(() => done.push(index));
  gone.abort();
  for (let turn = 1; turn <= 3; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toHaveLength(turn);
  }
  const found = await Promise.all(reads);
  expect(found.map((entries) => texts({ entries }))).toEqual([['x', 'y'], [], ['y']]);
});

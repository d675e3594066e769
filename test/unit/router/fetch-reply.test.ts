import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type TaskId, taskIdOf } from '../../../src/core/topics.js';
import { FetchReply } from '../../../src/router/fetch-reply.js';
import type { Lease, QueuedEntry } from '../../../src/router/ports.js';

const entry = fc.record<QueuedEntry>({
  taskId: fc.constantFrom<TaskId>(taskIdOf('cam1'), taskIdOf('a.b_c-9')),
  seq: fc.integer({ min: 1 }),
  tsMs: fc.integer({ min: 0 }),
  attempts: fc.integer({ min: 0, max: 9 }),
  topic: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
  payload: fc.oneof(
    fc.uint8Array(),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
  ),
});

const leases = fc.record<Pick<Lease, 'entries' | 'dropped' | 'remaining' | 'epoch' | 'leaseId'>>({
  entries: fc.array(entry, { maxLength: 5 }),
  dropped: fc.nat(),
  remaining: fc.nat(),
  epoch: fc.option(fc.string(), { nil: undefined }),
  leaseId: fc.option(fc.string(), { nil: undefined }),
});

test('the text of a fetch is its envelope as JSON', () => {
  fc.assert(
    fc.property(leases, fc.boolean(), fc.option(fc.jsonValue(), { nil: undefined }), (lease, base64, transaction) => {
      const whole = { ...lease, settle: () => undefined, giveBack: () => undefined };
      const reply = new FetchReply({ lease: whole, base64, transaction, replyTo: undefined });
      expect(reply.json()).toBe(JSON.stringify(reply.envelope));
    }),
  );
});

test('a transaction that nests too deeply to be written leaves no text', () => {
  let transaction: unknown = [];
  for (let depth = 0; depth < 100_000; depth++) transaction = [transaction];
  const lease = {
    entries: [],
    dropped: 0,
    remaining: 0,
    epoch: undefined,
    leaseId: undefined,
    settle: () => undefined,
    giveBack: () => undefined,
  };
  expect(new FetchReply({ lease, base64: false, transaction, replyTo: undefined }).json()).toBeUndefined();
});

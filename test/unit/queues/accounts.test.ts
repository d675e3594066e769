import fc from 'fast-check';
import { test } from 'vitest';
import { SuperNodeError } from '../../../src/core/errors.js';
import { DEAD_GROUP, DEFAULT_GROUP, taskIdOf } from '../../../src/core/topics.js';
import type { Entry } from '../../../src/queues/entry.js';
import type { Fetched } from '../../../src/queues/fetched.js';
import type { Group } from '../../../src/queues/group.js';
import type { TaskQueue } from '../../../src/queues/task-queue.js';
import { boundsOf, newQueues, STORAGES } from '../../fixtures/queues.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

const TASKS = [taskIdOf('a'), taskIdOf('b')] as const;
const GROUPS = [DEFAULT_GROUP, 'g', 'h', DEAD_GROUP] as const;

const task = fc.constantFrom(...TASKS);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ op: fc.constant('put'), task, bytes: fc.constantFrom(0, 1, 50, 300, 300, 70_000) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('fetch'),
      task: fc.option(task, { nil: undefined }),
      group: fc.constantFrom(...GROUPS),
      max: fc.integer({ min: 1, max: 4 }),
      leaseMs: fc.constantFrom(undefined, 70),
      waitMs: fc.constantFrom(0, 60),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ op: fc.constant('end'), pick: fc.nat(20), ok: fc.boolean(), some: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('time'), ms: fc.constantFrom(0, 1, 50, 120) }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constantFrom('purge', 'purgeDead', 'requeue', 'drop', 'ttl', 'attempts'), task }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('ungroup'), task, group: fc.constantFrom('default', 'g', 'h') }),
  },
) as fc.Arbitrary<Step>;

interface Step {
  readonly op: string;
  readonly task: (typeof TASKS)[number] | undefined;
  readonly bytes: number;
  readonly group: string;
  readonly max: number;
  readonly leaseMs: number | undefined;
  readonly waitMs: number;
  readonly pick: number;
  readonly ok: boolean;
  readonly some: boolean;
  readonly ms: number;
}

class World {
  readonly clock = new VirtualClock();
  readonly stored;
  readonly queues;
  readonly #bounds;
  #held: Fetched[] = [];

  constructor(storage: (typeof STORAGES)[number]) {
    this.stored = newQueues(this.clock, storage, { bytesMax: 500_000 });
    this.queues = this.stored.queues;
    this.#bounds = new Map(TASKS.map((id) => [id, boundsOf({ length: 6, bytes: 200_000, maxAttempts: 1, storage })]));
    for (const id of TASKS) this.#open(id);
  }

  async act(step: Step): Promise<void> {
    const { queues, clock } = this;
    const id = step.task ?? TASKS[0];
    if (step.op === 'put') queues.put(this.#open(id), Buffer.alloc(step.bytes, 1));
    else if (step.op === 'fetch') await this.#fetch(step);
    else if (step.op === 'end') await this.#end(step);
    else if (step.op === 'time') clock.advance(step.ms);
    else if (step.op === 'purge') void queues.purge(id, 'all');
    else if (step.op === 'purgeDead') void queues.purge(id, 'dead');
    else if (step.op === 'requeue') void queues.requeue(id);
    else if (step.op === 'ungroup') void queues.removeGroup(id, step.group);
    else if (step.op === 'drop') queues.drop(id);
    else this.#change(id, step.op);
    for (const one of TASKS) this.#open(one);
    await this.stored.flushed();
  }

  #open(id: (typeof TASKS)[number]): TaskQueue {
    return this.queues.open(id, this.#bounds.get(id) ?? boundsOf());
  }

  #change(id: (typeof TASKS)[number], what: string): void {
    const before = this.#bounds.get(id) ?? boundsOf();
    const ttlMs = what === 'ttl' ? 100 - before.ttlMs : before.ttlMs;
    const maxAttempts = what === 'attempts' ? 2 - 2 * Math.sign(before.maxAttempts) : before.maxAttempts;
    this.#bounds.set(id, { ...before, ttlMs, maxAttempts });
  }

  async #fetch({ task: taskId, group, max, leaseMs, waitMs }: Step): Promise<void> {
    const fetched = this.queues
      .fetch({ taskId, group, max, leaseMs, waitMs, maxBytes: 1e6, signal: undefined })
      .then((got) => void this.#held.push(got));
    if (waitMs === 0) await fetched;
  }

  async #end({ pick, ok, some }: Step): Promise<void> {
    const fetched = this.#held[pick % Math.max(1, this.#held.length)];
    if (fetched === undefined) return;
    const { leaseId, entries } = fetched;
    if (leaseId === undefined) {
      if (ok) fetched.settle();
      else fetched.giveBack();
    } else {
      try {
        const seqs = some ? entries.slice(0, 1).map(({ seq }) => seq) : undefined;
        const acknowledged = this.queues.acknowledge(leaseId, { ok, seqs });
        await this.stored.flushed();
        await acknowledged;
        if (some) return;
      } catch (error) {
        if (!(error instanceof SuperNodeError) || error.code === 'SN_ERR_INTERNAL') throw error;
      }
    }
    this.#held = this.#held.filter((other) => other !== fetched);
  }
}

/** What is wrong with the books of a queue, if anything is. */
function faultOf(queue: TaskQueue): string | undefined {
  const held = queue.readFrom({ seq: 0 }, 1e6, 1e9);
  if (held.length !== queue.length) return `length ${queue.length}, held ${held.length}`;
  if (held.reduce((sum, { payload }) => sum + payload.length, 0) !== queue.bytes) return 'bytes';
  if (held.some(({ payload }) => (payload[0] ?? 1) !== 1 || (payload.at(-1) ?? 1) !== 1)) return 'payload';
  const dead = queue.find(DEAD_GROUP);
  if (dead === undefined) return 'no place for the dead';
  const groups = queue.groups();
  const needless = held.find(({ seq }) => dead.isDone(seq) && groups.every((group) => group.isDone(seq)));
  if (needless !== undefined) return `nobody needs ${needless.seq}`;
  return [...groups, dead]
    .map((group) => faultOfGroup(group, held, group === dead))
    .find((fault) => fault !== undefined);
}

function faultOfGroup(group: Group, held: readonly Entry[], isDead: boolean): string | undefined {
  const returned = group.allReturned();
  const seqs = new Set(held.map(({ seq }) => seq));
  if (returned.some((seq, at) => !seqs.has(seq) || seq <= (returned[at - 1] ?? 0))) return `${group.name}: returned`;
  if (returned.some((seq) => seq >= group.cursor)) return `${group.name}: returned ahead of the cursor`;
  const ahead = held.filter(({ seq }) => seq >= group.cursor).length;
  return isDead || ahead === group.ahead ? undefined : `${group.name}: ahead ${group.ahead}, held ${ahead}`;
}

test.each(STORAGES)(
  'the books agree with what is held (%s), whatever is put, taken, lost, removed and requeued in which order',
  async (storage) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120, size: 'max' }), async (steps) => {
        const world = new World(storage);
        for (const one of steps) {
          await world.act(one);
          const queues = TASKS.flatMap((id) => world.queues.get(id) ?? []);
          const fault = queues.map(faultOf).find((found) => found !== undefined);
          if (fault !== undefined) throw new Error(`after ${one.op}: ${fault}`);
          const bytes = queues.reduce((sum, queue) => sum + queue.bytes, 0);
          if (bytes !== world.queues.bytes)
            throw new Error(`after ${one.op}: budget ${world.queues.bytes}, held ${bytes}`);
        }
      }),
      { numRuns: storage === 'memory' ? 2_500 : 500 },
    );
  },
  60_000,
);

import assert from 'node:assert/strict';
import { test } from 'vitest';
import { CommandedTasks } from '../../src/app/commanded-tasks.js';
import { TaskCatalog } from '../../src/app/task-catalog.js';
import { Topics, taskIdOf } from '../../src/core/topics.js';
import { Queues } from '../../src/queues/queues.js';
import type { Reply } from '../../src/router/request.js';
import { Router } from '../../src/router/router.js';
import { Supervisor } from '../../src/supervisor/supervisor.js';
import { FakeSpawner } from '../fixtures/fake-spawner.js';
import { SeededRandom } from '../fixtures/seeded-random.js';
import { portsFor, quietLog, RecordedReport } from '../fixtures/supervisor-world.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';

/** Everything behind the transport at once, under random requests, puts, crashes and clients that go away.
 *  SN_SIM_RUNS: how many schedules, default 300. SN_SIM_SEED: the one to replay. */
const RUNS = Number(process.env.SN_SIM_RUNS ?? 300);
const REPLAY = process.env.SN_SIM_SEED;
const STEPS = 120;
const LENGTH = 4;
const TASKS = ['a', 'b', 'net'] as const;

/** What became of the entries of one queue, from its creation to its removal. */
interface Ledger {
  put: number;
  settled: Set<number>;
  /** Settled by leases of which some entries had been evicted: nobody told which. */
  settledOfSome: number;
}

type Seqs = readonly { epoch: string; seq: number }[];

class Schedule {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly spawner = new FakeSpawner(this.clock);
  readonly queues: Queues;
  readonly supervisor: Supervisor;
  readonly catalog: TaskCatalog;
  readonly router: Router;
  readonly errors: unknown[] = [];
  readonly ledgers = new Map<string, Ledger>();
  readonly open: { reply: Reply; seqs: Seqs }[] = [];
  readonly leases: { lease: string; seqs: Seqs }[] = [];
  readonly callers = new Set<AbortController>();
  asked = 0;
  answered = 0;

  constructor(seed: number) {
    const { clock } = this;
    const random = new SeededRandom(seed);
    this.random = random;
    this.spawner.behaviour = () => ({
      ...(random.chance(0.2) && { fails: 'spawn ENOENT' }),
      ...(random.chance(0.5) && { runsMs: random.between(0, 4_000) }),
      endsOn: random.pick(['signal', 'SIGKILL']),
      diesMs: random.pick([0, 500]),
    });
    this.queues = new Queues({ clock, random, bytesMax: 1_000_000 });
    const report = new RecordedReport();
    report.defined = (record) => this.catalog.defined(record);
    report.stateChanged = ({ taskId, accepting }) => this.catalog.stateChanged(taskId, accepting);
    report.removed = (taskId) => this.catalog.removed(taskId);
    const log = quietLog(this.errors);
    this.supervisor = new Supervisor(portsFor(clock, random, this.spawner, report, { log }));
    this.catalog = new TaskCatalog(
      {
        workers: { w: { command: ['program'], ready: 'spawn', second_sig_duration: 1_000 } },
        queue: {
          length: LENGTH,
          overflow: random.pick(['drop_oldest', 'drop_newest']),
          max_attempts: random.pick([0, 2]),
        },
      },
      {
        clock,
        topics: new Topics(),
        queues: this.queues,
        supervisor: this.supervisor,
        publish: () => undefined,
        dropped: () => undefined,
        changed: () => undefined,
      },
    );
    this.router = new Router(
      {
        tasks: new CommandedTasks({
          supervisor: this.supervisor,
          log,
          resolve: (task, source) => this.catalog.resolve(task, source),
          event: () => undefined,
          forgotten: () => undefined,
        }),
        records: this.catalog,
        queues: this.queues,
        courier: { send: () => 0 },
        calls: { call: () => Promise.reject(new Error('nobody is called here')) },
        logs: { tail: () => [] },
        board: { node: () => ({}), task: () => ({}) },
        unheard: () => undefined,
      },
      log,
    );
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      this.#act();
      await this.#settled();
      this.#check();
    }
    for (const caller of this.callers) caller.abort();
    this.queues.close();
    this.clock.advance(120_000);
    await this.#settled();
    this.clock.advance(120_000);
    await this.#settled();
    assert.equal(this.answered, this.asked, 'every request is answered once');
    this.#check();
  }

  #act(): void {
    const { random } = this;
    const taskId = random.pick(TASKS);
    const what = random.pick([
      'put',
      'put',
      'put',
      'fetch',
      'fetch',
      'deliver',
      'deliver',
      'ack',
      'ack',
      'leave',
      'cmd',
      'cmd',
      'crash',
      'wait',
    ]);
    if (what === 'put') this.#put(taskId);
    else if (what === 'fetch') this.#fetch(random.chance(0.3) ? undefined : taskId);
    else if (what === 'deliver') this.#deliver(random.chance(0.6));
    else if (what === 'ack') this.#acknowledge(random.pick(['settle', 'settle', 'return', 'extend']));
    else if (what === 'leave') random.pick([...this.callers, new AbortController()] as [AbortController]).abort();
    else if (what === 'cmd') this.#command(taskId);
    else if (what === 'crash') this.spawner.living(taskId)[0]?.end({ code: 1, signal: null });
    else this.clock.advance(random.pick([1, 300, 2_000, 20_000]));
  }

  #put(taskId: string): void {
    this.catalog.sink(taskIdOf(taskId)).put(Buffer.from('x'), 1, undefined);
    const queue = this.queues.get(taskIdOf(taskId));
    assert(queue);
    const ledger = this.ledgers.get(queue.epoch) ?? { put: 0, settled: new Set(), settledOfSome: 0 };
    ledger.put++;
    this.ledgers.set(queue.epoch, ledger);
  }

  #fetch(taskId: string | undefined): void {
    const { random } = this;
    const caller = new AbortController();
    this.callers.add(caller);
    const leaseMs = random.pick([undefined, undefined, 500, 20_000]);
    const body = {
      max: random.between(1, 6),
      wait_ms: random.pick([0, 0, 1_000, 30_000]),
      lease_ms: leaseMs,
      group: random.chance(0.1) ? '$dead' : undefined,
    };
    this.asked++;
    const request = {
      kind: 'fetch',
      taskId: taskId === undefined ? undefined : taskIdOf(taskId),
      payload: Buffer.from(JSON.stringify(body)),
      caller: { id: 'app', role: 'operator' },
      hears: () => true,
      more: () => undefined,
      signal: caller.signal,
    } as const;
    this.router.handle(request).then((reply) => {
      this.answered++;
      this.callers.delete(caller);
      assert(reply);
      const seqs = reply.envelope.status === 'ok' ? this.#seqsIn(reply.envelope.data) : [];
      if (caller.signal.aborted) reply.delivered(false);
      else this.open.push({ reply, seqs });
    });
  }

  /** Entries of a fetch of all tasks carry no epoch: the queues of this moment are theirs. */
  #seqsIn(data: unknown): { epoch: string; seq: number }[] {
    const { entries } = data as { entries: { task_id: string; seq: number }[] };
    return entries.map(({ task_id, seq }) => ({ epoch: this.queues.get(taskIdOf(task_id))?.epoch ?? '', seq }));
  }

  #deliver(arrived: boolean): void {
    const [one] = this.open.splice(this.random.between(0, Math.max(0, this.open.length - 1)), 1);
    if (!one) return;
    one.reply.delivered(arrived);
    if (!arrived) return;
    const lease = leaseIn(one.reply);
    if (lease === undefined) this.#settle(one.seqs);
    else this.leases.push({ lease, seqs: one.seqs });
  }

  #settle(seqs: Seqs): void {
    for (const { epoch, seq } of seqs) {
      const ledger = this.ledgers.get(epoch);
      if (!ledger) continue;
      assert(!ledger.settled.has(seq), `entry ${seq} was settled twice`);
      ledger.settled.add(seq);
    }
  }

  #acknowledge(how: 'settle' | 'return' | 'extend'): void {
    const at = this.random.between(0, Math.max(0, this.leases.length - 1));
    const held = this.leases[at];
    if (!held) return;
    const words = { settle: { ok: true }, return: { ok: false }, extend: { lease_ms: 5_000 } };
    this.asked++;
    const request = {
      kind: 'ack',
      taskId: undefined,
      payload: Buffer.from(JSON.stringify({ lease: held.lease, ...words[how] })),
      caller: { id: 'app', role: 'operator' },
      hears: () => true,
      more: () => undefined,
      signal: undefined,
    } as const;
    this.router.handle(request).then((reply) => {
      this.answered++;
      assert(reply);
      if (reply.envelope.status === 'error') assert.equal(reply.envelope.code, 'SN_ERR_LEASE_UNKNOWN');
      else if (how === 'settle') this.#settledBy(held.seqs, (reply.envelope.data as { settled: number }).settled);
    });
    if (how !== 'extend') this.leases.splice(at, 1);
  }

  #settledBy(seqs: Seqs, count: number): void {
    assert(count > 0 && count <= seqs.length);
    if (count === seqs.length) this.#settle(seqs);
    else for (const epoch of new Set(seqs.map((one) => one.epoch))) this.#addSome(epoch, count);
  }

  #addSome(epoch: string, count: number): void {
    const ledger = this.ledgers.get(epoch);
    if (ledger) ledger.settledOfSome += count;
  }

  #command(taskId: string): void {
    const cmd = this.random.pick(['start', 'start', 'stop', 'restart', 'remove', 'signal', 'requeue', 'nonsense']);
    const worker = cmd === 'start' && taskId !== 'net' ? { worker: 'w' } : {};
    const sig = cmd === 'signal' ? { sig: 'SIGTERM' } : {};
    this.asked++;
    const request = {
      kind: 'cmd',
      taskId: undefined,
      payload: Buffer.from(JSON.stringify({ cmd, task_id: taskId, ...worker, ...sig, transaction: this.asked })),
      caller: { id: 'app', role: 'operator' },
      hears: () => true,
      more: () => undefined,
      signal: undefined,
    } as const;
    const transaction = this.asked;
    this.router.handle(request).then((reply) => {
      this.answered++;
      assert.equal(reply?.envelope.transaction, transaction);
    });
  }

  async #settled(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      this.clock.advance(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #check(): void {
    assert.deepEqual(this.errors, []);
    for (const taskId of TASKS) {
      assert(this.spawner.living(taskId).length <= 1, `${taskId}: more than one live process`);
      const queue = this.queues.get(taskIdOf(taskId));
      assert.equal(queue !== undefined, this.supervisor.has(taskId), `${taskId}: a task has a queue, and only a task`);
      if (!queue) continue;
      assert(queue.length <= LENGTH, `${taskId}: queue over its bound`);
      const { readyLength = 0 } = queue;
      assert(readyLength >= 0 && readyLength <= queue.length);
      const ledger = this.ledgers.get(queue.epoch);
      // An entry that was evicted while on lease counts as dropped, though its taker may have settled it after.
      const settled = (ledger?.settled.size ?? 0) + (ledger?.settledOfSome ?? 0);
      const accounted = queue.length + queue.dropped + queue.discarded + settled;
      assert(accounted >= (ledger?.put ?? 0), `${taskId}: an entry vanished`);
    }
  }
}

function leaseIn({ envelope }: Reply): string | undefined {
  return envelope.status === 'ok' ? (envelope.data as { lease?: string }).lease : undefined;
}

test('whatever comes in which order: one process a task, queues in bounds, no entry vanishes, one answer a request', async () => {
  const seeds = REPLAY === undefined ? Array.from({ length: RUNS }, (_, index) => index + 1) : [Number(REPLAY)];
  for (const seed of seeds) {
    try {
      await new Schedule(seed).run();
    } catch (error) {
      throw new Error(`seed ${seed} (replay with SN_SIM_SEED=${seed})`, { cause: error });
    }
  }
}, 120_000);

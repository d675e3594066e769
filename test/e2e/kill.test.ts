import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DaemonProcess, startDaemonProcess } from '../fixtures/daemon-process.js';
import { type App, connectApp } from '../fixtures/nodes.js';
import { RawClient } from '../fixtures/raw-client.js';
import { SeededRandom } from '../fixtures/seeded-random.js';

/** A node that is killed with SIGKILL again and again, while producers put as fast as they can and consumers fetch, lease
 *  and take. What it acknowledged is the truth that it is held to. SN_KILL_ROUNDS: how often, default 4. */
const ROUNDS = Number(process.env.SN_KILL_ROUNDS ?? 4);
const SEED = Number(process.env.SN_KILL_SEED ?? Date.now() % 1_000_000);
/** Nothing of it may be lost; of the other everything but what its bound evicts and counts. */
const [WHOLE, SMALL] = ['whole', 'small'] as const;
const SMALL_LENGTH = 40;
const IN_FLIGHT = 40;

let dir: string;
let node: DaemonProcess | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-kill-'));
});

afterEach(async () => {
  await node?.end('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

interface FetchedEntry {
  readonly seq: number;
  readonly payload: string;
}

/** What the clients saw. */
class Witness {
  readonly acknowledged = { [WHOLE]: new Set<string>(), [SMALL]: new Set<string>() };
  readonly delivered = { [WHOLE]: new Set<string>(), [SMALL]: new Set<string>() };
  /** The node said that they are settled. */
  readonly settled = new Set<string>();
  readonly faults: string[] = [];
  readonly #places = new Map<string, string>();
  /** By task and producer: where its newest entry stands. */
  readonly #newest = new Map<string, { number: number; place: string }>();

  fetched(task: typeof WHOLE | typeof SMALL, epoch: string, entries: readonly FetchedEntry[]): void {
    let last = 0;
    for (const { seq, payload } of entries) {
      const place = `${task} ${epoch} ${seq}`;
      const before = this.#places.get(place) ?? payload;
      if (before !== payload) this.faults.push(`${place} was ${before} and is ${payload}`);
      this.#places.set(place, payload);
      if (seq <= last) this.faults.push(`${place} came after ${last}`);
      last = seq;
      this.#inOrder(task, payload, epoch, seq);
      this.saw(task, payload);
    }
  }

  saw(task: typeof WHOLE | typeof SMALL, payload: string): void {
    this.delivered[task].add(payload);
    if (this.settled.has(`${task} ${payload}`)) this.faults.push(`${payload} of ${task} was settled and came again`);
  }

  /** Each producer counts up, and puts nothing twice: so must its places. */
  #inOrder(task: string, payload: string, epoch: string, seq: number): void {
    const [producer = '', count] = payload.split(' ');
    const number = Number(count);
    const key = `${task} ${epoch} ${producer}`;
    const place = `${seq}`;
    const newest = this.#newest.get(key);
    if (newest && number > newest.number && seq <= Number(newest.place)) {
      this.faults.push(`${payload} stands at ${seq}, ${newest.number} before it at ${newest.place}`);
    }
    if (!newest || number > newest.number) this.#newest.set(key, { number, place });
  }
}

let clients = 0;

async function produce(port: number, task: typeof WHOLE | typeof SMALL, witness: Witness): Promise<void> {
  const name = `p${++clients}`;
  const client = await RawClient.connect(port, { clientId: name });
  let count = 0;
  let open = 0;
  await new Promise<void>((resolve) => {
    void client.closed.then(resolve);
    const fill = () => {
      for (; open < IN_FLIGHT && count < 60_000; open += 1) {
        const payload = `${name} ${++count} ${'.'.repeat(count % 90)}`;
        client
          .publish(`w/ch/${task}`, payload, { qos: 1 })
          .then(() => {
            witness.acknowledged[task].add(payload);
            open -= 1;
            fill();
          })
          .catch(() => undefined);
      }
    };
    fill();
  });
}

const LOST = Symbol('lost');
const orLost = <T>(promise: Promise<T>): Promise<T | typeof LOST> => promise.catch(() => LOST);

async function fetchOn(
  port: number,
  task: typeof WHOLE | typeof SMALL,
  witness: Witness,
  leaseMs?: number,
): Promise<void> {
  const app = await connectApp(port);
  for (;;) {
    const body = { max: 20, wait_ms: 1_000, ...(leaseMs && { lease_ms: leaseMs }) };
    const reply = await orLost(app.ask(`m/fetch/${task}`, body));
    if (reply === LOST) return;
    const { epoch, entries, lease } = reply.data;
    witness.fetched(task, epoch, entries);
    if (lease === undefined) continue;
    const word = await orLost(app.ask('m/ack', { lease, ok: true }));
    if (word === LOST) return;
    if (word.status !== 'ok') continue;
    if (word.data.settled !== entries.length) continue;
    for (const { payload } of entries) witness.settled.add(`${task} ${payload}`);
  }
}

async function takeOn(port: number, task: typeof WHOLE | typeof SMALL, witness: Witness): Promise<void> {
  const client = await RawClient.connect(port, { clientId: `t${++clients}` });
  await client.subscribe({ filter: `m/take/${task}`, qos: 1 });
  await client.closed;
  for (const { payload } of client.publishes) witness.saw(task, payload.toString());
}

async function drain(app: App, task: typeof WHOLE | typeof SMALL, witness: Witness): Promise<void> {
  for (;;) {
    const { data } = await app.ask(`m/fetch/${task}`, { max: 1_000 });
    if (data.entries.length === 0) return;
    witness.fetched(task, data.epoch, data.entries);
  }
}

test(`a node killed ${ROUNDS} times loses nothing that it acknowledged, brings nothing twice that it called settled, and gives no place twice`, async () => {
  const random = new SeededRandom(SEED);
  const witness = new Witness();
  const config = {
    data_dir: dir,
    tasks: [
      { task_id: WHOLE, queue: { length: 10_000_000, bytes: 1_000_000_000 } },
      { task_id: SMALL, queue: { length: SMALL_LENGTH } },
    ],
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    node = await startDaemonProcess(config);
    const { port } = node;
    const clientsOfRound = [
      produce(port, WHOLE, witness),
      produce(port, WHOLE, witness),
      produce(port, SMALL, witness),
      ...(random.chance(0.7) ? [fetchOn(port, WHOLE, witness)] : []),
      ...(random.chance(0.7) ? [fetchOn(port, WHOLE, witness, 60_000)] : []),
      ...(random.chance(0.7) ? [takeOn(port, WHOLE, witness)] : []),
      fetchOn(port, SMALL, witness, 60_000),
      // Some have no time to connect.
    ].map(orLost);
    await new Promise((resolve) => setTimeout(resolve, random.between(30, 400)));
    await node.end('SIGKILL');
    await Promise.all(clientsOfRound);
  }
  node = await startDaemonProcess(config);
  const app = await connectApp(node.port);
  const { data } = await app.ask(`m/stat/${SMALL}`);
  for (const task of [WHOLE, SMALL] as const) await drain(app, task, witness);
  const lost = (task: typeof WHOLE | typeof SMALL) =>
    [...witness.acknowledged[task]].filter((payload) => !witness.delivered[task].has(payload));

  const figures = `seed ${SEED}: ${witness.acknowledged[WHOLE].size} and ${witness.acknowledged[SMALL].size} acknowledged`;
  expect(witness.faults, figures).toEqual([]);
  expect(lost(WHOLE), figures).toEqual([]);
  expect(lost(SMALL).length, `${figures}, ${data.queue.dropped} dropped`).toBeLessThanOrEqual(data.queue.dropped);
  expect(witness.acknowledged[WHOLE].size).toBeGreaterThan(ROUNDS * 10);
  expect(witness.settled.size).toBeGreaterThan(0);
}, 300_000);

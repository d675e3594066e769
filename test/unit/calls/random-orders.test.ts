import { expect, test } from 'vitest';
import { Calls } from '../../../src/calls/calls.js';
import { taskIdOf } from '../../../src/core/topics.js';
import { seatOwner } from '../../../src/core/worker-key.js';
import { FakeSeat, rest } from '../../fixtures/seats.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

/** SN_SIM_RUNS: how many schedules, default 300. SN_SIM_SEED: the one to replay. */
const RUNS = Number(process.env.SN_SIM_RUNS ?? 300);
const REPLAY = process.env.SN_SIM_SEED;
const STEPS = 60;

interface Watched {
  readonly controller: AbortController;
  readonly parts: number[];
  ends: number;
  last: number | undefined;
}

/** Calls, answers in and out of turn, callers that read late or leave, seats and processes that go, time that passes. */
class Schedule {
  readonly #dice: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #taskId = taskIdOf('pool');
  readonly #calls: Calls;
  readonly #watched: Watched[] = [];
  #seats: FakeSeat[] = [];
  #generations = [0, 0, 0];
  #opened = 0;
  #rooms: (() => void)[] = [];
  #owed: Promise<void>[] = [];

  constructor(seed: number) {
    this.#dice = new SeededRandom(seed);
    const random = new SeededRandom(seed + 1);
    this.#calls = new Calls({ clock: this.#clock, random, seats: () => this.#seats });
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      this.#step();
      if (this.#dice.chance(0.3)) await rest();
    }
    this.#end();
    await rest();
    await Promise.all(this.#owed);
    this.#check();
  }

  #step(): void {
    const dice = this.#dice;
    const steps: [() => void, ...(() => void)[]] = [
      () => this.#connect(),
      () => this.#call(),
      () => this.#call(),
      () => this.#answer(),
      () => this.#answer(),
      () => this.#answer(),
      () =>
        this.#rooms.splice(dice.between(0, 3), 1).forEach((room) => {
          room();
        }),
      () => this.#clock.advance(dice.between(0, 200)),
      () => dice.pick([this.#watched[dice.between(0, this.#watched.length)], undefined])?.controller.abort(),
      () => this.#disconnect(),
      () => this.#processEnds(),
    ];
    dice.pick(steps)();
  }

  #connect(): void {
    const instance = this.#dice.between(1, 3);
    const generation = this.#generations[instance - 1] ?? 0;
    const owner = this.#dice.chance(0.2)
      ? `net:${this.#opened}`
      : seatOwner({ taskId: this.#taskId, instance, generation });
    const seat = new FakeSeat(`channel:${++this.#opened}`, owner);
    seat.willing = this.#dice.chance(0.9);
    this.#seats.push(seat);
  }

  #call(): void {
    const watched: Watched = { controller: new AbortController(), parts: [], ends: 0, last: undefined };
    this.#watched.push(watched);
    const request = {
      taskId: this.#taskId,
      payload: Buffer.of(),
      timeoutMs: this.#dice.between(1, 1_000),
      signal: watched.controller.signal,
      part: ({ index }: { index: number }) => {
        expect(watched.ends).toBe(0);
        watched.parts.push(index);
        return this.#dice.chance(0.5) ? undefined : new Promise<void>((resolve) => this.#rooms.push(resolve));
      },
    };
    this.#calls.call(request).then(
      ({ index }) => {
        watched.ends++;
        watched.last = index;
      },
      () => {
        watched.ends++;
      },
    );
  }

  #answer(): void {
    const dice = this.#dice;
    const seat = this.#seats[dice.between(0, this.#seats.length)];
    const callId = seat?.given[dice.between(0, seat.given.length)] ?? 'never given';
    const kind = dice.pick(['part', 'part', 'part', 'end', 'error'] as const);
    const answer = { taskId: this.#taskId, callId, kind, payload: Buffer.from('x') };
    const owed = this.#calls.answer(seat?.id ?? 'nobody', answer);
    if (owed) this.#owed.push(owed);
  }

  #disconnect(): void {
    const [seat] = this.#seats.splice(this.#dice.between(0, 5), 1);
    if (seat) this.#calls.seatGone(seat.id, { processBehind: !seat.worker.startsWith('net:'), why: 'closed' });
  }

  #processEnds(): void {
    const instance = this.#dice.between(1, 3);
    const generation = this.#generations[instance - 1] ?? 0;
    const key = { taskId: this.#taskId, instance, generation };
    this.#generations[instance - 1] = generation + 1;
    const channelsFirst = this.#dice.chance(0.5);
    if (!channelsFirst) this.#calls.workerGone(key, 'exit 1');
    for (const seat of this.#seats.filter(({ worker }) => worker === seatOwner(key))) {
      this.#seats.splice(this.#seats.indexOf(seat), 1);
      this.#calls.seatGone(seat.id, { processBehind: true, why: 'closed' });
    }
    if (channelsFirst) this.#calls.workerGone(key, 'exit 1');
  }

  #end(): void {
    if (this.#dice.chance(0.5)) this.#calls.stop();
    else this.#clock.advance(2_000);
    for (const room of this.#rooms) room();
  }

  #check(): void {
    for (const { ends, parts, last } of this.#watched) {
      expect(ends).toBe(1);
      expect(parts).toEqual(parts.map((_, at) => at + 1));
      if (last !== undefined) expect(last).toBe(parts.length + 1);
    }
    expect(this.#clock.pending).toBe(0);
    expect(this.#calls.figures(this.#taskId).inFlight).toBe(0);
    for (const { worker } of this.#seats) expect(this.#calls.inFlight(worker)).toBe(0);
  }
}

test('whatever happens in whatever order, every call ends once, its parts are in order, and no timer stays', async () => {
  const seeds = REPLAY === undefined ? Array.from({ length: RUNS }, (_, index) => index + 1) : [Number(REPLAY)];
  for (const seed of seeds) {
    try {
      await new Schedule(seed).run();
    } catch (error) {
      throw new Error(`seed ${seed} (replay with SN_SIM_SEED=${seed})`, { cause: error });
    }
  }
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PACKET_IDS_MAX, PacketIds } from '../../../src/transport/packet-ids.js';

const ignore = () => undefined;

test('ids count from 1, for our publishes and the broker’s alike', () => {
  const ids = new PacketIds();
  expect(ids.open(ignore)).toBe(1);
  expect(ids.peek()).toBe(2);
  ids.advance();
  ids.brokerPublished(2, 1);
  expect(ids.open(ignore)).toBe(3);
});

test('after 65535 comes 1, and ids in flight are passed over', () => {
  const ids = new PacketIds();
  expect(ids.open(ignore)).toBe(1);
  for (let id = 2; id <= 65_535; id++) ids.advance();
  expect(ids.open(ignore)).toBe(2);
});

test('a reply is delivered by its PUBACK, once', () => {
  const arrived: boolean[] = [];
  const ids = new PacketIds();
  const id = ids.open((yes) => arrived.push(yes));
  expect(ids.acknowledged('puback', id)).toBe('ours');
  expect(ids.acknowledged('puback', id)).toBe('unknown');
  ids.connectionEnded();
  expect(arrived).toEqual([true]);
});

test('the end of the connection tells what did not arrive, and keeps what the broker has in flight', () => {
  const arrived: boolean[] = [];
  const ids = new PacketIds();
  ids.open((yes) => arrived.push(yes));
  ids.advance();
  ids.brokerPublished(2, 1);
  ids.connectionEnded();
  expect(arrived).toEqual([false]);
  expect(ids.inFlight).toBe(1);
  expect(ids.acknowledged('puback', 2)).toBe('broker');
});

test('what is kept outlives the connection, in its order, until it is acknowledged or given back', () => {
  const told: string[] = [];
  const ids = new PacketIds();
  for (let count = 0; count < 65_533; count++) ids.advance();
  const keep = (topic: string) => {
    ids.open((yes) => told.push(`${topic} ${yes}`), { topic, payload: Buffer.from(topic) });
  };
  for (const topic of ['a', 'b', 'c', 'd']) keep(topic);
  ids.open((yes) => told.push(`reply ${yes}`));
  ids.connectionEnded();
  expect(told).toEqual(['reply false']);
  ids.resuming();
  ids.resumed();
  const kept = () => [...ids.kept()].map(({ topic, packetId }) => `${topic} ${packetId}`);
  expect(kept()).toEqual(['a 65534', 'b 65535', 'c 1', 'd 2']);
  expect(ids.acknowledged('puback', 65_535)).toBe('ours');
  expect(kept()).toEqual(['a 65534', 'c 1', 'd 2']);
  ids.giveBack();
  expect(told).toEqual(['reply false', 'b true', 'a false', 'c false', 'd false']);
  expect(ids.acknowledged('puback', 1)).toBe('unknown');
  expect(ids.inFlight).toBe(0);
});

const FLOWS = [
  ['a PUBACK answers a QoS 1 publish', 1, ['puback'], ['broker']],
  ['a PUBREC does not answer a QoS 1 publish', 1, ['pubrec'], ['wrong-flow']],
  ['a PUBCOMP does not answer a QoS 1 publish', 1, ['pubcomp'], ['wrong-flow']],
  ['PUBREC and PUBCOMP answer a QoS 2 publish', 2, ['pubrec', 'pubcomp'], ['broker', 'broker']],
  ['a repeated PUBREC is passed on', 2, ['pubrec', 'pubrec', 'pubcomp'], ['broker', 'broker', 'broker']],
  ['a PUBACK does not answer a QoS 2 publish', 2, ['puback'], ['wrong-flow']],
  ['a PUBCOMP before the PUBREC is out of its flow', 2, ['pubcomp'], ['wrong-flow']],
  ['a PUBACK in the middle of a QoS 2 flow is out of it', 2, ['pubrec', 'puback'], ['broker', 'wrong-flow']],
] as const;

test.each(FLOWS)('%s', (_title, qos, acks, verdicts) => {
  const ids = new PacketIds();
  ids.advance();
  ids.brokerPublished(1, qos);
  const seen = acks.map((kind) => {
    const verdict = ids.acknowledged(kind, 1);
    if (kind === 'pubrec' && verdict === 'broker') ids.brokerReleased(1);
    return verdict;
  });
  expect(seen).toEqual(verdicts);
});

test('no id is in flight twice, whoever takes it and whatever is acknowledged when', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ ours: fc.boolean(), ack: fc.nat() }), { maxLength: 500 }), (steps) => {
      const ids = new PacketIds();
      const inFlight = new Set<number>();
      for (const { ours, ack } of steps) {
        const id = ours ? ids.open(ignore) : ids.peek();
        if (!ours) {
          ids.advance();
          ids.brokerPublished(id, 1);
        }
        expect(inFlight.has(id)).toBe(false);
        inFlight.add(id);
        const victim = [...inFlight][ack % (2 * inFlight.size)];
        if (victim === undefined) continue;
        expect(ids.acknowledged('puback', victim)).toMatch(/ours|broker/);
        inFlight.delete(victim);
      }
      expect(ids.inFlight).toBe(inFlight.size);
    }),
    { numRuns: 100 },
  );
});

test('a client that acknowledges nothing exhausts its ids', () => {
  const ids = new PacketIds();
  for (let count = 0; count < PACKET_IDS_MAX; count++) ids.open(ignore);
  expect(ids.exhausted).toBe(true);
  ids.acknowledged('puback', 7);
  expect(ids.exhausted).toBe(false);
});

import { expect, test } from 'vitest';
import { BrokerFigures } from '../../src/app/broker-figures.js';
import { LoadAverage } from '../../src/app/load-averages.js';
import { newTraffic } from '../../src/transport/traffic.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';

/** Figures of a broker whose retained messages are a map. */
function world(intervalS: number) {
  const clock = new VirtualClock();
  const hub = { connections: 0, subscriptions: 0, traffic: newTraffic() };
  const published: string[] = [];
  const retained = new Map<string, string>();
  const figures = new BrokerFigures(
    {
      ...{ version: '1.2.3', clock, hub: () => hub, sessionsAway: () => 2, retained: () => 4, dropped: () => 1 },
      publish: ({ topic, payload, qos, retain }) => {
        expect([qos, retain]).toEqual([0, true]);
        published.push(topic);
        if (payload === '') retained.delete(topic);
        else retained.set(topic, String(payload));
      },
    },
    intervalS,
  );
  const value = (name: string) => retained.get(`$SYS/broker/${name}`);
  return { clock, hub, figures, published, retained, value };
}

test('figures stand below $SYS/broker by the names that Mosquitto gave them', () => {
  const { clock, hub, figures, value } = world(10);
  figures.start();
  Object.assign(hub, { connections: 3, subscriptions: 7 });
  Object.assign(hub.traffic, { messagesReceived: 40, bytesSent: 2_000, publishesSent: 9, connectionsPeak: 5 });
  clock.advance(10_000);
  const names = {
    version: 'super-node 1.2.3',
    uptime: '10 seconds',
    'clients/connected': '3',
    'clients/disconnected': '2',
    'clients/total': '5',
    'clients/maximum': '5',
    'subscriptions/count': '7',
    'retained messages/count': '4',
    'messages/received': '40',
    'bytes/sent': '2000',
    'publish/messages/sent': '9',
    'publish/messages/dropped': '1',
  };
  expect(Object.fromEntries(Object.keys(names).map((name) => [name, value(name)]))).toEqual(names);
});

test('what did not change is not told again', () => {
  const { clock, figures, published } = world(10);
  figures.start();
  published.length = 0;
  clock.advance(20_000);
  expect(published).toEqual(['$SYS/broker/uptime', '$SYS/broker/uptime']);
});

test('with an interval of 0 nothing is told, not even at the end', () => {
  const { clock, figures, published } = world(0);
  figures.start();
  clock.advance(60_000);
  figures.stop();
  expect([published, clock.pending]).toEqual([[], 0]);
});

test('when the node leaves, nothing of it stays with the broker', () => {
  const { clock, figures, retained } = world(1);
  figures.start();
  clock.advance(3_000);
  expect(retained.size).toBeGreaterThan(30);
  figures.stop();
  expect([retained.size, clock.pending]).toEqual([0, 0]);
});

test('loads are what came in a minute, and fall off when nothing comes any more', () => {
  const load = new LoadAverage();
  let total = 0;
  const minute = (perMinute: number) => {
    for (let n = 0; n < 6; n += 1) {
      total += perMinute / 6;
      load.look(total, 10_000);
    }
  };
  const rounded = () => load.values().map(([span, value]) => [span, Math.round(value)]);
  minute(600);
  // As after one minute of constant load: 1 − 1/e, 1 − 1/e^(1/5), 1 − 1/e^(1/15).
  expect(rounded()).toEqual([
    ['1min', 379],
    ['5min', 109],
    ['15min', 39],
  ]);
  for (let n = 0; n < 100; n += 1) minute(600);
  expect(rounded().map(([, value]) => value)).toEqual([600, 600, 599]);
  minute(0);
  expect(rounded()[0]).toEqual(['1min', 221]);
});

test('a look in no time changes nothing', () => {
  const load = new LoadAverage();
  load.look(100, 0);
  expect(load.values().map(([, value]) => value)).toEqual([0, 0, 0]);
});

import { expect, test } from 'vitest';
import { silenceLimitMs } from '../../../src/transport/heartbeat.js';
import { refuseSource } from '../../../src/transport/origin.js';
import { Routes } from '../../../src/transport/routes.js';
import { newSession, Sessions } from '../../../src/transport/session.js';
import { planSuback } from '../../../src/transport/suback-plan.js';
import { Subscriptions } from '../../../src/transport/subscriptions.js';

const sub = (filter: string, qos: 0 | 1 | 2) => ({ filter, qos });

test('a refused filter is cut out, and answered with 128 at its place', () => {
  const plan = planSuback([sub('a', 1), sub('secret', 1), sub('b', 2)], [true, false, true]);
  expect(plan.unchanged).toBe(false);
  expect(plan.passed).toEqual([sub('a', 1), sub('b', 2)]);
  expect(plan.codes([1, 2])).toEqual([1, 128, 2]);
});

test('a repeated filter goes on once, its last QoS counts, and both get a code [MQTT-3.8.4-5]', () => {
  const plan = planSuback([sub('a', 0), sub('b', 1), sub('a', 2)], [true, true, true]);
  expect(plan.passed).toEqual([sub('b', 1), sub('a', 2)]);
  expect(plan.codes([1, 2])).toEqual([2, 1, 2]);
});

test('nothing cut is left as it was', () => {
  expect(planSuback([sub('a', 0)], [true]).unchanged).toBe(true);
});

test('the highest QoS among overlapping filters counts [MQTT-3.3.5-1]', () => {
  const subscriptions = new Subscriptions();
  expect(subscriptions.maxQos('t/x')).toBe(-1);
  subscriptions.add('t/#', 0);
  expect(subscriptions.maxQos('t/x')).toBe(0);
  subscriptions.add('t/+', 2);
  expect(subscriptions.maxQos('t/x')).toBe(2);
  subscriptions.remove('t/+');
  expect(subscriptions.maxQos('t/x')).toBe(0);
});

test('a wide filter does not ask for commands, a deliberate one does', () => {
  const subscriptions = new Subscriptions();
  subscriptions.add('#', 1);
  subscriptions.add('w/#', 1);
  expect(subscriptions.namesTopic('w/ch/a/cmd', 'w/ch/a')).toBe(false);
  subscriptions.add('w/ch/a/cmd/#', 1);
  expect(subscriptions.namesTopic('w/ch/a/cmd', 'w/ch/a')).toBe(true);
});

test('sessions are bounded, and the least recently connected goes first', () => {
  const sessions = new Sessions(2);
  const a = sessions.find('a');
  sessions.keep('a', a);
  sessions.keep('b', sessions.find('b'));
  sessions.keep('a', a);
  sessions.keep('c', sessions.find('c'));
  expect(sessions.find('a')).toBe(a);
  const b = sessions.find('b');
  expect(sessions.find('b')).not.toBe(b);
});

test('a session that nobody will find again is told of: discarded, replaced or pushed out', () => {
  const forgotten: string[] = [];
  const names = new Map<unknown, string>();
  const sessions = new Sessions(2, (session) => forgotten.push(names.get(session) ?? '?'));
  const keep = (id: string, name: string, session = newSession()) => {
    names.set(session, name);
    sessions.keep(id, session);
    return session;
  };
  const first = keep('a', 'first');
  keep('a', 'first', first);
  expect(sessions.has('a', first)).toBe(true);
  expect(forgotten).toEqual([]);
  keep('a', 'second');
  expect(sessions.has('a', first)).toBe(false);
  keep('b', 'b');
  keep('c', 'c');
  sessions.discard('c');
  sessions.discard('c');
  expect(forgotten).toEqual(['first', 'second', 'c']);
});

test('a session with nothing in flight needs no memory, one with something is found again', () => {
  const sessions = new Sessions(10);
  const idle = sessions.find('idle');
  sessions.keep('idle', idle);
  sessions.ended('idle');
  expect(sessions.find('idle')).not.toBe(idle);
  const busy = sessions.find('__proto__');
  sessions.keep('__proto__', busy);
  busy.received.set(1, undefined);
  sessions.ended('__proto__');
  expect(sessions.find('__proto__')).toBe(busy);
});

test.each([
  ['no keepalive, no worker: may be silent for ever', 0, undefined, Number.POSITIVE_INFINITY],
  ['a client is held to its keepalive', 2, undefined, 3_000],
  ['a worker is held to its keepalive', 2, { heartbeatMs: 0, isProcess: true }, 3_000],
  ['a worker without keepalive counts as 60 s', 0, { heartbeatMs: 0, isProcess: true }, 90_000],
  ['a heartbeat caps the keepalive', 60, { heartbeatMs: 1_000, isProcess: true }, 1_500],
  ['a shorter keepalive stays', 2, { heartbeatMs: 10_000, isProcess: true }, 3_000],
  ['a net client without keepalive may be silent', 0, { heartbeatMs: 0, isProcess: false }, Number.POSITIVE_INFINITY],
  ['a heartbeat of its task holds a net client', 0, { heartbeatMs: 500, isProcess: false }, 750],
])('%s', (_title, keepaliveS, worker, limitMs) => {
  expect(silenceLimitMs(keepaliveS, worker)).toBe(limitMs);
});

const NAMES = { host: '127.0.0.1', origins: ['https://dash.example'] };

test.each([
  ['a program without Origin', '127.0.0.1:8080', undefined, true],
  ['a page of the listener itself', '127.0.0.1:8080', 'http://127.0.0.1:8080', true],
  ['by another name of loopback', 'localhost:8080', 'http://localhost:8080', true],
  ['through a tunnel on another port', 'localhost:9999', 'http://localhost:9999', true],
  ['IPv6 loopback', '[::1]:8080', 'http://[::1]:8080', true],
  ['an origin that is listed', '127.0.0.1:8080', 'https://dash.example', true],
  ['a page of another site', '127.0.0.1:8080', 'https://evil.example', false],
  ['a page of another port on this machine', '127.0.0.1:8080', 'http://127.0.0.1:3000', false],
  ['a name that was rebound to our address', 'evil.example:8080', 'http://evil.example:8080', false],
  ['a sandboxed page', '127.0.0.1:8080', 'null', false],
  ['a file', '127.0.0.1:8080', 'file://', false],
  ['no Host', undefined, undefined, false],
  ['a name that begins like ours', 'localhost.evil.example', 'http://localhost.evil.example', false],
])('%s: served %#', (_title, host, origin, served) => {
  expect(refuseSource({ host, origin }, NAMES) === undefined).toBe(served);
});

test('a route names its task by what its wildcards matched, made fit for an id', () => {
  const routes = new Routes([
    { from: 'tele/+/SENSOR', taskId: 'tasmota-{1}' },
    { from: 'z2m/#', taskId: 'z_{1}' },
    { from: '+/x', taskId: '{1}' },
  ]);
  expect(routes.tasksFor('tele/plug 1/SENSOR')).toEqual(['tasmota-plug_1']);
  expect(routes.tasksFor('z2m/a/b')).toEqual(['z_a_b']);
  expect(routes.tasksFor('-odd/x')).toEqual(['r-odd']);
  expect(routes.tasksFor('other')).toEqual([]);
});

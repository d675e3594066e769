import { describe, expect, test } from 'vitest';
import { NEW_NET, type NetEvent, type NetState, stepNet } from '../../../src/supervisor/net-machine.js';

const EVENTS: Readonly<Record<string, NetEvent>> = {
  start: { type: 'start' },
  stop: { type: 'stop' },
  up: { type: 'channelUp' },
  closed: { type: 'channelDown', how: 'closed' },
  disconnect: { type: 'channelDown', how: 'disconnect' },
  silent: { type: 'channelDown', how: 'silent' },
  'says ready': { type: 'report', word: 'ready', others: 0 },
  'says sleeping': { type: 'report', word: 'sleeping', others: 0 },
  'says lost': { type: 'report', word: 'lost', others: 0 },
  'one of two says lost': { type: 'report', word: 'lost', others: 1 },
  put: { type: 'put' },
};

const STATES: Readonly<Record<string, NetState>> = {
  pending: NEW_NET,
  'ready 1': { name: 'ready', channels: 1 },
  'ready 2': { name: 'ready', channels: 2 },
  'sleeping 0': { name: 'sleeping', channels: 0 },
  'lost 0': { name: 'lost', channels: 0 },
  'stopped 0': { name: 'stopped', channels: 0 },
  'stopped 1': { name: 'stopped', channels: 1 },
};

/** One row per event, in the order of STATES: the state and the channels after it. */
const TABLE: Readonly<Record<string, string>> = {
  //                       pending    | ready 1    | ready 2    | sleeping 0 | lost 0     | stopped 0  | stopped 1
  start: '                 pending 0  | ready 1    | ready 2    | sleeping 0 | lost 0     | pending 0  | ready 1',
  stop: '                  stopped 0  | stopped 1  | stopped 2  | stopped 0  | stopped 0  | stopped 0  | stopped 1',
  up: '                    ready 1    | ready 2    | ready 3    | ready 1    | ready 1    | stopped 1  | stopped 2',
  closed: '                lost 0     | lost 0     | ready 1    | lost 0     | lost 0     | stopped 0  | stopped 0',
  disconnect: '            sleeping 0 | sleeping 0 | ready 1    | sleeping 0 | sleeping 0 | stopped 0  | stopped 0',
  silent: '                lost 0     | lost 0     | ready 1    | lost 0     | lost 0     | stopped 0  | stopped 0',
  'says ready': '          ready 0    | ready 1    | ready 2    | ready 0    | ready 0    | stopped 0  | stopped 1',
  'says sleeping': '       sleeping 0 | sleeping 1 | sleeping 2 | sleeping 0 | sleeping 0 | stopped 0  | stopped 1',
  'says lost': '           lost 0     | lost 1     | lost 2     | lost 0     | lost 0     | stopped 0  | stopped 1',
  'one of two says lost': 'pending 0  | ready 1    | ready 2    | sleeping 0 | lost 0     | stopped 0  | stopped 1',
  put: '                   ready 0    | ready 1    | ready 2    | sleeping 0 | lost 0     | stopped 0  | stopped 1',
};

describe('the table of a net task', () => {
  for (const [name, event] of Object.entries(EVENTS)) {
    test(`${name}: every state has its answer`, () => {
      const row = Object.values(STATES).map((state) => {
        const next = stepNet(state, event);
        return `${next.name} ${next.channels}`;
      });
      expect(row).toEqual(TABLE[name]?.split('|').map((cell) => cell.trim()));
    });
  }

  test('a client that connects for one put each does not make the task flap', () => {
    let net = stepNet(NEW_NET, { type: 'put' });
    const first = net;
    for (let at = 0; at < 10; at += 1) net = stepNet(net, { type: 'put' });
    expect(net).toBe(first);
  });
});

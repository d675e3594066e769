import { beforeEach, describe, expect, test } from 'vitest';
import { taskIdOf } from '../../../src/core/topics.js';
import { Supervised } from '../../fixtures/supervised.js';
import { netRecordOf, recordOf } from '../../fixtures/supervisor-world.js';

let world: Supervised;

beforeEach(() => {
  world = new Supervised();
});

describe('a net task', () => {
  const net = taskIdOf('net');

  test('is told as pending, ready, sleeping and lost as its clients come and go', () => {
    world.supervisor.declare(netRecordOf('net'));
    world.supervisor.declare(netRecordOf('net'));
    world.supervisor.channelUp(net, 'c1');
    world.supervisor.channelUp(net, 'c2');
    world.supervisor.channelDown(net, 'c1', 'closed');
    world.supervisor.report(net, 'c1', 'lost');
    expect(world.supervisor.status(net)).toMatchObject({ state: 'ready', channels: 1, kind: 'net', generation: 0 });
    world.supervisor.channelDown(net, 'c2', 'disconnect');
    world.supervisor.channelUp(net, 'c3');
    world.supervisor.channelDown(net, 'c3', 'silent');
    expect(world.report.path()).toEqual(['pending', 'ready', 'sleeping', 'ready', 'lost']);
  });

  test('takes no puts while stopped, and takes them again after start', async () => {
    world.supervisor.start(netRecordOf('net'));
    world.supervisor.putSeen(net);
    expect(world.supervisor.status(net)).toMatchObject({ state: 'ready', accepting: true });
    await world.supervisor.stop(net);
    world.supervisor.channelUp(net, 'c1');
    world.supervisor.putSeen(net);
    expect(world.supervisor.status(net)).toMatchObject({ state: 'stopped', accepting: false, channels: 1 });
    world.supervisor.start(netRecordOf('net'));
    expect(world.supervisor.status(net)).toMatchObject({ state: 'ready', accepting: true });
  });

  test('is forgotten by remove, and may become a process task once it is stopped', async () => {
    world.supervisor.start(netRecordOf('net'));
    expect(() => world.supervisor.start(recordOf({ task_id: net }))).toThrow(
      expect.objectContaining({ code: 'SN_ERR_TASK_EXISTS' }),
    );
    await world.supervisor.stop(net);
    world.supervisor.start(recordOf({ task_id: net }));
    expect(world.supervisor.status(net).kind).toBe('process');
    const removed = world.supervisor.remove(net);
    world.clock.advance(0);
    await removed;
    expect(world.supervisor.has(net)).toBe(false);
  });
});

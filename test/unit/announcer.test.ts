import { expect, test } from 'vitest';
import { Announcer } from '../../src/app/announcer.js';
import { Topics } from '../../src/core/topics.js';
import { T1 } from '../fixtures/supervisor-world.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';

test('restarts are counted by cause, and stay counted when their task is gone', () => {
  const announcer = new Announcer(
    new Topics(),
    new VirtualClock(),
    () => undefined,
    () => false,
    () => undefined,
  );
  for (const cause of ['exit', 'oom', 'exit']) announcer.event('restarting', { cause }, T1);
  announcer.event('exited', { cause: 'exit' }, T1);
  announcer.forget(T1);
  expect([...announcer.restarts]).toEqual([
    ['exit', 2],
    ['oom', 1],
  ]);
});

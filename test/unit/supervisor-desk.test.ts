import { expect, test } from 'vitest';
import { Announcer } from '../../src/app/announcer.js';
import { SupervisorDesk } from '../../src/app/supervisor-desk.js';
import { TaskLogs } from '../../src/app/task-logs.js';
import type { Logger } from '../../src/core/ports.js';
import { Topics } from '../../src/core/topics.js';
import { T1 } from '../fixtures/supervisor-world.js';
import { VirtualClock } from '../fixtures/virtual-clock.js';

/** A desk whose log is a list of `<level> <message>`. */
function loggingDesk() {
  const logged: string[] = [];
  const at = (level: string) => (_fields: object, message: string) => void logged.push(`${level} ${message}`);
  const log: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: () => log };
  const clock = new VirtualClock();
  const unused = (): never => {
    throw new Error('an event needs none of this');
  };
  const desk = new SupervisorDesk({
    log,
    catalog: unused,
    announcer: new Announcer(
      new Topics(),
      clock,
      () => undefined,
      () => false,
      () => undefined,
    ),
    logs: new TaskLogs({ clock, files: undefined, tasksMax: 1 }),
    liveRoom: unused,
    answer: unused,
    workerGone: unused,
    closeChannels: unused,
    forget: unused,
  });
  return { desk, logged };
}

test('a restart that was commanded is no trouble, one by policy is', () => {
  const { desk, logged } = loggingDesk();
  desk.event('restarting', T1, { cause: 'command' });
  desk.event('restarting', T1, { cause: 'signal' });
  desk.event('ready', T1, {});
  expect(logged).toEqual(['info t1: restarting', 'warn t1: restarting', 'info t1: ready']);
});

import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openTaskFile } from '../../../src/adapters/task-file.js';
import { LIMITS } from '../../../src/core/limits.js';
import { quietLog } from '../../fixtures/supervisor-world.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';
import { waitFor } from '../../fixtures/wait-for.js';

let dir: string;
let clock: VirtualClock;
let errors: unknown[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sn-tasks-'));
  clock = new VirtualClock();
  errors = [];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const open = () => openTaskFile(dir, quietLog(errors), clock);
const runs = (taskId: string) => ({ taskId, wanted: 'run', task: { task_id: taskId } }) as const;

test('gives back what was saved last, and nothing where nothing was', async () => {
  const first = open();
  expect(first.remembered).toEqual([]);
  await first.store.save([runs('a')]);
  await first.store.save([runs('a'), { taskId: 'b', wanted: 'stopped', task: undefined }]);
  await first.close();
  expect(open().remembered).toEqual([runs('a'), { taskId: 'b', wanted: 'stopped', task: undefined }]);
  expect(errors).toEqual([]);
});

test('a hundred at once share two writes, and each has its own in the file when it is told', async () => {
  const { store } = open();
  let renames = 0;
  const watcher = watch(dir, (_event, name) => {
    if (name === 'tasks.json') renames += 1;
  });
  const tasks: ReturnType<typeof runs>[] = [];
  await Promise.all(
    Array.from({ length: 100 }, async (_, at) => {
      tasks.push(runs(`t${at}`));
      await store.save([...tasks]);
      expect(readFileSync(join(dir, 'tasks.json'), 'utf8')).toContain(`"t${at}"`);
    }),
  );
  await waitFor(() => renames > 0);
  watcher.close();
  expect(renames).toBeLessThanOrEqual(2);
});

test('what cannot be written is told once, tried again, and mended', async () => {
  const { store, close } = open();
  const inTheWay = join(dir, 'tasks.json.new');
  mkdirSync(inTheWay);
  await store.save([runs('a')]);
  await store.save([runs('a'), runs('b')]);
  expect(errors).toMatchObject([{ message: expect.stringContaining('cannot be written down') }]);
  rmdirSync(inTheWay);
  clock.advance(LIMITS.taskFileRetryMs);
  await close();
  expect(open().remembered).toEqual([runs('a'), runs('b')]);
});

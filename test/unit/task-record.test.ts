import { describe, expect, test } from 'vitest';
import { argvOf, resolveRecord } from '../../src/core/task-record.js';
import { TaskSchema, type TaskWire } from '../../src/core/task-schema.js';
import { validate } from '../../src/core/validate.js';

function resolved(fields: Partial<TaskWire>) {
  const wire = validate(TaskSchema, { task_id: 't', ...fields }, 'SN_ERR_REQUEST', 'start');
  return resolveRecord(wire, new Map(), {}, 'trusted');
}

describe('the command of a task', () => {
  test('may have empty arguments, as programs may', () => {
    expect(argvOf(resolved({ command: ['run', '', '-x', ''] }))).toEqual(['run', '', '-x', '']);
  });

  test.each([
    ['names none', ['']],
    ['has it filled in from nothing', ['{start_params}', 'x']],
  ])('is refused where its program %s', (_title, command) => {
    expect(() => resolved({ command })).toThrow('command: expected a program first, got ""');
  });
});

test('a text that is too long is told its length, not its pattern', () => {
  const complaint = 'start start_params: expected text of 0 to 65536 characters, got "aaa';
  expect(() => resolved({ start_params: 'a'.repeat(65_537) })).toThrow(complaint);
  expect(() => resolved({ command: ['run', 'a'.repeat(65_537)] })).toThrow(/^start command\[1\]: .* 0 to 65536 char/);
  expect(() => resolved({ start_params: 'a\u0000b' })).toThrow('expected text like');
});

import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createLog, type LogOptions } from '../../src/app/log.js';

function logTo(options: LogOptions, write: (log: ReturnType<typeof createLog>) => void): string {
  const stream = new PassThrough();
  write(createLog({ ...options, stream }));
  return String(stream.read() ?? '');
}

test('JSON lines carry level, time, fields and those of the parents', () => {
  const line = logTo({}, (log) => log.child({ task: 'cam1' }).warn({ pid: 7 }, 'it ended'));
  expect(JSON.parse(line)).toEqual({ level: 'warn', time: expect.any(String), task: 'cam1', pid: 7, msg: 'it ended' });
});

test('passwords and tokens never show, on the first level and one below', () => {
  const secrets = { password: 'hunter2', token: 'snw_1', env: { SN_TOKEN: 'snw_2' }, user: { password: 'hunter3' } };
  for (const format of ['json', 'pretty'] as const) {
    const text = logTo({ format }, (log) => log.child(secrets).info(secrets, 'hello'));
    expect(text).toContain('hello');
    expect(text).not.toMatch(/hunter|snw_/);
  }
});

test('what is below the level is not written', () => {
  expect(logTo({ level: 'warn' }, (log) => log.info({}, 'quiet'))).toBe('');
  expect(logTo({ level: 'silent' }, (log) => log.error({}, 'quiet'))).toBe('');
  expect(logTo({ level: 'debug' }, (log) => log.debug({}, 'loud'))).toContain('loud');
});

describe('what a worker writes obeys no terminal', () => {
  const hostile = 'a\u202eb\u2066c\u2028d\u200fe\u061cf\u009b2Jg';
  const shown = 'a\\u202eb\\u2066c\\u2028d\\u200fe\\u061cf\\u009b2Jg';
  const write = (log: ReturnType<typeof createLog>) => log.info({ stderr: [hostile] }, `said ${hostile}`);
  const obeyed = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/u;

  test('in pretty lines, where its marks are shown', () => {
    const line = logTo({ format: 'pretty' }, write);
    expect(line).toContain(`said ${shown}`);
    expect(line).not.toMatch(obeyed);
  });

  test('in JSON lines, which still mean the same', () => {
    const line = logTo({ format: 'json' }, write);
    expect(line).not.toMatch(obeyed);
    expect(JSON.parse(line)).toMatchObject({ msg: `said ${hostile}`, stderr: [hostile] });
  });
});

test('pretty lines are for people: no JSON, no colours into a pipe', () => {
  const line = logTo({ format: 'pretty' }, (log) => log.info({ port: 1883 }, 'listening'));
  expect(line).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: listening/);
  expect(line).not.toContain('\u001b');
});

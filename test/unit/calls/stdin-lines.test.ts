import { describe, expect, test, vi } from 'vitest';
import { answerIn, stdinSeat, stdinSeatId } from '../../../src/calls/stdin-lines.js';
import { LIMITS } from '../../../src/core/limits.js';

/** The longest line there is. */
const MEBIBYTE = LIMITS.outputLineBytes;

const answerOf = (line: string) => {
  const answer = answerIn(Buffer.from(line));
  return answer && { ...answer, payload: Buffer.from(answer.payload).toString() };
};

describe('a line of stdout', () => {
  test.each([
    ['a part', '{"reply":"c1","payload":"4"}', { callId: 'c1', kind: 'part', payload: '4' }],
    ['the last part', '{"reply":"c1","payload":"4","last":true}', { callId: 'c1', kind: 'end', payload: '4' }],
    ['an empty end', '{"reply":"c1","last":true}', { callId: 'c1', kind: 'end', payload: '' }],
    ['a failure', '{"reply":"c1","error":"no"}', { callId: 'c1', kind: 'error', payload: 'no' }],
    ['without an error', '{"reply":"c1","error":null,"payload":"4"}', { callId: 'c1', kind: 'part', payload: '4' }],
    ['with white space', '{ "reply" : "c1" } \t', { callId: 'c1', kind: 'part', payload: '' }],
    ['JSON in place of text', '{"reply":"c1","payload":{"a":1}}', { callId: 'c1', kind: 'part', payload: '{"a":1}' }],
    ['bytes', '{"reply":"c1","payload_base64":"aGk="}', { callId: 'c1', kind: 'part', payload: 'hi' }],
  ])('that is %s is read as one', (_title, line, expected) => {
    expect(answerOf(line)).toEqual(expected);
  });

  test.each([
    ['is deeper than JSON may be', `{"reply":"c1","payload":${'['.repeat(1_000)}${']'.repeat(1_000)}}`, /128 levels/],
    ['was cut', `{"reply":"c1","payload":"${'x'.repeat(MEBIBYTE)}`.slice(0, MEBIBYTE), /at most 1048576 bytes/],
    [
      'was cut behind a bracket',
      `{"reply":"c1","payload":"${'}'.repeat(MEBIBYTE)}`.slice(0, MEBIBYTE),
      /at most 1048576/,
    ],
  ])('that begins as an answer and %s fails its call', (_title, line, why) => {
    expect(answerOf(line)).toEqual({ callId: 'c1', kind: 'error', payload: expect.stringMatching(why) });
  });

  test('that is as long as a line may be is read like any other', () => {
    const head = '{"reply":"c1","payload":"';
    const payload = 'x'.repeat(MEBIBYTE - head.length - 2);
    expect(answerOf(`${head}${payload}"}`)).toEqual({ callId: 'c1', kind: 'part', payload });
  });

  test.each([
    ['brackets without an end', '{'.repeat(MEBIBYTE)],
    ['brackets with one', `${'{'.repeat(MEBIBYTE - 1)}}`],
    ['no key of an answer', `{"a":${'['.repeat(400_000)}${']'.repeat(400_000)}}`],
    ['a key that comes later', `{"a":${'['.repeat(400_000)}${']'.repeat(400_000)},"reply":"c1"}`],
  ])('of nothing but %s is not parsed, and one like any other', (_title, line) => {
    const parse = vi.spyOn(JSON, 'parse');
    try {
      expect(answerOf(line)).toBeUndefined();
      expect(parse).not.toHaveBeenCalled();
    } finally {
      parse.mockRestore();
    }
  });

  test.each(['', 'plain text', '{"reply":7}', '{"temperature":21}', '["reply"]', 'null', '{"reply":"c1"'])(
    '%j is a line like any other',
    (line) => {
      expect(answerOf(line)).toBeUndefined();
    },
  );
});

describe('the stdin of a worker', () => {
  const written: string[] = [];
  const seat = stdinSeat('t~1:3', 't', (line) => {
    written.push(Buffer.from(line).toString());
    return written.length < 4 ? 'written' : 'full';
  });

  test('takes a call as one line of JSON, whatever its bytes', () => {
    expect(seat.id).toBe(stdinSeatId('t~1:3'));
    expect(seat.call('c1', Buffer.from('two\nlines'))).toBe(true);
    expect(seat.call('c2', Buffer.from([0xff, 0x0a]))).toBe(true);
    seat.cancel('c1');
    expect(written).toEqual([
      '{"call":"c1","payload":"two\\nlines"}\n',
      '{"call":"c2","payload_base64":"/wo="}\n',
      '{"cancel":"c1"}\n',
    ]);
  });

  test('takes none where the program does not read', () => {
    expect(seat.call('c3', Buffer.from('x'))).toBe(false);
  });
});

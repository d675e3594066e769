import { describe, expect, test } from 'vitest';
import { answerIn, stdinSeat, stdinSeatId } from '../../../src/calls/stdin-lines.js';

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
    ['JSON in place of text', '{"reply":"c1","payload":{"a":1}}', { callId: 'c1', kind: 'part', payload: '{"a":1}' }],
    ['bytes', '{"reply":"c1","payload_base64":"aGk="}', { callId: 'c1', kind: 'part', payload: 'hi' }],
  ])('that is %s is read as one', (_title, line, expected) => {
    expect(answerOf(line)).toEqual(expected);
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

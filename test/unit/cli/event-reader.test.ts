import { describe, expect, test } from 'vitest';
import { EventReader, type ServerEvent } from '../../../src/cli/event-reader.js';

const events = (...chunks: (string | Uint8Array)[]): ServerEvent[] => {
  const reader = new EventReader();
  return chunks.flatMap((chunk) => reader.push(Buffer.from(chunk)));
};
const message = (data: string): ServerEvent => ({ type: 'message', data });

describe('a reader of server-sent events', () => {
  const stream =
    'retry: 2000\n: m/event\n\nid: a-0\n\nid: a-1\ndata: {"ü":1}\n\nevent: gap\ndata: {"missed":2}\n\n:\n\ndata:x\n\n';
  const read = [message('{"ü":1}'), { type: 'gap', data: '{"missed":2}' }, message('x')];

  test.each(['\n', '\r', '\r\n'])('reads the same wherever the stream is cut, with %j at the end of lines', (end) => {
    const bytes = Buffer.from(stream.replaceAll('\n', end));
    for (let at = 0; at <= bytes.length; at++) {
      expect(events(bytes.subarray(0, at), bytes.subarray(at))).toEqual(read);
    }
    expect(events(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(read);
  });

  test('joins lines of data with LF, and takes one blank after the colon away', () => {
    expect(events('data:  a\ndata:b\ndata\ndata: \n\n')).toEqual([message(' a\nb\n\n')]);
  });

  test('an event without data is none, and its type does not stay', () => {
    expect(events('event: gap\n\ndata: x\n\n')).toEqual([message('x')]);
  });

  test('what is not ended by a blank line is no event yet', () => {
    expect(events('data: x\n')).toEqual([]);
    expect(events('data: x\n', 'data: y\n\n')).toEqual([message('x\ny')]);
  });

  test('fields that it does not know are passed over', () => {
    expect(events('data: x\ndatum: y\nDATA: z\n\n')).toEqual([message('x')]);
  });
});

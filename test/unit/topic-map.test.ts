import { expect, test } from 'vitest';
import { Topics } from '../../src/core/topics.js';

/** The golden map: a change here is a change of the wire, and belongs into docs/protocol.md in the same commit. */
const MAP = {
  'm/cmd': 'cmd',
  'm/cmd/cam1': 'task-cmd cam1',
  'm/cmd/cam1/x': 'unknown',
  'm/fetch': 'fetch',
  'm/fetch/cam1': 'fetch cam1',
  'm/fetch/': 'unknown',
  'm/fetch/a b': 'unknown',
  'm/stat': 'stat',
  'm/stat/cam1': 'stat cam1',
  'm/reply': 'node',
  'm/reply/x/y': 'node',
  'm/state': 'node',
  'm/state/cam1': 'node',
  'm/data/cam1': 'node',
  'm/info': 'node',
  'm/event': 'node',
  'm/log/cam1': 'node',
  'm/usage/cam1': 'node',
  'm/take/cam1': 'node',
  'm/ack': 'ack',
  'm/ack/cam1': 'unknown',
  'm/': 'unknown',
  'm/nothing': 'unknown',
  m: 'free',
  'mm/cmd': 'free',
  'w/ch/cam1': 'put cam1',
  'w/ch/.cam1': 'unknown',
  'w/ch/cam1/': 'unknown',
  'w/ch/cam1/state': 'report cam1',
  'w/ch/cam1/state/x': 'unknown',
  'w/ch/cam1/cmd': 'node',
  'w/ch/cam1/cmd/7': 'node',
  'w/ch/cam1/cmd/7/cancel': 'node',
  'w/ch/cam1/reply/7': 'answer cam1 part 7',
  'w/ch/cam1/reply/7/end': 'answer cam1 end 7',
  'w/ch/cam1/reply/7/error': 'answer cam1 error 7',
  'w/ch/cam1/reply/7/more': 'unknown',
  'w/ch/cam1/reply/7/end/x': 'unknown',
  'w/ch/cam1/reply/': 'unknown',
  'w/ch/cam1/reply': 'unknown',
  'w/ch/.cam1/reply/7': 'unknown',
  'w/ch': 'unknown',
  'w/other': 'unknown',
  w: 'free',
  'tele/plug/SENSOR': 'free',
  '/m/cmd': 'free',
  $SYS: 'free',
};

function meaningOf(topics: Topics, topic: string): string {
  const meaning = topics.meaning(topic);
  if (meaning.kind === 'answer') return `answer ${meaning.taskId} ${meaning.part} ${meaning.callId}`;
  return 'taskId' in meaning && meaning.taskId !== undefined ? `${meaning.kind} ${meaning.taskId}` : meaning.kind;
}

test.each(['', 'site7/', '/'])('with the prefix %j every topic means what the map says', (prefix) => {
  const topics = new Topics(prefix);
  const found = Object.keys(MAP).map((topic) => [topic, meaningOf(topics, prefix + topic)]);
  expect(Object.fromEntries(found)).toEqual(MAP);
  if (prefix !== '') expect(meaningOf(topics, 'm/cmd')).toBe('free');
});

test('names that are made are names that are read', () => {
  const topics = new Topics('site7/');
  expect(meaningOf(topics, topics.cmd)).toBe('cmd');
  expect(meaningOf(topics, topics.taskCmd('a'))).toBe('task-cmd a');
  expect(meaningOf(topics, topics.fetch('a'))).toBe('fetch a');
  expect(meaningOf(topics, topics.stat())).toBe('stat');
  expect(meaningOf(topics, topics.put('a'))).toBe('put a');
  expect(meaningOf(topics, topics.workerState('a'))).toBe('report a');
  for (const part of ['part', 'end', 'error'] as const) {
    expect(meaningOf(topics, topics.workerAnswer('a', 'k3', part))).toBe(`answer a ${part} k3`);
  }
  const written = [topics.nodeState, topics.info, topics.event, topics.reply, topics.data('a'), topics.state('a')];
  const toWorkers = [topics.workerCmd('a'), topics.workerCall('a', 'k3'), topics.workerCancel('a', 'k3')];
  for (const topic of [...written, topics.log('a'), topics.usage('a'), ...toWorkers])
    expect(meaningOf(topics, topic)).toBe('node');
  expect(topics.isReply('site7/m/reply/x')).toBe(true);
  expect(topics.isReply('m/reply')).toBe(false);
});

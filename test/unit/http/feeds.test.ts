import { beforeEach, describe, expect, test, vi } from 'vitest';
import { LIMITS } from '../../../src/core/limits.js';
import { type FeedReader, Feeds } from '../../../src/http/feeds.js';
import { SeededRandom } from '../../fixtures/seeded-random.js';
import { VirtualClock } from '../../fixtures/virtual-clock.js';

const START_MS = 1_700_000_000_000;
/** Epochs of the rings, as the seeded secrets have them: that of `m/event` is the first. */
const EVENT = 'secret1';
const OTHER = 'secret2';

let clock: VirtualClock;
let feeds: Feeds;

beforeEach(() => {
  clock = new VirtualClock(START_MS);
  feeds = new Feeds({ clock, random: new SeededRandom(1) });
});

function tellAll(topic: string, from: number, to: number): void {
  for (let n = from; n <= to; n++) {
    feeds.tell(topic, `line ${n}`);
    clock.advance(0);
  }
}

/** All that a reader can take now. */
function taken(reader: FeedReader): string {
  let text = '';
  for (let piece = reader.next(); piece !== undefined; piece = reader.next()) text += piece.toString();
  return text;
}

/** The same without what it is told at its start, taking whenever it is woken. */
function listening(topic: string): { readonly text: () => string; readonly reader: FeedReader } {
  let text = '';
  const reader = feeds.listen(topic, undefined, () => {
    text += taken(reader);
  });
  taken(reader);
  return { text: () => text, reader };
}

function idsIn(text: string): number[] {
  return [...text.matchAll(/^id: .*-(\d+)$/gm)].map(([, n]) => Number(n));
}

describe('a message', () => {
  test('of m/event reaches every listener as it was published, with an id', () => {
    const one = listening('m/event');
    const two = listening('m/event');
    feeds.tell('m/event', '{"type":"restart"}');
    clock.advance(0);
    expect(one.text()).toBe(`id: ${EVENT}-1\ndata: {"type":"restart"}\n\n`);
    expect(two.text()).toBe(one.text());
  });

  test('is written once: all listeners get the same bytes', () => {
    const readers = [1, 2].map(() => feeds.listen('m/data/a', undefined, vi.fn()));
    for (const reader of readers) taken(reader);
    feeds.tell('m/data/a', Buffer.from('x'));
    feeds.tell('m/data/a', Buffer.from('y'));
    const [one, two] = readers.map((reader) => reader.next());
    expect(one).toBeDefined();
    expect(two).toBe(one);
  });

  test.each([
    ['text', Buffer.from('a "b"\r\nü'), '"payload":"a \\"b\\"\\r\\nü"'],
    ['bytes that are no text', Buffer.from([0xff, 0]), '"payload_base64":"/wA="'],
    ['nothing', Buffer.alloc(0), '"payload":""'],
  ])('of m/data carries %s, and when it came', (_title, payload, field) => {
    const { text } = listening('m/data/a');
    clock.advance(5);
    feeds.tell('m/data/a', payload);
    clock.advance(0);
    expect(text()).toBe(`id: ${OTHER}-1\ndata: {"ts":${START_MS + 5},${field}}\n\n`);
  });

  test('is kept apart from the bytes it was told with', () => {
    const { text } = listening('m/data/a');
    const payload = Buffer.from('before');
    feeds.tell('m/data/a', payload);
    payload.fill('x');
    clock.advance(0);
    expect(text()).toContain('"before"');
  });

  test.each([
    ['a\rb', 'data: a\ndata: b\n\n'],
    ['a\r\nb\nc\r', 'data: a\ndata: b\ndata: c\ndata: \n\n'],
    ['', 'data: \n\n'],
  ])('of m/log is cut into lines of data where %j would end one', (line, data) => {
    const { text } = listening('m/log/a');
    feeds.tell('m/log/a', line);
    clock.advance(0);
    expect(text()).toBe(`id: ${OTHER}-1\n${data}`);
  });

  test('of another topic is not heard', () => {
    const { text } = listening('m/data/a');
    feeds.tell('m/data/b', 'x');
    feeds.tell('m/log/a', 'x');
    feeds.tell('m/state/a', 'x');
    clock.advance(0);
    expect(text()).toBe('');
  });

  test('has the prefix where it is told, not where it is listened to', () => {
    feeds = new Feeds({ clock, random: new SeededRandom(1), prefix: 'site7/' });
    const event = listening('m/event');
    const data = listening('m/data/a');
    feeds.tell('site7/m/event', '{}');
    feeds.tell('site7/m/data/a', 'x');
    feeds.tell('m/data/a', 'not ours');
    clock.advance(0);
    expect(idsIn(event.text())).toEqual([1]);
    expect(idsIn(data.text())).toEqual([1]);
    expect(data.text()).toContain('"payload":"x"');
  });

  test('that nobody listens to is not kept, and sets no timer', () => {
    feeds.tell('m/data/a', 'x');
    expect(clock.pending).toBe(0);
    expect(taken(feeds.listen('m/data/a', undefined, vi.fn()))).toBe(`id: ${OTHER}-0\n\n`);
  });
});

describe('all tasks together', () => {
  test('are heard with their names, before and after some are listened to alone', () => {
    const all = listening('m/data');
    const one = listening('m/data/a');
    feeds.tell('m/data/a', 'x');
    feeds.tell('m/data/b.c', Buffer.from([0xff]));
    clock.advance(0);
    const datas = [...all.text().matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data));
    expect(datas).toEqual([
      { task_id: 'a', ts: START_MS, payload: 'x' },
      { task_id: 'b.c', ts: START_MS, payload_base64: '/w==' },
    ]);
    expect(one.text()).toContain(`data: {"ts":${START_MS},"payload":"x"}`);
  });

  test('have their lines as JSON, whatever is in them', () => {
    const all = listening('m/log');
    feeds.tell('m/log/a', 'one\rtwo "quoted"');
    feeds.tell('m/data/a', 'no line');
    feeds.tell('m/event', '{}');
    clock.advance(0);
    expect(all.text()).toBe(
      `id: ${OTHER}-1\ndata: {"task_id":"a","ts":${START_MS},"line":"one\\rtwo \\"quoted\\""}\n\n`,
    );
  });

  test('have a prefix as well', () => {
    feeds = new Feeds({ clock, random: new SeededRandom(1), prefix: 'site7/' });
    const all = listening('m/data');
    feeds.tell('site7/m/data/a', 'x');
    feeds.tell('m/data/b', 'y');
    clock.advance(0);
    expect(all.text()).toContain('"task_id":"a"');
    expect(idsIn(all.text())).toEqual([1]);
  });

  test('are not kept once nobody listens for a minute', () => {
    listening('m/data').reader.end();
    feeds.tell('m/data/a', 'kept');
    clock.advance(LIMITS.feedKeepMs);
    feeds.tell('m/data/a', 'not kept');
    expect(taken(feeds.listen('m/data', `${OTHER}-0`, vi.fn()))).toContain('"missed":null');
  });
});

describe('waking', () => {
  test('comes at the end of the turn, once for all of its messages', () => {
    const wake = vi.fn();
    const reader = feeds.listen('m/event', undefined, wake);
    taken(reader);
    feeds.tell('m/event', '1');
    feeds.tell('m/event', '2');
    expect(wake).not.toHaveBeenCalled();
    clock.advance(0);
    expect(wake).toHaveBeenCalledOnce();
    expect(idsIn(reader.next()?.toString() ?? '')).toEqual([1, 2]);
    expect(reader.next()).toBeUndefined();
  });

  test('of a thousand listeners comes at once, and the next time 20 ms later', () => {
    const wake = vi.fn();
    for (let index = 0; index < 1_000; index++) feeds.listen('m/event', undefined, wake);
    feeds.tell('m/event', '1');
    clock.advance(0);
    expect(wake).toHaveBeenCalledTimes(1_000);
    feeds.tell('m/event', '2');
    clock.advance(19);
    feeds.tell('m/event', '3');
    expect(wake).toHaveBeenCalledTimes(1_000);
    clock.advance(1);
    expect(wake).toHaveBeenCalledTimes(2_000);
    clock.advance(1_000);
    expect(wake).toHaveBeenCalledTimes(2_000);
  });

  test('does not reach who listens no more', () => {
    const wake = vi.fn();
    const reader = feeds.listen('m/event', undefined, wake);
    feeds.tell('m/event', '1');
    reader.end();
    clock.advance(0);
    expect(wake).not.toHaveBeenCalled();
  });

  test('comes in time for who keeps up with more in one turn than is kept', () => {
    const { text } = listening('m/log/a');
    const many = 3 * LIMITS.feedMessages;
    for (let n = 1; n <= many; n++) feeds.tell('m/log/a', `${n}`);
    clock.advance(0);
    expect(text()).not.toContain('event: gap');
    expect(idsIn(text())).toEqual(Array.from({ length: many }, (_, index) => index + 1));
  });
});

describe('who comes back', () => {
  test('gets what came after its last id, and no gap', () => {
    tellAll('m/event', 1, 5);
    const text = taken(feeds.listen('m/event', `${EVENT}-3`, vi.fn()));
    expect(text).toBe(`id: ${EVENT}-4\ndata: line 4\n\nid: ${EVENT}-5\ndata: line 5\n\n`);
  });

  test('and missed nothing gets nothing', () => {
    tellAll('m/event', 1, 5);
    expect(taken(feeds.listen('m/event', `${EVENT}-5`, vi.fn()))).toBe('');
  });

  test('without ever having got a message knows its place from the start', () => {
    tellAll('m/event', 1, 3);
    expect(taken(feeds.listen('m/event', undefined, vi.fn()))).toBe(`id: ${EVENT}-3\n\n`);
  });

  test('after more than is kept is told how many it missed, then gets the rest', () => {
    const many = LIMITS.feedMessages + 10;
    tellAll('m/event', 1, many);
    const text = taken(feeds.listen('m/event', `${EVENT}-3`, vi.fn()));
    expect(text.startsWith(`event: gap\nid: ${EVENT}-10\ndata: {"missed":7}\n\nid: ${EVENT}-11\n`)).toBe(true);
    expect(idsIn(text)).toEqual(Array.from({ length: LIMITS.feedMessages + 1 }, (_, index) => index + 10));
  });

  test('is told of a gap where the bytes were too many to keep', () => {
    const { reader } = listening('m/data/a');
    const large = Buffer.alloc(LIMITS.feedBytes / 4, 'x');
    for (let n = 1; n <= 6; n++) feeds.tell('m/data/a', large);
    reader.end();
    const text = taken(feeds.listen('m/data/a', `${OTHER}-1`, vi.fn()));
    expect(text).toContain('data: {"missed":2}\n');
    expect(idsIn(text)).toEqual([3, 4, 5, 6]);
  });

  test.each([
    ['of another run of the node', 'secret9-3'],
    ['that says nothing', 'rubbish'],
    ['of a message that never was', `${EVENT}-6`],
    ['with a number that is none', `${EVENT}-1e0`],
    ['with a number that no number can hold', `${EVENT}-${'9'.repeat(40)}`],
  ])('with an id %s is told that it may have missed anything, then gets all that is kept', (_title, id) => {
    tellAll('m/event', 1, 5);
    const text = taken(feeds.listen('m/event', id, vi.fn()));
    expect(text.startsWith(`event: gap\nid: ${EVENT}-0\ndata: {"missed":null}\n\n`)).toBe(true);
    expect(idsIn(text)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('to m/event finds what came while nobody listened', () => {
    const { reader } = listening('m/event');
    reader.end();
    clock.advance(10 * LIMITS.feedKeepMs);
    tellAll('m/event', 1, 2);
    expect(idsIn(taken(feeds.listen('m/event', `${EVENT}-0`, vi.fn())))).toEqual([1, 2]);
  });

  test('within a minute finds what came meanwhile, and it is kept on', () => {
    listening('m/log/a').reader.end();
    clock.advance(LIMITS.feedKeepMs - 1);
    tellAll('m/log/a', 1, 2);
    const back = feeds.listen('m/log/a', `${OTHER}-0`, vi.fn());
    clock.advance(10 * LIMITS.feedKeepMs);
    tellAll('m/log/a', 3, 3);
    expect(idsIn(taken(back))).toEqual([1, 2, 3]);
  });

  test('later is told of a gap: ids of then never name a message of now', () => {
    listening('m/log/a').reader.end();
    tellAll('m/log/a', 1, 3);
    clock.advance(LIMITS.feedKeepMs);
    expect(clock.pending).toBe(0);
    listening('m/log/a');
    tellAll('m/log/a', 1, 3);
    const text = taken(feeds.listen('m/log/a', `${OTHER}-2`, vi.fn()));
    expect(text).toContain('{"missed":null}');
    expect(text).not.toContain(OTHER);
    expect(idsIn(text)).toEqual([0, 1, 2, 3]);
  });

  test('finds only the topics that were left last, when too many were left', () => {
    for (let task = 0; task <= LIMITS.feedsIdleMax; task++) {
      listening(`m/log/${task}`).reader.end();
      feeds.tell(`m/log/${task}`, 'x');
    }
    expect(taken(feeds.listen('m/log/0', `${OTHER}-0`, vi.fn()))).toContain('{"missed":null}');
    expect(taken(feeds.listen('m/log/1', 'secret3-0', vi.fn()))).toBe('id: secret3-1\ndata: x\n\n');
  });
});

describe('who does not take', () => {
  test('finds later what is kept, and how many were too many; others do not notice', () => {
    const slow = feeds.listen('m/log/a', undefined, vi.fn());
    taken(slow);
    const { text } = listening('m/log/a');
    tellAll('m/log/a', 1, LIMITS.feedMessages + 7);
    const late = taken(slow);
    expect(late.startsWith(`event: gap\nid: ${OTHER}-7\ndata: {"missed":7}\n\n`)).toBe(true);
    expect(idsIn(late).at(-1)).toBe(LIMITS.feedMessages + 7);
    expect(idsIn(text())).toHaveLength(LIMITS.feedMessages + 7);
  });

  test('takes it in pieces of bounded size', () => {
    const slow = feeds.listen('m/log/a', undefined, vi.fn());
    tellAll('m/log/a', 1, LIMITS.feedMessages);
    const sizes: number[] = [];
    for (let piece = slow.next(); piece !== undefined; piece = slow.next()) sizes.push(piece.length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMITS.feedPieceBytes);
  });

  test('gets a message in one piece that is larger than all that is kept', () => {
    const slow = feeds.listen('m/data/a', undefined, vi.fn());
    taken(slow);
    feeds.tell('m/data/a', Buffer.alloc(2 * LIMITS.feedBytes, 'x'));
    clock.advance(0);
    expect(slow.next()?.length).toBeGreaterThan(2 * LIMITS.feedBytes);
  });

  test('loses the older half of the topic that holds most, when all topics hold too much', () => {
    const topics = LIMITS.feedsBytesMax / LIMITS.feedBytes + 2;
    const readers = Array.from({ length: topics }, (_, task) => feeds.listen(`m/data/${task}`, undefined, vi.fn()));
    for (const reader of readers) taken(reader);
    feeds.tell('m/event', 'small');
    // Four of them are what one topic may hold; all topics together hold two too many of those.
    const quarter = Buffer.alloc(LIMITS.feedBytes / 4 - 1_024, 'x');
    for (let task = 0; task < topics; task++) for (let n = 0; n < 4; n++) feeds.tell(`m/data/${task}`, quarter);
    const texts = readers.map(taken);
    const missed = texts.map((text) => Number(/"missed":(\d+)/.exec(text)?.[1] ?? 0));
    expect(missed.filter((count) => count > 0)).toEqual([2, 2, 2, 2]);
    expect(idsIn(taken(feeds.listen('m/event', `${EVENT}-0`, vi.fn())))).toEqual([1]);
  });

  test.each([1, 2, 3, 4, 5])('never loses a message without being told, whenever it takes (seed %i)', (seed) => {
    const random = new SeededRandom(seed);
    const readers = Array.from({ length: 5 }, () => feeds.listen('m/log/a', undefined, vi.fn()));
    const texts = readers.map(() => '');
    let told = 0;
    for (let step = 0; step < 2_000; step++) {
      for (let burst = random.between(0, 12); burst > 0; burst--) feeds.tell('m/log/a', `${++told}`);
      if (random.chance(0.5)) clock.advance(0);
      readers.forEach((reader, index) => {
        if (random.chance(index === 0 ? 0.9 : 0.003))
          texts[index] = `${texts[index]}${reader.next()?.toString() ?? ''}`;
      });
    }
    readers.forEach((reader, index) => {
      const text = `${texts[index]}${taken(reader)}`;
      const got = [...text.matchAll(/^data: (\d+)$/gm)].map(([, n]) => Number(n));
      const missed = [...text.matchAll(/"missed":(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
      expect(got.length + missed).toBe(told);
      expect(got).toEqual([...new Set(got)].sort((a, b) => a - b));
      if (index === 0) expect(missed).toBe(0);
      if (index === 4) expect(missed).toBeGreaterThan(0);
    });
  });
});

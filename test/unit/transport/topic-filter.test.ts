import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  captures,
  isTopicFilter,
  matches,
  misplacedWildcard,
  topicLevels,
} from '../../../src/transport/topic-filter.js';

describe('matches', () => {
  it.each([
    ['a', 'a', true],
    ['a', 'A', false],
    ['a', '/a', false],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['a/', 'a', false],
    ['a/', 'a/', true],
    ['ab', 'a', false],
    ['#', 'a/b/c', true],
    ['#', '/', true],
    ['a/#', 'a', true],
    ['a/#', 'a/', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['/#', 'a', false],
    ['/#', '/a', true],
    ['+', 'a', true],
    ['+', '/a', false],
    ['/+', '/a', true],
    ['+/+', '/a', true],
    ['+', 'a/b', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+/c', 'a//c', true],
    ['a/+/c', 'a/b/c', true],
    ['a/+/c', 'a/b/d', false],
    ['+/#', 'a', true],
    ['a/+/#', 'a', false],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ])('of %s and %s is %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected);
  });

  it.each([
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['$SYS/+', '$SYS/a', true],
    ['+/#', '$SYS', false],
    ['a/#', 'a/$b', true],
    ['a/+', 'a/$b', true],
  ])('keeps $ from a wildcard at the start [MQTT-4.7.2-1]: %s and %s is %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected);
  });

  it('agrees with the rules written down level by level', () => {
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        expect(matches(filter, topic)).toBe(naiveMatches(filter, topic));
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('captures', () => {
  it.each([
    ['tele/+/SENSOR', 'tele/kitchen/SENSOR', ['kitchen']],
    ['+/+', '/a', ['', 'a']],
    ['a/#', 'a/b/c', ['b/c']],
    ['a/#', 'a', ['']],
    ['+/b/#', 'a/b/c/d', ['a', 'c/d']],
    ['a/b', 'a/b', []],
    ['a/+', 'b/a', undefined],
    ['#', '$SYS/a', undefined],
  ])('of %s and %s is %j', (filter, topic, expected) => {
    expect(captures(filter, topic)).toEqual(expected);
  });

  it('finds what fills the wildcards, so that putting it back gives the topic', () => {
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        const found = captures(filter, topic);
        expect(found !== undefined).toBe(matches(filter, topic));
        if (!found) return;
        const filled = filter.replaceAll(/[+#]/g, () => found.shift() ?? '?');
        expect([topic, `${topic}/`]).toContain(filled);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('isTopicFilter', () => {
  it.each(['a', '/', '#', '+', 'a/#', '/#', '+/+/#', 'a//b', '+/', '$SYS/#', 'a b/ü'])('accepts %s', (filter) => {
    expect(isTopicFilter(filter)).toBe(true);
  });

  it.each([
    ['a#', '#', 'MQTT-4.7.1-2'],
    ['a/#/b', '#', 'MQTT-4.7.1-2'],
    ['#/', '#', 'MQTT-4.7.1-2'],
    ['##', '#', 'MQTT-4.7.1-2'],
    ['+#', '#', 'MQTT-4.7.1-2'],
    ['a+', '+', 'MQTT-4.7.1-3'],
    ['a/+b/c', '+', 'MQTT-4.7.1-3'],
    ['++', '+', 'MQTT-4.7.1-3'],
  ])('refuses %s for its %s [%s]', (filter, wildcard) => {
    expect(isTopicFilter(filter)).toBe(false);
    expect(misplacedWildcard(filter)).toBe(wildcard);
  });

  it('refuses the empty text [MQTT-4.7.3-1]', () => {
    expect(isTopicFilter('')).toBe(false);
  });
});

describe('topicLevels', () => {
  it.each([
    ['a', 1],
    ['a/b', 2],
    ['/a/', 3],
    ['/', 2],
    ['//', 3],
  ])('of %s is %i', (topic, levels) => {
    expect(topicLevels(topic)).toBe(levels);
  });
});

const level = fc.constantFrom('', 'a', 'b', 'ab', '$a');
const topics = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((topic) => topic.length > 0);
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.constantFrom([], ['#']))
  .map(([levels, last]) => [...levels, ...last].join('/'))
  .filter((filter) => filter.length > 0);

function naiveMatches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false;
  return naiveLevels(filter.split('/'), topic.split('/'));
}

function naiveLevels([filter, ...filters]: string[], [topic, ...topics]: string[]): boolean {
  if (filter === '#') return true;
  if (filter === undefined || topic === undefined) return filter === topic;
  return (filter === '+' || filter === topic) && naiveLevels(filters, topics);
}

/** Topic filters and names as text, MQTT 3.1.1 §4.7. */

const DOLLAR = 36;
const HASH = 35;
const PLUS = 43;

/** The wildcard that stands where it may not; nothing if each stands well.
 *  `#` is a whole level and the last one [MQTT-4.7.1-2]; `+` is a whole level [MQTT-4.7.1-3]. */
export function misplacedWildcard(filter: string): '#' | '+' | undefined {
  const levels = filter.split('/');
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1)) return '#';
    if (level.includes('+') && level !== '+') return '+';
  }
  return undefined;
}

/** True for the syntax of a filter: at least one character [MQTT-4.7.3-1], wildcards well placed. */
export function isTopicFilter(text: string): boolean {
  return text.length > 0 && misplacedWildcard(text) === undefined;
}

/** Levels of a topic or filter; empty ones count: `/a/` has three. */
export function topicLevels(topic: string): number {
  let levels = 1;
  for (let at = topic.indexOf('/'); at !== -1; at = topic.indexOf('/', at + 1)) levels++;
  return levels;
}

/** True if the filter, a valid one, matches the topic name.
 *  A wildcard at the start matches no topic that starts with `$` [MQTT-4.7.2-1]. `a/#` matches `a` too, `+` never a
 *  level that is not there, and an empty level is a level. */
export function matches(filter: string, topic: string): boolean {
  if (topic.charCodeAt(0) === DOLLAR && isWildcard(filter.charCodeAt(0))) return false;
  let filterAt = 0;
  let topicAt = 0;
  for (;;) {
    if (filter.charCodeAt(filterAt) === HASH) return true;
    const filterEnd = levelEnd(filter, filterAt);
    const topicEnd = levelEnd(topic, topicAt);
    if (filter.charCodeAt(filterAt) !== PLUS) {
      const sameLength = filterEnd - filterAt === topicEnd - topicAt;
      if (!sameLength || !filter.startsWith(topic.slice(topicAt, topicEnd), filterAt)) return false;
    }
    if (filterEnd === filter.length) return topicEnd === topic.length;
    if (topicEnd === topic.length) return filter.charCodeAt(filterEnd + 1) === HASH;
    filterAt = filterEnd + 1;
    topicAt = topicEnd + 1;
  }
}

/** What each wildcard matched, in order; for `#` the rest with its slashes, empty where it matched its parent level.
 *  Nothing if the filter does not match. */
export function captures(filter: string, topic: string): string[] | undefined {
  if (!matches(filter, topic)) return undefined;
  const levels = topic.split('/');
  const found: string[] = [];
  for (const [index, level] of filter.split('/').entries()) {
    if (level === '#') found.push(levels.slice(index).join('/'));
    else if (level === '+') found.push(levels[index] ?? '');
  }
  return found;
}

function isWildcard(charCode: number): boolean {
  return charCode === PLUS || charCode === HASH;
}

function levelEnd(text: string, from: number): number {
  const slash = text.indexOf('/', from);
  return slash === -1 ? text.length : slash;
}

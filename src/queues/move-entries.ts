import { DEFAULT_GROUP } from '../core/topics.js';
import type { TaskQueue } from './task-queue.js';

/** What one queue holds goes over to another one that is new. Its groups begin with the oldest of it; leases on it end. */
export function moveEntries(from: TaskQueue, to: TaskQueue, nowMs: number): void {
  to.counts = from.counts;
  for (const { name } of from.groups()) if (name !== DEFAULT_GROUP) to.define(name, 'first');
  for (const { seq, tsMs, payload, topic } of from.readFrom({ seq: 0 }, from.length, Number.POSITIVE_INFINITY)) {
    to.put(payload, { wallMs: tsMs, nowMs, arrival: from.arrivalOf(seq) }, topic);
  }
  to.accepting = from.accepting;
  from.purge();
}

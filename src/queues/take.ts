import type { Entry } from './entry.js';
import type { Holder } from './group.js';
import { lowerBound } from './lower-bound.js';
import type { TaskQueue } from './task-queue.js';

/** The next entry of one queue for a group. */
interface Head {
  readonly queue: TaskQueue;
  readonly seq: number;
  readonly arrival: number;
}

/** Leases up to `max` entries and `bytesMax` bytes from several queues to a holder, in order of arrival.
 *  The first entry may be larger than `bytesMax`: otherwise it could never be taken. */
export function takeInOrder(
  queues: readonly TaskQueue[],
  groupName: string,
  max: number,
  bytesMax: number,
  holder: Holder,
): Entry[] {
  const heads = queues.flatMap((queue) => headOf(queue, groupName) ?? []).sort((a, b) => a.arrival - b.arrival);
  const taken: Entry[] = [];
  let bytes = 0;
  while (taken.length < max) {
    const [head] = heads;
    if (head === undefined) break;
    const { queue, seq } = head;
    bytes += queue.bytesOf(seq);
    if (taken.length > 0 && bytes > bytesMax) break;
    const entry = queue.take(queue.group(groupName), seq, holder);
    // Whatever a log may lose: one that cannot be read must not be tried for ever.
    if (entry === undefined) heads.shift();
    else {
      taken.push(entry);
      queue.counts.took();
      moveOn(heads, groupName);
    }
  }
  return taken;
}

function headOf(queue: TaskQueue, groupName: string): Head | undefined {
  const seq = queue.next(queue.group(groupName));
  return seq === undefined ? undefined : { queue, seq, arrival: queue.arrivalOf(seq) };
}

/** Only the first queue moved on: it sinks to its new place, the others are in order already. */
function moveOn(heads: Head[], groupName: string): void {
  const [first] = heads;
  const next = first && headOf(first.queue, groupName);
  if (next === undefined) {
    heads.shift();
    return;
  }
  const place = lowerBound(1, heads.length, (at) => (heads[at]?.arrival ?? 0) < next.arrival);
  heads.splice(place, 0, next);
  heads.shift();
}

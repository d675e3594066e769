import type { Entry, TaskQueue } from './task-queue.js';

/** Leases up to `max` entries and `maxBytes` bytes from several queues, in order of arrival.
 *  The first entry may be larger than `maxBytes`: otherwise it could never be taken. */
export function takeInOrder(queues: readonly TaskQueue[], max: number, maxBytes: number): Entry[] {
  const heads = queues.filter((queue) => queue.peek() !== undefined).sort(byNextArrival);
  const taken: Entry[] = [];
  let bytes = 0;
  while (taken.length < max) {
    const queue = heads[0];
    const next = queue?.peek();
    if (!queue || !next) break;
    if (taken.length > 0 && bytes + next.bytes > maxBytes) break;
    bytes += next.bytes;
    const entry = queue.take();
    if (entry) taken.push(entry);
    restoreOrder(heads);
  }
  return taken;
}

function byNextArrival(a: TaskQueue, b: TaskQueue): number {
  return nextArrival(a) - nextArrival(b);
}

function nextArrival(queue: TaskQueue): number {
  return queue.peek()?.arrival ?? Number.POSITIVE_INFINITY;
}

/** Only the first queue moved on: it sinks to its new place, the others are in order already. */
function restoreOrder(heads: TaskQueue[]): void {
  const first = heads[0];
  if (!first) return;
  const arrival = nextArrival(first);
  let low = 1;
  let high = heads.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = heads[middle];
    if (other && nextArrival(other) < arrival) low = middle + 1;
    else high = middle;
  }
  if (low > 1) heads.splice(low - 1, 0, ...heads.splice(0, 1));
  if (arrival === Number.POSITIVE_INFINITY) heads.pop();
}

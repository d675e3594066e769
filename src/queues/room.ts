import type { QueueBounds } from '../core/task-record.js';
import type { ByteBudget } from './entry.js';

/** Evicted at a time from a queue that was made smaller: a million at once would hold up everybody. */
const STEP_ENTRIES = 1_000;

/** A queue as far as its room is concerned. */
export interface Roomy {
  readonly length: number;
  readonly bytes: number;
  readonly bounds: QueueBounds;
  /** False: there is nothing. */
  evictOldest(): boolean;
}

/** Room for an entry of so many bytes, by the queue's policy. False: there is none. */
export function makeRoom(queue: Roomy, budget: ByteBudget, more: number): boolean {
  const ofOthers = budget.bytes - queue.bytes;
  // Where it can never fit, nothing is evicted for it.
  if (more > queue.bounds.bytes || ofOthers + more > budget.bytesMax) return false;
  // One that was made smaller has no room for long, and gets there step by step.
  if (isOver(queue) && shrink(queue)) return true;
  while (!hasRoom(queue, budget, more)) {
    if (queue.bounds.overflow !== 'drop_oldest' || !queue.evictOldest()) return false;
  }
  return true;
}

/** Evicts some of what is over the bounds, where its policy is to evict. Whether it is still over them. */
export function shrink(queue: Roomy): boolean {
  if (queue.bounds.overflow !== 'drop_oldest') return false;
  for (let step = 0; step < STEP_ENTRIES && isOver(queue); step += 1) if (!queue.evictOldest()) return false;
  return isOver(queue);
}

function isOver({ length, bytes, bounds }: Roomy): boolean {
  return length > bounds.length || bytes > bounds.bytes;
}

function hasRoom({ length, bytes, bounds }: Roomy, budget: ByteBudget, more: number): boolean {
  return length < bounds.length && bytes + more <= bounds.bytes && budget.bytes + more <= budget.bytesMax;
}

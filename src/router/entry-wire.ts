import { payloadToWire } from './payload.js';
import type { QueuedEntry } from './ports.js';

/** An entry as replies show it. */
export function entryToWire(entry: QueuedEntry, base64: boolean): Record<string, unknown> {
  return {
    task_id: entry.taskId,
    seq: entry.seq,
    ts: entry.tsMs,
    attempts: entry.attempts,
    ...(entry.topic === undefined ? {} : { topic: entry.topic }),
    ...payloadToWire(entry.payload, base64),
  };
}

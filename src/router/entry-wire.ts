import { payloadText, payloadToWire } from './payload.js';
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

/** The same as JSON. Task ids need no escapes. */
export function entryText({ taskId, seq, tsMs, attempts, topic, payload }: QueuedEntry, base64: boolean): string {
  const routed = topic === undefined ? '' : `,"topic":${JSON.stringify(topic)}`;
  return `{"task_id":"${taskId}","seq":${seq},"ts":${tsMs},"attempts":${attempts}${routed},${payloadText(payload, base64)}}`;
}

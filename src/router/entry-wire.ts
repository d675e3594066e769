import { isUtf8 } from 'node:buffer';
import type { QueuedEntry } from './ports.js';

/** An entry as replies show it. The payload is text where its bytes are UTF-8, else base64. */
export function entryToWire(entry: QueuedEntry, base64: boolean): Record<string, unknown> {
  const { payload } = entry;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    task_id: entry.taskId,
    seq: entry.seq,
    ts: entry.tsMs,
    attempts: entry.attempts,
    ...(entry.topic === undefined ? {} : { topic: entry.topic }),
    ...(base64 || !isUtf8(bytes) ? { payload_base64: bytes.toString('base64') } : { payload: bytes.toString('utf8') }),
  };
}

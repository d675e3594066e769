import { EntryColumns } from './entry-columns.js';
import type { EntryLog } from './entry-log.js';

const nothing = () => undefined;

/** A log in memory: it ends with the node, so nothing waits for a flush and nothing is written down. */
export class MemoryLog extends EntryColumns implements EntryLog {
  readonly flushedSeq = Number.POSITIVE_INFINITY;
  readonly isWritable: boolean = true;
  readonly attach = nothing;
  readonly changed = nothing;
  readonly marked = nothing;
  readonly markedDead = nothing;
  readonly whenFlushed = nothing;
}

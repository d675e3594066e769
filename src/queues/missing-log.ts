import { MemoryLog } from './memory-log.js';

/** Stands for a log on a disk that cannot be opened now: it has nothing, and takes nothing. */
export class MissingLog extends MemoryLog {
  override readonly isWritable = false;
}

import { join } from 'node:path';
import { LogFiles } from '../adapters/log-files.js';
import type { ConfigWire } from '../core/config-schema.js';
import { LIMITS } from '../core/limits.js';
import type { Clock, Logger } from '../core/ports.js';

/** Files for the lines of the workers, where the config has a place for them. */
export function logFilesOf({ logs, data_dir }: ConfigWire, log: Logger, clock: Clock): LogFiles | undefined {
  const dir = logs?.dir ?? (data_dir === undefined ? undefined : join(data_dir, 'logs'));
  const files = logs?.files ?? LIMITS.logFiles;
  if (dir === undefined || files === 0) return undefined;
  const fileBytes = logs?.file_bytes ?? LIMITS.logFileBytes;
  return new LogFiles({ dir, fileBytes, files, openMax: LIMITS.logFilesOpenMax, log, clock });
}

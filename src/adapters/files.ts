import { readFileSync } from 'node:fs';
import { isErrno } from './errno.js';

/** A file as text; undefined where there is none.
 *  @throws what else keeps it from being read, such as EACCES */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error) && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

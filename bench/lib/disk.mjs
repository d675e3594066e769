import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { scratch } from './processes.mjs';

/** What is measured on a disk must be on one. */

/** statfs(2): file systems in memory. */
const IN_MEMORY = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
]);
/** stat(2): `st_blocks` counts these, whatever the file system's own blocks are. */
const BLOCK_BYTES = 512;

/** A folder on a disk that is removed at the end.
 *  @throws When the system's temporary folder is in memory */
export function diskFolder() {
  const folder = scratch();
  const found = IN_MEMORY.get(statfsSync(folder).type);
  if (found) throw new Error(`TMPDIR: expected a folder on a disk, got ${found}; try TMPDIR=/var/tmp`);
  return folder;
}

/** MiB that the files of a folder take on the disk. */
export function mibOnDisk(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const blocks = files.map(
    ({ parentPath, name }) => statSync(join(parentPath, name), { throwIfNoEntry: false })?.blocks,
  );
  return (blocks.reduce((sum, count = 0) => sum + count, 0) * BLOCK_BYTES) / 2 ** 20;
}

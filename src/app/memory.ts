import { openChildJournal } from '../adapters/child-journal.js';
import { openDataDir } from '../adapters/data-dir.js';
import { endLeftovers } from '../adapters/leftovers.js';
import type { ChildJournal, Clock, Logger } from '../core/ports.js';

export interface NodeMemory {
  readonly journal: ChildJournal | undefined;
  close(): void;
}

/** Opens the data directory, if there is one, and ends what a crash of the last run left of its children.
 *  @throws SuperNodeError SN_ERR_DATA_DIR */
export async function openMemory(dataDir: string | undefined, log: Logger, clock: Clock): Promise<NodeMemory> {
  if (dataDir === undefined) return { journal: undefined, close: () => undefined };
  const directory = openDataDir(dataDir);
  try {
    const { journal, leftovers, close } = openChildJournal(directory.path, log);
    const { ended, living } = await endLeftovers(leftovers, log, clock);
    for (const child of leftovers) if (!living.includes(child)) journal.gone(child);
    if (ended > 0) log.warn({ ended }, 'ended processes that the last run had left behind');
    return {
      journal,
      close: () => {
        close();
        directory.close();
      },
    };
  } catch (error) {
    directory.close();
    throw error;
  }
}

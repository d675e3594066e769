import { openChildJournal } from '../adapters/child-journal.js';
import { type DataDir, openDataDir } from '../adapters/data-dir.js';
import { endLeftovers } from '../adapters/leftovers.js';
import { openTaskFile } from '../adapters/task-file.js';
import type { ChildJournal, Clock, Logger, TaskStore } from '../core/ports.js';
import type { RememberedTask } from '../core/task-record.js';

export interface NodeMemory {
  readonly journal: ChildJournal | undefined;
  readonly tasks: TaskStore | undefined;
  /** What was commanded before. */
  readonly remembered: readonly RememberedTask[];
  close(): Promise<void>;
}

const NOTHING: NodeMemory = {
  journal: undefined,
  tasks: undefined,
  remembered: [],
  close: () => Promise.resolve(),
};

/** Opens the data directory, if there is one, and ends what a crash of the last run left of its children.
 *  @param held The directory, where the caller has it already, and keeps it for longer
 *  @throws SuperNodeError SN_ERR_DATA_DIR */
export async function openMemory(
  dataDir: string | undefined,
  log: Logger,
  clock: Clock,
  held?: DataDir,
): Promise<NodeMemory> {
  if (dataDir === undefined) return NOTHING;
  const directory = held ?? openDataDir(dataDir);
  const leave = () => {
    if (!held) directory.close();
  };
  try {
    const { journal, leftovers, close } = openChildJournal(directory.path, log);
    const { ended, living } = await endLeftovers(leftovers, log, clock);
    for (const child of leftovers) if (!living.includes(child)) journal.gone(child);
    if (ended > 0) log.warn({ ended }, 'ended processes that the last run had left behind');
    const { store, remembered, close: closeTasks } = openTaskFile(directory.path, log, clock);
    return {
      journal,
      tasks: store,
      remembered,
      close: async () => {
        close();
        await closeTasks();
        leave();
      },
    };
  } catch (error) {
    leave();
    throw error;
  }
}

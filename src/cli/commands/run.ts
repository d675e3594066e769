import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { LoadedConfig } from '../../app/config-file.js';
import { asFailure, EXIT, Failure } from '../failure.js';
import type { Io } from '../io.js';

export const DEFAULT_CONFIG_FILE = 'super-node.yaml';

/** What a node that runs can do for the command line. */
interface RunningNode {
  close(): Promise<void>;
}

export type StartNode = (config: LoadedConfig) => Promise<RunningNode>;

/** run: the node itself, until SIGINT or SIGTERM. */
export function addRunCommand(program: Command, io: Io, startNode: StartNode = startDaemon): void {
  program
    .command('run')
    .description('run a node until SIGINT or SIGTERM')
    .option('-c, --config <file>', `config file (default ./${DEFAULT_CONFIG_FILE} where it exists)`)
    .addHelpText(
      'after',
      `
Without a config file the node listens on mqtt 127.0.0.1:1883 and http 127.0.0.1:8080 and has no templates.
The first SIGINT or SIGTERM ends the workers, then the node; a second one ends it at once.`,
    )
    .action(async (options: { config?: string }) => {
      const { loadConfig, defaultConfig } = await import('../../app/config-file.js');
      const file = options.config ?? (existsSync(DEFAULT_CONFIG_FILE) ? DEFAULT_CONFIG_FILE : undefined);
      const config = file === undefined ? defaultConfig() : loadConfig(file, io.env);
      const node = await started(startNode, config);
      await aborted(io.interrupted);
      await node.close();
    });
}

/** A start that fails ends with 1 and one line, whatever it failed of. */
async function started(startNode: StartNode, config: LoadedConfig): Promise<RunningNode> {
  try {
    return await startNode(config);
  } catch (thrown) {
    const { message, code } = asFailure(thrown);
    throw new Failure(EXIT.refused, message, { code });
  }
}

async function startDaemon(config: LoadedConfig): Promise<RunningNode> {
  const daemon = await import('../../app/daemon.js');
  return daemon.startDaemon(config);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

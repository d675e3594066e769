import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { LoadedConfig } from '../../app/config-file.js';
import { EXIT, Failure } from '../failure.js';
import { type Io, writeLine } from '../io.js';
import { lookOf, renderTable } from '../table.js';
import { oneLine } from '../text.js';
import { INITIAL_CONFIG } from './initial-config.js';
import { DEFAULT_CONFIG_FILE } from './run.js';

/** init and check: the config file before a node runs. */
export function addConfigCommands(program: Command, io: Io): void {
  program
    .command('init')
    .argument('[file]', 'where to write it', DEFAULT_CONFIG_FILE)
    .description('write a config file with comments')
    .option('--force', 'overwrite a file that is there')
    .action(async (file: string, options: { force?: boolean }) => {
      await writeConfig(file, options.force === true);
      await writeLine(io.stdout, `${oneLine(file)} written; next: super-node run -c ${oneLine(file)}`);
    });
  program
    .command('check')
    .argument('[file]', 'config file', DEFAULT_CONFIG_FILE)
    .description('check a config file and show what it says')
    .addHelpText('after', '\nExit code 0: valid, 2: not valid; the message tells file and line.')
    .action(async (file: string) => {
      const { loadConfig } = await import('../../app/config-file.js');
      const config = loadConfig(file, io.env);
      await writeLine(io.stdout, [`${oneLine(file)} is valid`, ...summary(config, io)].join('\n'));
    });
}

async function writeConfig(file: string, overwrite: boolean): Promise<void> {
  try {
    await writeFile(file, INITIAL_CONFIG, { flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const why = code === 'EEXIST' ? 'it exists already; --force overwrites it' : `got ${String(code ?? error)}`;
    throw new Failure(EXIT.usage, `${file}: expected a file that can be written, ${why}`);
  }
}

function summary({ listeners, workers = {}, tasks = [], routes = [] }: LoadedConfig, io: Io): string[] {
  const rows = [
    ...listeners.map(({ type, host, port }) => ['listener', type, `${host ?? '127.0.0.1'}:${port}`]),
    ...Object.entries(workers).map(([name, { command }]) => ['template', name, command?.join(' ') ?? '(net client)']),
    ...tasks.map(({ task_id, worker, command }) => [
      'task',
      task_id,
      worker === undefined ? (command?.join(' ') ?? '(net client)') : `worker ${worker}`,
    ]),
    ...routes.map(({ from, task_id }) => ['route', from, task_id]),
  ];
  const [, ...lines] = renderTable([{ title: '' }, { title: '' }, { title: '' }], rows, lookOf(io.stdout, io.env));
  return lines.map((line) => `  ${line}`);
}

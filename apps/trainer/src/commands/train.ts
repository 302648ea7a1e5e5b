import type { Command } from 'commander';

import { execute } from './execute';
import { loadConfig, type LoadedConfig } from './load-config';
import { settingsOption } from './options';

interface TrainOptions {
  set: string[];
  resume: boolean;
  out?: string;
}

export function registerTrain(program: Command): void {
  withOptions(program.command('train'))
    .description('Train a model, or run a comparison of methods or a sweep, as a configuration says.')
    .action(async (nameOrPath: string, options: TrainOptions) => {
      await executeAs('train', nameOrPath, options, await loadConfig(nameOrPath, options.set));
    });
}

/** What `train` and `sweep` take. */
export function withOptions(command: Command): Command {
  return command
    .argument('<config>', 'a JSON file, or a preset (`mixsga presets` lists them)')
    .addOption(settingsOption())
    .option('--resume', 'continue what the folder holds', false)
    .option('--out <folder>', 'where it goes (default: mixsga-<name of the configuration>)');
}

export async function executeAs(command: string, nameOrPath: string, { set, resume, out }: TrainOptions, loaded: LoadedConfig): Promise<void> {
  const folder = out ?? `mixsga-${loaded.name}`;
  const again = [`mixsga ${command}`, nameOrPath, ...set.map((setting) => `--set '${setting}'`), '--out', folder, '--resume'];
  await execute(loaded, { folder, resume, again: again.join(' ') });
}

import { ArgumentError } from '@mixsga/backend';
import type { Command } from 'commander';

import { loadConfig } from './load-config';
import { executeAs, withOptions } from './train';

export function registerSweep(program: Command): void {
  withOptions(program.command('sweep'))
    .description('Run every combination of a grid of settings and seeds, and tell the best by a metric. Finished runs are kept with --resume, also when the grid grows.')
    .action(async (nameOrPath: string, options: Parameters<typeof executeAs>[2]) => {
      const loaded = await loadConfig(nameOrPath, options.set);
      if (loaded.config.kind !== 'sweep') {
        throw new ArgumentError(`${loaded.source}: kind: expected "sweep", got "${loaded.config.kind}"; mixsga train runs it`);
      }
      await executeAs('sweep', nameOrPath, options, loaded);
    });
}

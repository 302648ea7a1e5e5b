import { alignedRows } from '@mixsga/report';
import { presets } from '@mixsga/training';
import type { Command } from 'commander';

import { print } from './options';

export function registerPresets(program: Command): void {
  program
    .command('presets')
    .description('List the configurations that `mixsga train` knows by name.')
    .argument('[text]', 'only those whose name or description has it')
    .action((text = '') => {
      const rows = Object.entries(presets)
        .filter(([name, { about }]) => `${name} ${about}`.toLowerCase().includes(String(text).toLowerCase()))
        .map(([name, { about, config }]) => [name, config.kind ?? 'run', about]);
      print(alignedRows([['preset', 'kind', 'what'], ...rows], 3));
    });
}

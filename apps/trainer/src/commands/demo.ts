import type { Command } from 'commander';

import { execute } from './execute';
import { loadConfig } from './load-config';
import { settingsOption } from './options';

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description(
      'Continue the shipped model with each attention method on the same tokens, and compare them at equal KV budget: ' +
        'minutes on two cores. Runs that the folder holds already are kept or continued.',
    )
    .addOption(settingsOption())
    .option('--out <folder>', 'where the report goes', 'mixsga-demo')
    .action(async (options: { set: string[]; out: string }) => {
      const loaded = await loadConfig('demo', options.set);
      const settings = options.set.map((setting) => `--set '${setting}'`);
      const again = ['mixsga demo', ...settings, '--out', options.out].join(' ');
      await execute(loaded, { folder: options.out, resume: true, again });
    });
}

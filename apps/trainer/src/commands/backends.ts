import { describeBackends } from '@mixsga/backend';
import type { Command } from 'commander';

import { print, printJson } from './options';

export function registerBackends(program: Command): void {
  program
    .command('backends')
    .description('Show which backends can start on this machine, and why the others cannot.')
    .option('--json', 'print [{name, tfjsName, available, software, detail, reason?, install?}]', false)
    .action(async ({ json }: { json: boolean }) => {
      const backends = await describeBackends();
      if (json) return printJson(backends);
      for (const { name, available, detail, reason, install } of backends) {
        const why = [reason, install].filter(Boolean).join('; ');
        print(`${name.padEnd(8)}${available ? `available  ${detail}` : `not available: ${why}`}`);
      }
    });
}

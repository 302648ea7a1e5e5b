import { inspectModel, knownModels } from '@mixsga/models';
import type { Command } from 'commander';

import { print, printJson } from './options';

export function registerInspect(program: Command): void {
  program
    .command('inspect')
    .description('Show the size of a model and of its KV cache under an attention variant. Nothing is downloaded.')
    .argument('<model>', `a folder, the name of a shipped model, or one of ${Object.keys(knownModels).join(', ')}`)
    .option('--attention <spec>', 'mha, gqa:2, cla:2, mixsga:3:1:6, or mixsga:3:1:6@1,2,4 (default: its own)')
    .option('--json', 'print one JSON object: name, family, attention, parameters, layers, ..., kvBytesPerToken', false)
    .action(async (name: string, { attention, json }: { attention?: string; json: boolean }) => {
      const report = await inspectModel(name, attention);
      if (json) return printJson(report);
      for (const [key, value] of Object.entries(report)) print(`${key.padEnd(22)}${String(value)}`);
    });
}

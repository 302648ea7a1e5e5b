import { inspectModel, knownModels } from '@mixsga/models';
import type { Command } from 'commander';

import { print, printJson } from './options';

export function registerInspect(program: Command): void {
  program
    .command('inspect')
    .description('Show what a model takes under an attention variant: memory, KV cache and work, and how this machine can run it. No weights are downloaded.')
    .argument('<model>', `a folder, the name of a shipped model, an id of the hub, or one of ${Object.keys(knownModels).join(', ')}`)
    .option('--attention <spec>', 'mha, gqa:2, cla:2, mixsga:3:1:6, or mixsga:3:1:6@1,2,4 (default: its own)')
    .option('--json', 'print one JSON object: name, family, attention, parameters, layers, ..., kvBytesPerToken', false)
    .action(async (name: string, { attention, json }: { attention?: string; json: boolean }) => {
      const report = await inspectModel(name, attention);
      if (json) return printJson(report);
      const { fits, ...rest } = report;
      for (const [key, value] of Object.entries(rest)) print(`${key.padEnd(22)}${line(value)}`);
      const ways = fits.map(({ backend, weights, tokens }) => `${backend} ${weights} (${tokens.toLocaleString('en')} tokens)`);
      print(`${'fits'.padEnd(22)}${ways.join(', ') || 'nowhere on this machine'}`);
    });
}

function line(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value).map(([name, number]) => `${name} ${String(number)}`).join(', ');
}

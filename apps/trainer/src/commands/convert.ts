import { readdir } from 'node:fs/promises';

import { ArgumentError, startBackend } from '@mixsga/backend';
import { convertModel, loadTokenizer, OptModel, readCheckpoint, resolveModel } from '@mixsga/models';
import type { RouterKind } from '@mixsga/router';
import { type Command, Option } from 'commander';

import { routerKinds } from '../training/config';
import { saveModel } from '../training/model';
import { print } from './options';

interface ConvertOptions {
  attention: string;
  out: string;
  router: RouterKind;
  seed: string;
}

export function registerConvert(program: Command): void {
  program
    .command('convert')
    .description('Convert a model with plain attention (mha) to another attention variant, ready to be continued.')
    .argument('<model>', 'a folder, or the name of a shipped model')
    .requiredOption('--attention <spec>', 'gqa:2, cla:2, mixsga:3:1:6, or mixsga:3:1:6@1,2,4 with its group sizes')
    .requiredOption('--out <folder>', 'where the converted model goes')
    .addOption(new Option('--router <kind>', 'router of a variant with experts').choices(routerKinds).default('sigmoid'))
    .option('--seed <n>', 'seed of the new routers', '0')
    .action(async (name: string, options: ConvertOptions) => {
      const routerSeed = Number(options.seed);
      if (!Number.isInteger(routerSeed) || routerSeed < 0) {
        throw new ArgumentError(`--seed: expected a whole number, got ${JSON.stringify(options.seed)}`);
      }
      if ((await readdir(options.out).catch((): string[] => [])).length > 0) {
        throw new ArgumentError(`--out: ${options.out} is not empty; give a new folder`);
      }
      const { directory } = await resolveModel(name);
      const source = await readCheckpoint(directory);
      const tokenizer = await loadTokenizer(directory);
      const converted = convertModel(source.config, source.values, options.attention, { router: options.router, routerSeed });
      await startBackend('cpu'); // the weights are only moved
      const model = new OptModel(converted.config, converted.values);
      await saveModel(options.out, { model, tokenizer });
      print(`${options.out}: ${model.attention.spec}, ${100 * model.attention.kvBudget} % of the KV cache`);
      model.dispose();
    });
}

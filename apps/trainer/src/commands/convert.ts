import { readdir } from 'node:fs/promises';

import { ArgumentError, startBackend } from '@mixsga/backend';
import { convertCheckpoint, keptShare, modelShape, parseAttention, removeLeftovers, removeUnfinished } from '@mixsga/models';
import { routerNames } from '@mixsga/router';
import { downloadProgress, Interrupted, isLockFile, ProgressLine, withInterruption, withOutputFolder } from '@mixsga/training/node';
import { type Command, Option } from 'commander';

import { print } from './options';

interface ConvertOptions {
  attention: string;
  out: string;
  router: string;
  seed: string;
  align?: true;
}

export function registerConvert(program: Command): void {
  program
    .command('convert')
    .description('Convert a model with plain attention (mha) to another attention variant, ready to be continued.')
    .argument('<model>', 'a folder, the name of a shipped model, or an id of the hub')
    .requiredOption('--attention <spec>', 'gqa:2, cla:2, mixsga:3:1:6, or mixsga:3:1:6@1,2,4 with its group sizes')
    .requiredOption('--out <folder>', 'where the converted model goes')
    .addOption(new Option('--router <kind>', 'router of a variant with experts').choices(routerNames()).default('sigmoid'))
    .option('--seed <n>', 'seed of the new routers', '0')
    .option('--align', 'first permute and turn heads so that those of a group are alike; the unmodified model stays the same')
    .action((name: string, options: ConvertOptions) => withInterruption(async (signal) => {
      const routerSeed = Number(options.seed);
      if (!Number.isInteger(routerSeed) || routerSeed < 0) {
        throw new ArgumentError(`--seed: expected a whole number, got ${JSON.stringify(options.seed)}`);
      }
      const { attention, out, router, align } = options;
      const config = await withOutputFolder(out, async () => {
        // Of an earlier one that was killed.
        await removeLeftovers(out);
        await removeUnfinished(out);
        if ((await readdir(out)).some((file) => !isLockFile(file))) throw new ArgumentError(`--out: ${out} is not empty; give a new folder`);
        await startBackend('cpu'); // for the routers; the weights are only moved
        const line = new ProgressLine();
        return convertCheckpoint(name, out, { attention, router, routerSeed, align, signal, progress: downloadProgress(line) }).catch((error: unknown) => {
          throw signal.aborted ? new Interrupted('stopped; nothing was written') : error;
        }).finally(() => line.clear());
      });
      const variant = parseAttention(attention);
      print(`${out}: ${variant.spec}, ${100 * keptShare(modelShape(config), variant)} % of the KV cache`);
    }));
}

import { type BackendName, type WeightType, weightTypes } from '@mixsga/backend';
import { alignedTable } from '@mixsga/bench';
import { PART_NAMES } from '@mixsga/training';
import { type AllocatedModel, allocateModel, type AllocateOptions, Interrupted, ProgressLine, withInterruption } from '@mixsga/training/node';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { positiveInteger, print, printJson } from './options';

interface Options extends Omit<AllocateOptions, 'signal' | 'line'> {
  readonly backend: BackendName;
  readonly weights: WeightType;
  readonly json: boolean;
}

export function registerAllocate(program: Command): void {
  program
    .command('allocate')
    .description('Choose the ratios of each layer under one KV budget, by what each layer loses on a text when its tokens are grouped.')
    .argument('<model>', 'a folder, the name of a shipped model, or an id of the hub; with plain attention (mha)')
    .requiredOption('--attention <spec>', 'a variant with experts, such as mixsga:3:1:6: the ratios that a layer may be above or below')
    .option('--budget <share>', 'share of the KV cache to keep, such as 0.5 (default: what --attention keeps)', share)
    .option('--align', 'align heads before they are grouped, as convert --align does', false)
    .option('--steps <n>', 'how many ratios to measure above and below those of --attention, each', positiveInteger, 4)
    .option('--data <data>', 'the text: sotu, a file or folder of text, JSON Lines or Parquet, or a data set of the hub', 'sotu')
    .addOption(new Option('--split <part>', 'part of the text').choices(PART_NAMES).default('train'))
    .option('--max-windows <n>', 'windows of the text, spread evenly over it', positiveInteger, 64)
    .option('--window-length <n>', "predictions in a window (default: the model's context length)", positiveInteger)
    .option('--backend <name>', 'wasm, cpu, webgpu, cuda, or auto', 'wasm')
    .addOption(new Option('--weights <type>', 'element type of the packed weights').choices(weightTypes).default('f32'))
    .option('--json', 'print one JSON object: spec, budget, layers with what was measured, ...', false)
    .action((model: string, options: Options) => withInterruption((signal) => allocate(model, options, signal)));
}

async function allocate(model: string, { json, ...options }: Options, signal: AbortSignal): Promise<void> {
  const line = new ProgressLine();
  const allocated = await allocateModel(model, { ...options, signal, line })
    .catch((error: unknown) => {
      throw signal.aborted ? new Interrupted('stopped; nothing was written') : error;
    })
    .finally(() => line.clear());
  if (json) return printJson({ schema: 'mixsga/allocate@1', ...allocated });
  print(tableOf(allocated));
}

function tableOf({ layers, corpus, split, windows, windowLength, loss, uniformLoss, spec }: AllocatedModel): string {
  const percent = (part: number) => `${Number((100 * part).toFixed(1))} %`;
  const ratioText = (ratios: readonly number[]) => ratios.map((ratio) => Number(ratio.toFixed(3))).join(':');
  const { rungs } = layers[0]!;
  const measured = [
    ['layer', ...rungs.map(({ budget }) => percent(budget)), 'gets', 'ratios'],
    ...layers.map((layer, i) => [
      String(i + 1), ...layer.rungs.map((rung) => rung.loss.toFixed(4)), percent(layer.budget), ratioText(layer.ratios),
    ]),
  ];
  return [
    `Nats a token lost when one layer keeps so much of its KV cache and every other ${percent(rungs.at(-1)!.budget)} (${windows} windows of ${windowLength} tokens of ${corpus}, ${split}):`,
    alignedTable(measured, measured[0]!.map((_, column) => column).slice(0, -1)),
    `Sum over layers: ${loss.toFixed(4)}, with uniform ratios ${uniformLoss.toFixed(4)}.`,
    spec,
  ].join('\n');
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('expected a number above 0 and at most 1');
  return value;
}

import { type KvType, kvTypes, streamingBandwidth, type WeightType, weightTypes } from '@mixsga/backend';
import { benchDecode, type BenchDecodeOptions, benchKernels, benchPrefill, benchTrain, formatBenchDecode, formatBenchKernels, formatBenchPrefill, formatBenchTrain } from '@mixsga/bench';
import { parseAttention } from '@mixsga/models';
import { checkOutputFile, ProgressLine, writeOutputFile } from '@mixsga/training/node';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { print, printJson } from './options';

interface Common {
  seconds: number;
  json?: string | true;
}

export function registerBench(program: Command): void {
  const bench = program.command('bench').description('Measure speed on this machine.');
  withCommon(bench.command('train'), 10)
    .description(
      'Training speed of an OPT of 1.07 M parameters, one thread: mha, gqa:2 and mixsga:3:1:6 on wasm, stock TensorFlow.js, and PyTorch where it is found, in turn.',
    )
    .option('--python <path>', 'the Python to look for torch in', 'python3')
    .action(({ seconds, python, json }: Common & { python: string }) =>
      report(json, formatBenchTrain, (onSlice) => benchTrain({ seconds, python, onSlice })),
    );
  withCommon(bench.command('decode'), 5)
    .description(
      "Decode speed of a model of OPT-125m's shape, one thread: mha, gqa:2 and mixsga:3:1:6 in each weight type and at each context, in turn, beside plain TensorFlow.js with gqa:2.",
    )
    .addOption(listOption('--contexts <list>', 'tokens in the cache', count, [16, 1024, 4096, 8192]))
    .addOption(listOption('--weights <list>', 'element types of the weights', weightType, weightTypes))
    .addOption(listOption('--kv <list>', 'element types of the KV cache; f32,int8 runs each variant with both in turn', kvType, ['f32']))
    .addOption(listOption('--also <list>', 'attention variants without routing that run beside these, such as latent:1@8', unrouted, []))
    .addOption(new Option('--backend <name>', 'webgpu: tells dispatches and bytes a token').choices(['wasm', 'webgpu']).default('wasm'))
    .action(({ json, ...options }: Common & Pick<BenchDecodeOptions, 'contexts' | 'weights' | 'kv' | 'also' | 'backend' | 'seconds'>) =>
      report(json, formatBenchDecode, (onSlice) =>
        benchDecode({ ...options, bandwidth: options.backend === 'wasm' ? streamingBandwidth : null, onSlice }),
      ),
    );
  withCommon(bench.command('prefill'), 5)
    .description('How fast the same models take in a prompt, beside plain TensorFlow.js with gqa:2.')
    .option('--tokens <n>', 'length of the prompt', count, 512)
    .addOption(listOption('--weights <list>', 'element types of the weights', weightType, weightTypes))
    .action(({ json, ...options }: Common & { tokens: number; weights: WeightType[] }) =>
      report(json, formatBenchPrefill, (onSlice) => benchPrefill({ ...options, onSlice })),
    );
  withCommon(bench.command('kernels'), 2)
    .description('The kernels of a decode step alone: attention at 1024, 4096 and 8192 tokens, and products of one row.')
    .action(({ json, seconds }: Common) =>
      report(json, formatBenchKernels, (onSlice) => benchKernels({ seconds, bandwidth: streamingBandwidth, onSlice })),
    );
}

function withCommon(command: Command, seconds: number): Command {
  return command
    .option('--seconds <n>', 'least seconds for each of them', positiveNumber, seconds)
    .option('--json [file]', 'write one JSON object, to the file or to standard output');
}

/** Values separated by commas. */
function listOption<T>(flags: string, description: string, parse: (text: string) => T, values: readonly T[]): Option {
  return new Option(flags, description).argParser((list: string) => list.split(',').map(parse)).default(values, values.join(',') || 'none');
}

/** Measures with a line of progress, and writes the result. */
async function report<R>(json: Common['json'], format: (result: R) => string, measure: (onSlice: (text: string) => void) => Promise<R>) {
  if (typeof json === 'string') await checkOutputFile(json);
  const line = new ProgressLine();
  const result = await measure((text) => line.show(text)).finally(() => line.clear());
  if (json === true) return printJson(result);
  if (json !== undefined) await writeOutputFile(json, `${JSON.stringify(result, null, 2)}\n`);
  print(format(result));
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('expected a number above 0');
  return value;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError(`expected a whole number above 0, got ${JSON.stringify(text)}`);
  return value;
}

function unrouted(spec: string): string {
  if (parseAttention(spec).experts) throw new InvalidArgumentError(`expected a variant without routing, such as latent:1@8, got ${spec}`);
  return spec;
}

const weightType = (text: string): WeightType => oneOf(weightTypes, text);
const kvType = (text: string): KvType => oneOf(kvTypes, text);

function oneOf<T extends string>(names: readonly T[], text: string): T {
  const found = names.find((name) => name === text);
  if (!found) throw new InvalidArgumentError(`expected ${names.join(', ')}, got ${JSON.stringify(text)}`);
  return found;
}

import { type Command, InvalidArgumentError } from 'commander';

import { benchTrain, formatBenchTrain } from '../bench/train/train';
import { writeFileAtomic } from '../training/files';
import { ProgressLine } from '../training/progress';
import { print, printJson } from './options';

interface BenchTrainOptions {
  seconds: number;
  python: string;
  json?: string | true;
}

export function registerBench(program: Command): void {
  program
    .command('bench')
    .description('Measure speed on this machine.')
    .command('train')
    .description(
      'Training speed of an OPT of 1.07 M parameters, one thread: mha, gqa:2 and mixsga:3:1:6 on wasm, stock TensorFlow.js, and PyTorch where it is found, in turn.',
    )
    .option('--seconds <n>', 'least seconds for each of them', positiveNumber, 10)
    .option('--python <path>', 'the Python to look for torch in', 'python3')
    .option('--json [file]', 'write one JSON object, to the file or to standard output')
    .action(async ({ seconds, python, json }: BenchTrainOptions) => {
      const line = new ProgressLine();
      const result = await benchTrain({ seconds, python, onSlice: (text) => line.show(text) }).finally(() => line.clear());
      if (json === true) return printJson(result);
      if (json !== undefined) await writeFileAtomic(json, `${JSON.stringify(result, null, 2)}\n`);
      print(formatBenchTrain(result));
    });
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('expected a number above 0');
  return value;
}

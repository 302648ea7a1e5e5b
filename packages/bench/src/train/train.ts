import { expectOptions, MixsgaError, startBackend } from '@mixsga/backend';

import type { Slice } from '../contender';
import { formatMachine, type Machine, thisMachine } from '../machine';
import { measured, ratioOf, runRounds, speed, stepsOf } from '../rounds';
import { alignedTable, times } from '../table';
import type { TrainContender } from './contender';
import { TRAIN_SHAPE, type TrainShape } from './shape';
import { tfjsContender } from './tfjs-contender';
import { torchContender } from './torch-contender';

const ROUNDS = 5;

export interface BenchTrainOptions {
  /** Seconds that each contender trains in all, at least; a step is never cut. */
  seconds: number;
  /** Command or path of the Python to look for torch in. */
  python: string;
  shape?: TrainShape;
  onSlice?: (text: string) => void;
}

/** What `mixsga bench train --json` writes. */
export interface BenchTrainResult {
  schema: 'mixsga/bench-train@1';
  shape: TrainShape;
  results: ContenderResult[];
  /** Medians over rounds of speed over speed in the same round; null where one of the two did not run. */
  ratios: { gqaOverMha: number; mixsgaOverMha: number; mhaOverPlainTfjs: number; mhaOverTorch: number | null };
  /** Who did not run, and why. */
  absent: { backend: string; reason: string }[];
  machine: Machine;
}

export interface ContenderResult {
  /** `wasm`, `tfjs-wasm` (stock operations) or `torch`. */
  backend: string;
  attention: string;
  threads: number;
  /** Median over rounds. */
  tokensPerSecond: number;
  /** Lowest and highest over rounds. */
  spread: { min: number; max: number };
  rounds: number;
  /** Steps over all rounds. */
  steps: number;
  detail: string;
}

/** Measures training speed on the wasm backend against itself, stock TensorFlow.js and PyTorch, in one run. */
export async function benchTrain(options: BenchTrainOptions): Promise<BenchTrainResult> {
  expectOptions('benchTrain', options, { seconds: true, python: true, shape: true, onSlice: true });
  const shape = options.shape ?? TRAIN_SHAPE;
  const backend = await startBackend('wasm');
  const absent: BenchTrainResult['absent'] = [];
  const contenders: TrainContender[] = [];
  try {
    for (const attention of ['mha', 'gqa:2', 'mixsga:3:1:6']) contenders.push(await tfjsContender(backend, attention, 'fast', shape));
    contenders.push(await tfjsContender(backend, 'mha', 'reference', shape));
    try {
      contenders.push(await torchContender(options.python, shape));
    } catch (error) {
      if (!MixsgaError.isInstance(error)) throw error;
      absent.push({ backend: 'torch', reason: error.message });
    }
    const slices = await runRounds(contenders, {
      rounds: ROUNDS,
      secondsPerSlice: options.seconds / ROUNDS,
      onSlice: options.onSlice,
    });
    const [mha, gqa, mixsga, plain, torch] = slices as [Slice[], Slice[], Slice[], Slice[], Slice[] | undefined];
    return {
      schema: 'mixsga/bench-train@1',
      shape,
      results: contenders.map((contender, i) => contenderResult(contender, slices[i]!, shape)),
      ratios: {
        gqaOverMha: ratioOf(gqa, mha),
        mixsgaOverMha: ratioOf(mixsga, mha),
        mhaOverPlainTfjs: ratioOf(mha, plain),
        mhaOverTorch: torch ? ratioOf(mha, torch) : null,
      },
      absent,
      machine: thisMachine(),
    };
  } finally {
    for (const contender of contenders) contender.dispose();
  }
}

function contenderResult(contender: TrainContender, slices: readonly Slice[], shape: TrainShape): ContenderResult {
  const tokensPerStep = shape.batchSize * shape.sequenceLength;
  const { median, min, max } = measured(slices.map((slice) => speed(slice) * tokensPerStep));
  const { backend, attention, threads, detail } = contender;
  return {
    backend,
    attention,
    threads,
    tokensPerSecond: Math.round(median),
    spread: { min: Math.round(min), max: Math.round(max) },
    rounds: slices.length,
    steps: stepsOf(slices),
    detail,
  };
}

/** A result as a table for the terminal. */
export function formatBenchTrain({ results, ratios, absent, machine }: BenchTrainResult): string {
  const head = ['backend', 'attention', 'threads', 'tokens/s', 'lowest to highest', ''];
  const rows = results.map((r) => [
    r.backend, r.attention, String(r.threads), r.tokensPerSecond.toLocaleString('en'),
    `${r.spread.min.toLocaleString('en')} to ${r.spread.max.toLocaleString('en')}`, r.detail,
  ]);
  return [
    alignedTable([head, ...rows], [2, 3, 4]),
    '',
    `mixsga:3:1:6 trains at ${times(ratios.mixsgaOverMha)} the speed of mha, gqa:2 at ${times(ratios.gqaOverMha)}.`,
    `mha trains at ${times(ratios.mhaOverPlainTfjs)} the speed of stock TensorFlow.js operations${ratios.mhaOverTorch === null ? '' : `, and at ${times(ratios.mhaOverTorch)} that of PyTorch eager on one thread`}.`,
    ...absent.map(({ backend, reason }) => `${backend} did not run: ${reason}.`),
    formatMachine(machine),
  ].join('\n');
}

import { createRuntime, expectOptions, startBackend, type WeightType } from '@mixsga/backend';

import type { Contender } from '../contender';
import { formatMachine, type Machine, thisMachine } from '../machine';
import type { ModelShape } from '../model-shape';
import { measured, ratioOf, runRounds, speed, stepsOf } from '../rounds';
import { alignedTable, times } from '../table';
import { decoderEngine, type Engine, naiveEngine } from './engines';
import { type RandomModel, randomModels } from './random-model';
import { ATTENTIONS, OPT_125M_SHAPE } from './shape';

const ROUNDS = 3;

export interface BenchPrefillOptions {
  /** Length of the prompt. */
  tokens: number;
  weights: readonly WeightType[];
  /** Seconds for each contender, at least; a prompt is never cut. */
  seconds: number;
  shape?: ModelShape;
  onSlice?: (text: string) => void;
}

/** What `mixsga bench prefill --json` writes. */
export interface BenchPrefillResult {
  schema: 'mixsga/bench-prefill@1';
  backend: string;
  detail: string;
  threads: 1;
  shape: ModelShape;
  tokens: number;
  results: PrefillResult[];
  ratios: {
    /** Over the naive path with gqa:2, by weight type and attention: medians over rounds of speed over speed in the same round. */
    overNaive: Partial<Record<WeightType, Record<string, number>>>;
  };
  machine: Machine;
}

export interface PrefillResult {
  attention: string;
  path: Engine['path'];
  weights: WeightType;
  /** Median over rounds. */
  tokensPerSecond: number;
  milliseconds: number;
  /** Tokens per second, lowest and highest over rounds. */
  spread: { min: number; max: number };
  rounds: number;
  prompts: number;
}

/** Measures how fast a prompt is taken in, under each attention variant and weight type, beside plain TensorFlow.js. */
export async function benchPrefill(options: BenchPrefillOptions): Promise<BenchPrefillResult> {
  expectOptions('benchPrefill', options, { tokens: true, weights: true, seconds: true, shape: true, onSlice: true });
  const shape = options.shape ?? OPT_125M_SHAPE;
  const { name, detail } = await startBackend('wasm');
  options.onSlice?.('drawing random weights');
  const models = await randomModels(shape, ATTENTIONS, options.tokens);
  const results: PrefillResult[] = [];
  const overNaive: BenchPrefillResult['ratios']['overNaive'] = {};
  for (const type of options.weights) {
    const heat = await runHeat(models, type, options);
    // The naive path meets every type and is listed once.
    results.push(...heat.results.filter(({ path }) => path !== 'naive' || type === options.weights[0]));
    overNaive[type] = heat.overNaive;
  }
  return {
    schema: 'mixsga/bench-prefill@1',
    backend: name,
    detail,
    threads: 1,
    shape,
    tokens: options.tokens,
    results,
    ratios: { overNaive },
    machine: thisMachine(),
  };
}

async function runHeat(
  models: readonly RandomModel[], type: WeightType, { tokens, seconds, onSlice }: BenchPrefillOptions,
): Promise<{ results: PrefillResult[]; overNaive: Record<string, number> }> {
  const engines: Engine[] = [];
  const contenders: Contender[] = [];
  try {
    for (const model of models) engines.push(await decoderEngine(model, type));
    engines.push(naiveEngine(createRuntime(), models.find(({ attention }) => attention === 'gqa:2')!));
    for (const engine of engines) contenders.push(engine.prefilling(tokens));
    const slices = await runRounds(contenders, { rounds: ROUNDS, secondsPerSlice: seconds / ROUNDS, onSlice });
    return {
      results: engines.map(({ attention, path, weights }, i) => {
        const { median, min, max } = measured(slices[i]!.map((slice) => tokens * speed(slice)));
        return {
          attention, path, weights,
          tokensPerSecond: median,
          milliseconds: (1000 * tokens) / median,
          spread: { min, max },
          rounds: ROUNDS,
          prompts: stepsOf(slices[i]!),
        };
      }),
      overNaive: Object.fromEntries(models.map(({ attention }, i) => [attention, ratioOf(slices[i]!, slices.at(-1)!)])),
    };
  } finally {
    for (const owned of [...contenders, ...engines]) owned.dispose();
  }
}

/** A result as a table for the terminal. */
export function formatBenchPrefill({ results, ratios, tokens, machine, detail }: BenchPrefillResult): string {
  const head = ['attention', 'weights', 'tokens/s', 'lowest to highest', 'ms', 'over plain TensorFlow.js'];
  const rows = results.map((r) => [
    r.attention, r.path === 'naive' ? 'plain TensorFlow.js' : r.weights, r.tokensPerSecond.toFixed(0),
    `${r.spread.min.toFixed(0)} to ${r.spread.max.toFixed(0)}`, r.milliseconds.toFixed(0),
    r.path === 'naive' ? '' : times(ratios.overNaive[r.weights]![r.attention]!),
  ]);
  return [
    alignedTable([head, ...rows], [2, 3, 4, 5]),
    '',
    `A prompt of ${tokens} tokens, random weights, one thread (${detail}).`,
    formatMachine(machine),
  ].join('\n');
}

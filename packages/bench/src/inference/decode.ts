import { createRuntime, expectOptions, type InferenceRuntime, type KvType, startBackend, type WeightType } from '@mixsga/backend';

import type { Slice } from '../contender';
import { formatMachine, type Machine, thisMachine } from '../machine';
import type { ModelShape } from '../model-shape';
import { measured, ratioErrorOf, ratioOf, runRounds, speed, stepsOf } from '../rounds';
import { alignedTable, times } from '../table';
import { type DecodeFacts, decoderEngine, type Engine, naiveEngine } from './engines';
import { type RandomModel, randomModels } from './random-model';
import { ATTENTIONS, OPT_125M_SHAPE } from './shape';

/**
 * Rounds of a sitting. Many short ones, since a shared machine drifts within seconds by more than what is compared. A heat has
 * two sittings, with its models packed in one order and in the other, since where a model lies in the heap can show, too.
 */
const ROUNDS = 16;
const SITTINGS = 2;

export interface BenchDecodeOptions {
  backend: 'wasm' | 'webgpu';
  /** Tokens in the cache when a step is taken. */
  contexts: readonly number[];
  weights: readonly WeightType[];
  /** Element types of the cache: the first is that of all contenders, and with a second each variant also runs with both in turn. */
  kv: readonly KvType[];
  /** Attention variants, without routing, that take their turns beside the three that are compared. */
  also?: readonly string[];
  /** Seconds of steps for each contender and context, at least. */
  seconds: number;
  /** Probes the streaming bandwidth of one thread, GB/s; null where there is none to probe. */
  bandwidth: (() => number) | null;
  shape?: ModelShape;
  onSlice?: (text: string) => void;
}

/** A ratio at each context. */
type ByContext = Record<number, number>;

interface OverRivals {
  mixsgaOverGqa: ByContext;
  mixsgaOverMha: ByContext;
}

interface VariantRatios extends OverRivals {
  /** Of the medians. */
  standardErrors: OverRivals;
}

/** What `mixsga bench decode --json` writes. */
export interface BenchDecodeResult {
  schema: 'mixsga/bench-decode@1';
  backend: string;
  detail: string;
  /** Null where a device computes. */
  threads: 1 | null;
  shape: ModelShape;
  /** Median over rounds; null where it was not probed. */
  bandwidthGBs: number | null;
  results: DecodeResult[];
  /**
   * Medians over rounds of speed over speed in the same round, by context. The first three are of f32 weights; `overNaive` is
   * mixsga:3:1:6 over the naive path with gqa:2; the types are compared with mixsga:3:1:6.
   */
  ratios: VariantRatios & {
    overNaive: ByContext;
    bf16OverF32: ByContext;
    int8OverF32: ByContext;
    byWeights: Partial<Record<WeightType, VariantRatios>>;
    /** An int8 cache over a float32 one, by weight type and attention; empty unless both were asked for. */
    int8KvOverF32: Partial<Record<WeightType, Record<string, ByContext>>>;
  };
  machine: Machine;
}

export interface DecodeResult extends DecodeFacts {
  attention: string;
  path: Engine['path'];
  weights: WeightType;
  kv: KvType;
  context: number;
  /** Median over rounds. */
  tokensPerSecond: number;
  msPerToken: number;
  /** Tokens per second, lowest and highest over rounds. */
  spread: { min: number; max: number };
  rounds: number;
  steps: number;
  /** Bytes of all weights as they are held. */
  weightBytesHeld: number;
  /** Bytes read in a second over the bandwidth probed in the same round, median; null where it was not probed. */
  shareOfBandwidth: number | null;
}

/** Engines that take their turns together, since together they fit into the heap of 4 GiB. */
interface Heat {
  contexts: readonly number[];
  entrants: { model: RandomModel; weights: WeightType | 'naive'; kv: KvType }[];
  /** Ratios to take: one entrant over another. */
  ratios: { into: ByContext; errorInto?: ByContext; of: number; over: number }[];
}

/** A contender at a context, over all the rounds that it took part in. */
interface Entry extends Pick<DecodeResult, 'attention' | 'path' | 'weights' | 'kv' | 'context' | 'weightBytesHeld'> {
  slices: Slice[];
  /** Bandwidth in the round of each slice; empty where it was not probed. */
  bandwidths: number[];
  facts: DecodeFacts;
}

/** Measures decode steps of a model with random weights, under each attention variant and weight type, at each context. */
export async function benchDecode(options: BenchDecodeOptions): Promise<BenchDecodeResult> {
  expectOptions('benchDecode', options, { backend: true, contexts: true, weights: true, kv: true, also: true, seconds: true, bandwidth: true, shape: true, onSlice: true });
  const shape = options.shape ?? OPT_125M_SHAPE;
  await startBackend('wasm'); // which runs the model faster that the routers are fitted to, and reads tensors at once
  options.onSlice?.('drawing random weights');
  const models = await randomModels(shape, [...ATTENTIONS, ...(options.also ?? [])], Math.max(...options.contexts) + 1);
  const { name, detail } = await startBackend(options.backend);
  const runtime = createRuntime();
  const { heats, ratios } = plan(models, options);
  const entries = new Map<string, Entry>();
  for (const heat of heats) await runHeat(heat, runtime, options, entries);
  const bandwidths = [...entries.values()].flatMap((entry) => entry.bandwidths);
  return {
    schema: 'mixsga/bench-decode@1',
    backend: name,
    detail,
    threads: options.backend === 'wasm' ? 1 : null,
    shape,
    bandwidthGBs: bandwidths.length > 0 ? measured(bandwidths).median : null,
    results: [...entries.values()].map(resultOf),
    ratios: { ...(ratios.byWeights.f32 ?? noRatios()), ...ratios },
    machine: thisMachine(),
  };
}

/** Who meets whom: the variants in each weight type, the weight types at the shortest context, the naive path, and the types of cache. */
function plan(models: readonly RandomModel[], { backend, contexts, weights, kv: kvs }: BenchDecodeOptions) {
  const [mha, gqa, mixsga, ...others] = models as [RandomModel, RandomModel, RandomModel, ...RandomModel[]];
  const byWeights: BenchDecodeResult['ratios']['byWeights'] = {};
  const int8KvOverF32: BenchDecodeResult['ratios']['int8KvOverF32'] = {};
  const ratios = { overNaive: {}, bf16OverF32: {}, int8OverF32: {}, byWeights, int8KvOverF32 };
  const kv = kvs[0]!;
  const heats = weights.map((type): Heat => {
    const own = (byWeights[type] = noRatios());
    const { standardErrors } = own;
    return {
      contexts,
      entrants: [mha, gqa, mixsga, ...others].map((model) => ({ model, weights: type, kv })),
      ratios: [
        { into: own.mixsgaOverGqa, errorInto: standardErrors.mixsgaOverGqa, of: 2, over: 1 },
        { into: own.mixsgaOverMha, errorInto: standardErrors.mixsgaOverMha, of: 2, over: 0 },
      ],
    };
  });
  const f32 = weights.indexOf('f32');
  if (f32 >= 0 && weights.length > 1) {
    const over = { bf16: ratios.bf16OverF32, int8: ratios.int8OverF32, f32: {} };
    heats.push({
      contexts: [Math.min(...contexts)],
      entrants: weights.map((type) => ({ model: mixsga, weights: type, kv })),
      ratios: weights.map((type, of) => ({ into: over[type], of, over: f32 })),
    });
  }
  if (f32 >= 0 && backend === 'wasm') {
    heats.push({
      contexts,
      entrants: [{ model: mixsga, weights: 'f32', kv }, { model: gqa, weights: 'naive', kv: 'f32' }],
      ratios: [{ into: ratios.overNaive, of: 0, over: 1 }],
    });
  }
  const [f32Kv, int8Kv] = [kvs.indexOf('f32'), kvs.indexOf('int8')];
  if (f32Kv >= 0 && int8Kv >= 0) {
    for (const type of weights) {
      const own: Record<string, ByContext> = (int8KvOverF32[type] = {});
      for (const model of models) {
        const into = (own[model.attention] = {});
        heats.push({ contexts, entrants: kvs.map((each) => ({ model, weights: type, kv: each })), ratios: [{ into, of: int8Kv, over: f32Kv }] });
      }
    }
  }
  return { heats, ratios };
}

function noRatios(): VariantRatios {
  return { mixsgaOverGqa: {}, mixsgaOverMha: {}, standardErrors: { mixsgaOverGqa: {}, mixsgaOverMha: {} } };
}

/** @param entries takes what was measured, more rounds of a contender that is in it already among it */
async function runHeat(
  heat: Heat, runtime: InferenceRuntime, { seconds, bandwidth, onSlice }: BenchDecodeOptions, entries: Map<string, Entry>,
): Promise<void> {
  const slicesAt = new Map(heat.contexts.map((context) => [context, heat.entrants.map((): Slice[] => [])]));
  for (let sitting = 0; sitting < SITTINGS; sitting++) {
    const engines: Engine[] = [];
    const order = [...heat.entrants.keys()];
    if (sitting % 2 === 1) order.reverse();
    try {
      for (const i of order) {
        const { model, weights, kv } = heat.entrants[i]!;
        onSlice?.(`packing ${model.attention} ${weights}${kv === 'f32' ? '' : `, ${kv} cache`}`);
        engines[i] = weights === 'naive' ? naiveEngine(runtime, model) : await decoderEngine(model, weights, kv);
      }
      for (const context of heat.contexts) {
        const contenders: ReturnType<Engine['decoding']>[] = [];
        try {
          for (const engine of engines) contenders.push(engine.decoding(context));
          const bandwidths: number[] = [];
          const slices = await runRounds(contenders, {
            rounds: ROUNDS,
            secondsPerSlice: seconds / ROUNDS / SITTINGS,
            onRound: () => bandwidth && bandwidths.push(bandwidth()),
            onSlice,
          });
          slices.forEach((own, i) => slicesAt.get(context)![i]!.push(...own));
          engines.forEach(({ attention, path, weights, kv, weightBytes }, i) => {
            const key = [attention, path, weights, kv, context].join(' ');
            const before = entries.get(key);
            entries.set(key, {
              attention, path, weights, kv, context,
              weightBytesHeld: weightBytes,
              slices: [...(before?.slices ?? []), ...slices[i]!],
              bandwidths: [...(before?.bandwidths ?? []), ...bandwidths],
              facts: contenders[i]!.facts(),
            });
          });
        } finally {
          for (const contender of contenders) contender.dispose();
        }
      }
    } finally {
      engines.forEach((engine) => engine.dispose()); // packed in any order, so that some may be missing
    }
  }
  for (const [context, slices] of slicesAt) {
    for (const { into, errorInto, of, over } of heat.ratios) {
      into[context] = ratioOf(slices[of]!, slices[over]!);
      if (errorInto) errorInto[context] = ratioErrorOf(slices[of]!, slices[over]!);
    }
  }
}

function resultOf({ slices, bandwidths, facts, weightBytesHeld, ...who }: Entry): DecodeResult {
  const { median, min, max } = measured(slices.map(speed));
  const shares = bandwidths.map((GBs, round) => (facts.bytesPerToken * speed(slices[round]!)) / 1e9 / GBs);
  return {
    ...who,
    tokensPerSecond: median,
    msPerToken: 1000 / median,
    spread: { min, max },
    rounds: slices.length,
    steps: stepsOf(slices),
    ...facts,
    weightBytesHeld,
    shareOfBandwidth: shares.length > 0 ? measured(shares).median : null,
  };
}

/** A result as tables for the terminal. */
export function formatBenchDecode({ results, ratios, bandwidthGBs, machine, detail, shape }: BenchDecodeResult): string {
  const contexts = [...new Set(results.map(({ context }) => context))];
  const rowNames = [...new Set(results.map(rowName))];
  const table = (heading: string, cell: (result: DecodeResult) => string) => {
    const rows = rowNames.map((name) => [
      name,
      ...contexts.map((context) => {
        const result = results.find((r) => rowName(r) === name && r.context === context);
        return result ? cell(result) : '';
      }),
    ]);
    return alignedTable([[heading, ...contexts.map(String)], ...rows], contexts.map((_, i) => i + 1));
  };
  const compared = (text: string, ratio: ByContext, errors?: ByContext) => {
    const each = Object.entries(ratio).map(([context, r]) => `${errors ? `${r.toFixed(3)} ± ${errors[Number(context)]!.toFixed(3)} ×` : times(r)} at ${context}`);
    return each.length === 0 ? [] : [`${text}: ${each.join(', ')}`];
  };
  return [
    table('tokens/s at a context of', (r) => r.tokensPerSecond.toFixed(1)),
    '',
    ...(bandwidthGBs === null
      ? [table('dispatches, MB a token', (r) => `${r.dispatchesPerToken === null ? '–' : Math.round(r.dispatchesPerToken)}, ${(r.bytesPerToken / 1e6).toFixed(1)}`)]
      : [table('share of the bandwidth', (r) => r.shareOfBandwidth!.toFixed(2))]),
    '',
    ...Object.entries(ratios.byWeights).flatMap(([weights, r]) => [
      ...compared(`mixsga:3:1:6 over gqa:2, ${weights}`, r.mixsgaOverGqa, r.standardErrors.mixsgaOverGqa),
      ...compared(`mixsga:3:1:6 over mha, ${weights}`, r.mixsgaOverMha, r.standardErrors.mixsgaOverMha),
    ]),
    ...compared('bf16 over f32', ratios.bf16OverF32),
    ...compared('int8 over f32', ratios.int8OverF32),
    ...compared('mixsga:3:1:6 over plain TensorFlow.js with gqa:2', ratios.overNaive),
    ...Object.entries(ratios.int8KvOverF32).flatMap(([weights, byAttention]) =>
      Object.entries(byAttention).flatMap(([attention, ratio]) => compared(`int8 over f32 cache, ${attention} ${weights}`, ratio)),
    ),
    `${shape.layers} layers, D ${shape.hiddenSize}, ${shape.heads} heads, FFN ${shape.ffnSize}, vocabulary ${shape.vocabularySize}, random weights`,
    bandwidthGBs === null ? detail : `One thread reads memory at ${bandwidthGBs.toFixed(1)} GB/s (${detail}).`,
    formatMachine(machine),
  ].join('\n');
}

function rowName({ attention, path, weights, kv }: DecodeResult): string {
  if (path === 'naive') return `${attention}, plain TensorFlow.js`;
  return `${attention} ${weights}${kv === 'f32' ? '' : `, ${kv} cache`}${path === 'reference' ? ', reference' : ''}`;
}

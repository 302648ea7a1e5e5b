import { ArgumentError, createRuntime, expectOptions, type InferenceRuntime, type Rows, SeededRandom, startBackend, type WeightType, weightTypes } from '@mixsga/backend';
import { CachePool } from '@mixsga/kv-cache';
import { parseAttention } from '@mixsga/models';

import { type Contender, timeSteps } from '../contender';
import { fillCache } from '../inference/fill-cache';
import { fillUniform } from '../inference/random-model';
import { ATTENTIONS } from '../inference/shape';
import { formatMachine, type Machine, thisMachine } from '../machine';
import { measured, runRounds, speed, stepsOf } from '../rounds';
import { alignedTable } from '../table';

const ROUNDS = 5;

export interface KernelsShape {
  /** Query heads. */
  heads: number;
  headDim: number;
  /** Tokens that attention is over. */
  contexts: readonly number[];
  /** Products of a row: [inputs, outputs]. */
  products: readonly (readonly [number, number])[];
  /** Bytes that a kernel goes through before it reads the same again: more than any cache holds. */
  coldBytes: number;
}

/** What a decode step of OPT-125m calls. */
const OPT_125M_KERNELS: KernelsShape = {
  heads: 12,
  headDim: 64,
  contexts: [1024, 4096, 8192],
  products: [[768, 768], [3072, 768], [768, 32000]],
  coldBytes: 256 * 2 ** 20,
};

export interface BenchKernelsOptions {
  /** Seconds for each kernel, at least. */
  seconds: number;
  /** Probes the streaming bandwidth of one thread: GB/s. */
  bandwidth: () => number;
  shape?: KernelsShape;
  onSlice?: (text: string) => void;
}

/** What `mixsga bench kernels --json` writes. */
export interface BenchKernelsResult {
  schema: 'mixsga/bench-kernels@1';
  backend: string;
  detail: string;
  path: InferenceRuntime['path'];
  threads: 1;
  /** Median over rounds. */
  bandwidthGBs: number;
  attention: ({ attention: string; heads: number; headDim: number; tokens: number } & KernelSpeed)[];
  products: ({ inputs: number; outputs: number; weights: WeightType } & KernelSpeed)[];
  machine: Machine;
}

export interface KernelSpeed {
  /** Bytes of keys and values, or of the packed matrix, that a call reads. */
  bytes: number;
  /** Median over rounds, of a call whose bytes are in no cache. */
  milliseconds: number;
  GBs: number;
  /** GB/s, lowest and highest over rounds. */
  spread: { min: number; max: number };
  /** Of the bandwidth probed in the same round; median. */
  shareOfBandwidth: number;
  calls: number;
}

/** A kernel on enough copies of its operands that none of them stays in a cache. */
interface KernelContender extends Contender {
  readonly bytes: number;
}

/** Measures the kernels of a decode step alone, on the wasm backend. */
export async function benchKernels(options: BenchKernelsOptions): Promise<BenchKernelsResult> {
  expectOptions('benchKernels', options, { seconds: true, bandwidth: true, shape: true, onSlice: true });
  const shape = options.shape ?? OPT_125M_KERNELS;
  const { name, detail } = await startBackend('wasm');
  const runtime = createRuntime();
  const bandwidths: number[] = [];
  const attention: BenchKernelsResult['attention'] = [];
  const products: BenchKernelsResult['products'] = [];
  for (const tokens of shape.contexts) {
    const speeds = await measure(ATTENTIONS, (spec) => attentionContender(runtime, spec, tokens, shape), options, bandwidths);
    ATTENTIONS.forEach((spec, i) => {
      attention.push({ attention: spec, heads: shape.heads, headDim: shape.headDim, tokens, ...speeds[i]! });
    });
  }
  for (const [inputs, outputs] of shape.products) {
    const speeds = await measure(weightTypes, (type) => productContender(runtime, inputs, outputs, type, shape), options, bandwidths);
    weightTypes.forEach((weights, i) => products.push({ inputs, outputs, weights, ...speeds[i]! }));
  }
  return {
    schema: 'mixsga/bench-kernels@1',
    backend: name,
    detail,
    path: runtime.path,
    threads: 1,
    bandwidthGBs: measured(bandwidths).median,
    attention,
    products,
    machine: thisMachine(),
  };
}

/** @param bandwidths takes what is probed before each round */
async function measure<T>(
  kinds: readonly T[], make: (kind: T) => KernelContender, { seconds, bandwidth, onSlice }: BenchKernelsOptions, bandwidths: number[],
): Promise<KernelSpeed[]> {
  const contenders: KernelContender[] = [];
  try {
    for (const kind of kinds) contenders.push(make(kind));
    const probed: number[] = [];
    const slices = await runRounds(contenders, {
      rounds: ROUNDS,
      secondsPerSlice: seconds / ROUNDS,
      onRound: () => probed.push(bandwidth()),
      onSlice,
    });
    bandwidths.push(...probed);
    return contenders.map(({ bytes }, i) => {
      const { median, min, max } = measured(slices[i]!.map((slice) => (bytes * speed(slice)) / 1e9));
      return {
        bytes,
        milliseconds: bytes / median / 1e6,
        GBs: median,
        spread: { min, max },
        shareOfBandwidth: measured(slices[i]!.map((slice, round) => (bytes * speed(slice)) / 1e9 / probed[round]!)).median,
        calls: stepsOf(slices[i]!),
      };
    });
  } finally {
    for (const contender of contenders) contender.dispose();
  }
}

/** Attention of one query over a cache of `tokens` tokens, on one layer after another. */
function attentionContender(runtime: InferenceRuntime, spec: string, tokens: number, shape: KernelsShape): KernelContender {
  const { heads, headDim, coldBytes } = shape;
  const variant = parseAttention(spec);
  if (!variant.formats.grouping) throw new ArgumentError(`bench: expected a variant that groups heads, which kernels attend to, got ${spec}`);
  const { ratiosOf } = variant.experts ?? { ratiosOf: () => [1] };
  const kvHeads = variant.storedKvHeads(heads);
  const layers = Math.ceil(coldBytes / (2 * 4 * tokens * heads * variant.kvShare * headDim));
  const pool = new CachePool(runtime, { layers, formats: variant.formats.stored({ kvHeads, headDim }), queryHeads: heads, fingerprint: 'bench' });
  const cache = pool.create();
  fillCache(cache, { layers, ratiosOf, tokens });
  const views = Array.from({ length: layers }, (_, layer) => cache.view(layer));
  const q = randomRow(runtime, heads * headDim);
  const out = runtime.rows(1, heads * headDim);
  let turn = 0;
  return {
    label: `attention ${spec} at ${tokens}`,
    bytes: views[0]!.segments.reduce((sum, { tokens, store }) => sum + 2 * 4 * tokens * store.heads * headDim, 0),
    run: (seconds) =>
      timeSteps(seconds, async () => {
        runtime.grouped.attend(q, 0, views[turn++ % layers]!, null, out, { heads, scale: headDim ** -0.5 });
      }),
    dispose() {
      for (const owned of [pool, q, out]) owned.dispose();
    },
  };
}

/** A row times one packed matrix after another. */
function productContender(
  runtime: InferenceRuntime, inputs: number, outputs: number, type: WeightType, { coldBytes }: KernelsShape,
): KernelContender {
  const layer = { weight: new Float32Array(outputs * inputs), bias: new Float32Array(outputs), outputs, inputs };
  fillUniform(layer.weight, 0.02, new SeededRandom(3));
  const first = runtime.packLinear(layer, type);
  const matrices = [first];
  while (matrices.length * first.bytes < coldBytes) matrices.push(runtime.packLinear(layer, type));
  const x = randomRow(runtime, inputs);
  const out = runtime.rows(1, outputs);
  let turn = 0;
  return {
    label: `product ${inputs} × ${outputs} ${type}`,
    bytes: first.bytes,
    run: (seconds) =>
      timeSteps(seconds, async () => {
        runtime.apply(matrices[turn++ % matrices.length]!, x, out, 1);
      }),
    dispose() {
      for (const owned of [...matrices, x, out]) owned.dispose();
    },
  };
}

/** Not whatever is in memory, since arithmetic with denormal numbers takes many times as long. */
function randomRow(runtime: InferenceRuntime, width: number): Rows {
  const values = new Float32Array(width);
  fillUniform(values, 1, new SeededRandom(4));
  const row = runtime.rows(1, width);
  runtime.write(values, row);
  return row;
}

/** A result as a table for the terminal. */
export function formatBenchKernels({ attention, products, bandwidthGBs, machine, detail, path }: BenchKernelsResult): string {
  const cells = ({ bytes, milliseconds, GBs, spread, shareOfBandwidth }: KernelSpeed) => [
    (bytes / 1e6).toFixed(1), milliseconds.toFixed(3), GBs.toFixed(1), `${spread.min.toFixed(1)} to ${spread.max.toFixed(1)}`,
    shareOfBandwidth.toFixed(2),
  ];
  return [
    alignedTable(
      [
        ['kernel', '', 'MB', 'ms', 'GB/s', 'lowest to highest', 'of bandwidth'],
        ...attention.map((r) => [`attention ${r.attention}`, `${r.tokens} tokens`, ...cells(r)]),
        ...products.map((r) => [`product ${r.weights}`, `${r.inputs} × ${r.outputs}`, ...cells(r)]),
      ],
      [2, 3, 4, 5, 6],
    ),
    '',
    `One thread reads memory at ${bandwidthGBs.toFixed(1)} GB/s (${detail}, ${path} kernels).`,
    formatMachine(machine),
  ].join('\n');
}

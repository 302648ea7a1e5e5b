import type { WasmHeap } from '../../wasm/kernel';
import type { Activation, DenseLayer, KvLayer, KvWeights, LatentLayer, LatentWeights, LinearWeights, WeightType } from '../runtime';
import { allOrNone, Block } from './memory';

/** Rows that are copied to the heap at a time while packing; a multiple of the panels' 8. */
const STAGED_ROWS = 256;
/** Floats of a panel that `packBf16` works on. */
const PANEL = 256 * 8;

/** The numbers by which kernels know the types. */
const typeCode = { f32: 0, bf16: 1, int8: 2 } as const;
const activationCode: { readonly [Name in Activation | 'none']: number } = { none: 0, relu: 1, silu: 2, gelu: 3 };

/** A matrix as assembly/packed-linear.ts lays it out. */
export class PackedLinear implements LinearWeights {
  readonly outputs: number;
  readonly inputs: number;
  readonly #heap: WasmHeap;
  readonly #packed: Block;
  readonly #scales: Block | null = null;
  readonly #bias: Block | null = null;

  constructor(heap: WasmHeap, { weight, bias, outputs, inputs }: DenseLayer, readonly type: WeightType) {
    this.outputs = outputs;
    this.inputs = inputs;
    this.#heap = heap;
    const wide = Math.ceil(outputs / 8) * 8;
    const bytes = { f32: 4 * wide * inputs, bf16: 2 * wide * inputs, int8: heap.kernels.int8Bytes(inputs, outputs) }[type];
    const sizes = [bytes, ...(type === 'int8' ? [4 * wide] : []), ...(bias ? [4 * outputs] : [])];
    const blocks = allOrNone(sizes.map((size) => () => new Block(heap, size)));
    this.#packed = blocks.shift()!;
    if (type === 'int8') this.#scales = blocks.shift()!;
    if (bias) {
      this.#bias = blocks.shift()!;
      heap.floats(this.#bias.address, outputs).set(bias);
    }
    if (type === 'int8') heap.floats(this.#packed.address, bytes / 4).fill(0);
    this.#pack(weight);
  }

  get bytes(): number {
    return this.#packed.bytes + (this.#scales?.bytes ?? 0) + (this.#bias?.bytes ?? 0);
  }

  /** Floats of working memory that {@link apply} needs. */
  scratch(rows: number): number {
    const { kernels } = this.#heap;
    if (rows > 1) return kernels.manyScratch();
    return this.type === 'int8' ? kernels.gemvInt8Scratch(this.inputs) : 0;
  }

  /** y [rows, outputs] = activation(x · wᵀ + bias) + residual; addresses, a residual of 0 for none. */
  apply(x: number, y: number, rows: number, scratch: number, named: Activation | 'none' = 'none', residual = 0): void {
    const { kernels } = this.#heap;
    const activation = activationCode[named];
    const { outputs, inputs, type } = this;
    const packed = this.#packed.address;
    const scales = this.#scales?.address ?? 0;
    const bias = this.#bias?.address ?? 0;
    if (rows > 1) {
      kernels.gemmMany(x, packed, scales, typeCode[type], bias, residual, y, rows, inputs, outputs, activation, scratch);
    } else if (type === 'int8') {
      kernels.gemvInt8(x, packed, scales, bias, residual, y, inputs, outputs, activation, scratch);
    } else {
      kernels[type === 'f32' ? 'gemvF32' : 'gemvBf16'](x, packed, bias, residual, y, inputs, outputs, activation);
    }
  }

  /** Copies row `output` of the matrix to an address, or adds it to what is there. */
  row(output: number, to: number, add: boolean): void {
    const { kernels } = this.#heap;
    const scales = this.#scales?.address ?? 0;
    kernels.unpackRow(this.#packed.address, scales, typeCode[this.type], this.inputs, this.outputs, output, to, add);
  }

  dispose(): void {
    for (const block of [this.#packed, this.#scales, this.#bias]) block?.dispose();
  }

  #pack(weight: Float32Array): void {
    const heap = this.#heap;
    const { outputs, inputs, type } = this;
    const to = this.#packed.address;
    for (let first = 0; first < outputs; first += STAGED_ROWS) {
      const count = Math.min(STAGED_ROWS, outputs - first);
      const staged = heap.scratch(count * inputs + PANEL);
      heap.floats(staged, count * inputs).set(weight.subarray(first * inputs, (first + count) * inputs));
      if (type === 'f32') heap.kernels.packF32(staged, inputs, outputs, first, count, to);
      else if (type === 'int8') heap.kernels.packInt8(staged, inputs, first, count, to, this.#scales!.address);
      else heap.kernels.packBf16(staged, inputs, outputs, first, count, to, staged + 4 * count * inputs);
    }
  }
}

/**
 * The key and value projections of a layer, and for each expert those of its stored heads: the mean of projections is the
 * projection by the mean of the weights, so that a token in decode reads only what its expert stores.
 */
export class PackedKv implements KvWeights {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly groupSizes: readonly number[];
  readonly pooling: KvLayer['pooling'];
  /** k and v of all heads. */
  readonly whole: readonly [PackedLinear, PackedLinear];
  /** k and v of each expert's stored heads. */
  readonly experts: readonly (readonly [PackedLinear, PackedLinear])[];

  constructor(heap: WasmHeap, { k, v, kvHeads, groupSizes, pooling }: KvLayer, type: WeightType) {
    this.kvHeads = kvHeads;
    this.headDim = k.outputs / kvHeads;
    this.groupSizes = groupSizes;
    this.pooling = pooling;
    const sizes = [1, ...groupSizes.filter((size) => size > 1)];
    const packed = allOrNone(
      sizes.flatMap((size) => [k, v].map((layer) => () => new PackedLinear(heap, pooled(layer, kvHeads, size, pooling), type))),
    );
    const pairs = sizes.map((_, i) => [packed[2 * i]!, packed[2 * i + 1]!] as const);
    this.whole = pairs[0]!;
    this.experts = groupSizes.map((size) => pairs[sizes.indexOf(size)]!);
  }

  get bytes(): number {
    return this.#distinct().reduce((sum, { bytes }) => sum + bytes, 0);
  }

  dispose(): void {
    for (const linear of this.#distinct()) linear.dispose();
  }

  #distinct(): PackedLinear[] {
    return [...new Set([this.whole, ...this.experts].flat())];
  }
}

/** What latents are made by, and by KV head what queries and results go through. */
export class PackedLatents implements LatentWeights {
  readonly rank: number;
  readonly latent: PackedLinear;
  /** To queries in the latents' basis: [rank, headDim] for each KV head. */
  readonly queries: readonly PackedLinear[];
  /** From sums of latents to values: [headDim, rank] for each KV head. */
  readonly values: readonly PackedLinear[];

  constructor(heap: WasmHeap, { latent, k, v, offset, kvHeads }: LatentLayer, type: WeightType) {
    const rank = latent.outputs;
    const headDim = offset.length / kvHeads;
    const heads = Array.from({ length: kvHeads }, (_, head) => head);
    const of = (x: Float32Array, head: number) => x.subarray(head * headDim * rank, (head + 1) * headDim * rank);
    const layers: (() => PackedLinear)[] = [
      () => new PackedLinear(heap, latent, type),
      ...heads.map((head) => () => new PackedLinear(heap, { weight: transposed(of(k, head), headDim, rank), bias: null, outputs: rank, inputs: headDim }, 'f32')),
      ...heads.map((head) => () => {
        const bias = offset.subarray(head * headDim, (head + 1) * headDim);
        return new PackedLinear(heap, { weight: of(v, head), bias, outputs: headDim, inputs: rank }, 'f32');
      }),
    ];
    const packed = allOrNone(layers);
    this.rank = rank;
    this.latent = packed[0]!;
    this.queries = packed.slice(1, 1 + kvHeads);
    this.values = packed.slice(1 + kvHeads);
  }

  get bytes(): number {
    return this.#all().reduce((sum, { bytes }) => sum + bytes, 0);
  }

  dispose(): void {
    for (const linear of this.#all()) linear.dispose();
  }

  #all(): PackedLinear[] {
    return [this.latent, ...this.queries, ...this.values];
  }
}

/** [rows, columns] to [columns, rows]. */
function transposed(x: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: x.length }, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** The projection to the means (or root means) of runs of `size` heads. */
function pooled(layer: DenseLayer, heads: number, size: number, pooling: KvLayer['pooling']): DenseLayer {
  if (size === 1) return layer;
  const { weight, bias, outputs, inputs } = layer;
  const headDim = outputs / heads;
  const factor = pooling === 'mean' ? 1 / size : 1 / Math.sqrt(size);
  const poolRows = (rows: Float32Array, width: number): Float32Array => {
    const block = headDim * width;
    const result = new Float32Array(rows.length / size);
    for (let i = 0; i < result.length; i++) {
      const from = Math.floor(i / block) * size * block + (i % block);
      let sum = 0;
      for (let member = 0; member < size; member++) sum += rows[from + member * block]!;
      result[i] = sum * factor;
    }
    return result;
  };
  return { weight: poolRows(weight, inputs), bias: bias && poolRows(bias, 1), outputs: outputs / size, inputs };
}

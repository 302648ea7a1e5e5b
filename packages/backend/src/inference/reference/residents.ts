import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { quantiseRows, roundToBf16, widenBf16 } from '../quantise';
import type { DenseLayer, KvLayer, KvWeights, LinearWeights, Rows, Vector, WeightType } from '../runtime';

/**
 * A matrix as a float32 tensor. Other weight types have the same numbers as where they are packed, rounded to bf16 or
 * quantised to int8, and save no memory here.
 */
export class ReferenceLinear implements LinearWeights {
  readonly outputs: number;
  readonly inputs: number;
  readonly weight: Tensor2D;
  readonly bias: Tensor1D | null;

  constructor({ weight, bias, outputs, inputs }: DenseLayer, readonly type: WeightType) {
    this.outputs = outputs;
    this.inputs = inputs;
    this.weight = tf.keep(tf.tensor2d(asPacked[type](weight, outputs, inputs), [outputs, inputs]));
    this.bias = bias && tf.keep(tf.tensor1d(bias));
  }

  get bytes(): number {
    return 4 * (this.weight.size + (this.bias?.size ?? 0));
  }

  dispose(): void {
    tf.dispose([this.weight, ...(this.bias ? [this.bias] : [])]);
  }
}

/** The float32 values that a packed matrix stands for. */
const asPacked: { readonly [Type in WeightType]: (weight: Float32Array, outputs: number, inputs: number) => Float32Array } = {
  // A copy: a tensor of the cpu backend keeps the array that it was made from.
  f32: (weight) => weight.slice(),
  bf16: (weight) => widenBf16(roundToBf16(weight)),
  int8(weight, outputs, inputs) {
    const { values, scales } = quantiseRows(weight, outputs, inputs);
    return Float32Array.from(values, (value, i) => value * scales[Math.floor(i / inputs)]!);
  },
};

export class ReferenceKv implements KvWeights {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly groupSizes: readonly number[];
  readonly pooling: KvLayer['pooling'];
  readonly k: ReferenceLinear;
  readonly v: ReferenceLinear;

  constructor({ k, v, kvHeads, groupSizes, pooling }: KvLayer, type: WeightType) {
    this.kvHeads = kvHeads;
    this.headDim = k.outputs / kvHeads;
    this.groupSizes = groupSizes;
    this.pooling = pooling;
    this.k = new ReferenceLinear(k, type);
    this.v = new ReferenceLinear(v, type);
  }

  get bytes(): number {
    return this.k.bytes + this.v.bytes;
  }

  dispose(): void {
    this.k.dispose();
    this.v.dispose();
  }
}

export class ReferenceVector implements Vector {
  readonly size: number;
  readonly tensor: Tensor1D;

  constructor(values: Float32Array) {
    this.size = values.length;
    this.tensor = tf.keep(tf.tensor1d(values.slice()));
  }

  get bytes(): number {
    return 4 * this.size;
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

/** Activations as a tensor [capacity, width], which every operation that writes replaces. */
export class ReferenceRows implements Rows {
  #tensor: Tensor2D;

  constructor(
    readonly capacity: number,
    readonly width: number,
  ) {
    this.#tensor = tf.keep(tf.zeros([capacity, width]));
  }

  get bytes(): number {
    return 4 * this.capacity * this.width;
  }

  /** The first rows, for a caller inside a tidy. */
  first(rows: number): Tensor2D {
    return this.some(0, rows);
  }

  row(row: number): Tensor2D {
    return this.some(row, 1);
  }

  some(first: number, rows: number): Tensor2D {
    return tf.slice(this.#tensor, [first, 0], [rows, this.width]);
  }

  /** Replaces rows, from `first` on, by what `compute` gives: [rows, width]. */
  write(compute: () => Tensor2D, first = 0): void {
    const old = this.#tensor;
    this.#tensor = tf.keep(
      tf.tidy(() => {
        const rows = compute();
        const next = first + rows.shape[0];
        const parts = [
          tf.slice(old, [0, 0], [first, this.width]), rows, tf.slice(old, [next, 0], [this.capacity - next, this.width]),
        ].filter(({ size }) => size > 0);
        return parts.length === 1 ? tf.clone(rows) : tf.concat(parts, 0);
      }),
    );
    old.dispose();
  }

  dispose(): void {
    this.#tensor.dispose();
  }
}

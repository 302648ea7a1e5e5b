import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { WebgpuDevice } from '../../webgpu/device';
import { quantiseRows, roundToBf16 } from '../quantise';
import type { DenseLayer, KvLayer, KvWeights, LinearWeights, RouterWeights, Rows, Vector, WeightType } from '../runtime';
import type { Layout } from './products';
import { strideOf, valuesPerWord } from './products';

/** A matrix with as many values in a word as its type allows; each row begins at a word. */
export class WebgpuLinear implements LinearWeights {
  readonly outputs: number;
  readonly inputs: number;
  readonly weights: Tensor;
  /** Of int8: the scale of each row. */
  readonly scales: Tensor | null;
  readonly bias: Tensor | null;
  readonly layout: Layout;

  constructor(
    device: WebgpuDevice,
    { weight, bias, outputs, inputs }: DenseLayer,
    readonly type: WeightType,
  ) {
    this.outputs = outputs;
    this.inputs = inputs;
    this.layout = { type, vector: inputs % 4 === 0 };
    const { words, scales } = pack(weight, outputs, inputs, type);
    const shape = type === 'f32' ? [outputs, inputs] : [words.length];
    this.weights = device.tensor(shape, type === 'f32' ? 'float32' : 'int32', words);
    this.scales = scales && device.tensor([outputs], 'float32', scales);
    this.bias = bias && device.tensor([outputs], 'float32', bias);
  }

  get bytes(): number {
    return 4 * (this.weights.size + (this.scales?.size ?? 0) + (this.bias?.size ?? 0));
  }

  /** Uniforms of a program that multiplies by the matrix. */
  get product(): { steps: number; stride: number } {
    return { steps: this.inputs / (this.layout.vector ? 4 : 1), stride: strideOf(this.layout, this.inputs) };
  }

  /** The uniform of a program that reads it by single elements. */
  get stride(): number {
    return strideOf({ type: this.type, vector: false }, this.inputs);
  }

  dispose(): void {
    for (const tensor of [this.weights, this.scales, this.bias]) tensor?.dispose();
  }
}

export class WebgpuRouter extends WebgpuLinear implements RouterWeights {
  constructor(device: WebgpuDevice, layer: DenseLayer) {
    super(device, layer, 'f32');
  }

  get experts(): number {
    return this.outputs;
  }
}

function pack(weight: Float32Array, outputs: number, inputs: number, type: WeightType) {
  if (type === 'f32') return { words: weight, scales: null };
  const { values, scales } =
    type === 'bf16' ? { values: roundToBf16(weight), scales: null } : quantiseRows(weight, outputs, inputs);
  const perWord = valuesPerWord[type];
  const padded = Math.ceil(inputs / perWord) * perWord;
  const rows = type === 'bf16' ? new Uint16Array(outputs * padded) : new Int8Array(outputs * padded);
  for (let o = 0; o < outputs; o++) rows.set(values.subarray(o * inputs, (o + 1) * inputs), o * padded);
  return { words: new Int32Array(rows.buffer), scales };
}

/** Both matrices in one, the keys' rows first. */
export class WebgpuKv implements KvWeights {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly groupSizes: readonly number[];
  readonly pooling: KvLayer['pooling'];
  /** [2·kvHeads·headDim, inputs], with a bias always. */
  readonly both: WebgpuLinear;

  constructor(device: WebgpuDevice, { k, v, kvHeads, groupSizes, pooling }: KvLayer, type: WeightType) {
    this.kvHeads = kvHeads;
    this.headDim = k.outputs / kvHeads;
    this.groupSizes = groupSizes;
    this.pooling = pooling;
    const joined = (first: Float32Array, second: Float32Array) => {
      const both = new Float32Array(first.length + second.length);
      both.set(first);
      both.set(second, first.length);
      return both;
    };
    const biasOf = ({ bias, outputs }: DenseLayer) => bias ?? new Float32Array(outputs);
    const both = { weight: joined(k.weight, v.weight), bias: joined(biasOf(k), biasOf(v)), outputs: 2 * k.outputs, inputs: k.inputs };
    this.both = new WebgpuLinear(device, both, type);
  }

  get bytes(): number {
    return this.both.bytes;
  }

  dispose(): void {
    this.both.dispose();
  }
}

export class WebgpuVector implements Vector {
  readonly size: number;
  readonly tensor: Tensor;

  constructor(device: WebgpuDevice, values: Float32Array) {
    this.size = values.length;
    this.tensor = device.tensor([values.length], 'float32', values);
  }

  get bytes(): number {
    return 4 * this.size;
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

export class WebgpuRows implements Rows {
  readonly tensor: Tensor2D;

  constructor(
    device: WebgpuDevice,
    readonly capacity: number,
    readonly width: number,
  ) {
    this.tensor = device.tensor([capacity, width], 'float32') as Tensor2D;
  }

  get bytes(): number {
    return 4 * this.capacity * this.width;
  }

  /** A tensor of the first rows, for stock operations; the caller disposes it. */
  first(rows: number): Tensor2D {
    return tf.slice(this.tensor, [0, 0], [rows, this.width]);
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

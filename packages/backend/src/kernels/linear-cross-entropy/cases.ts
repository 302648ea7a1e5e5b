import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { SeededRandom } from '../../random';
import { integers, normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { linearCrossEntropy, tokenNll } from './op';

interface Shape {
  readonly rows: number;
  readonly size: number;
  readonly vocabulary: number;
  /** Targets are drawn from here; −1 leaves rows out. */
  readonly least?: number;
  /** Size of the hidden states: large ones make logits of hundreds. */
  readonly scale?: number;
}

const shapes: readonly Shape[] = [
  { rows: 1, size: 4, vocabulary: 3 },
  { rows: 9, size: 16, vocabulary: 37 },
  { rows: 70, size: 8, vocabulary: 130 },
  { rows: 12, size: 8, vocabulary: 5, least: -3 },
  { rows: 6, size: 16, vocabulary: 40, scale: 50 },
];

const nameOf = ({ rows, size, vocabulary, least = 0, scale = 1 }: Shape) =>
  `${rows}x${size}, vocabulary ${vocabulary}${least < 0 ? ', some left out' : ''}${scale > 1 ? ', large logits' : ''}`;

const inputsOf = ({ rows, size, vocabulary, least = 0, scale = 1 }: Shape) => (random: SeededRandom) => [
  normal(random, [rows, size], scale),
  normal(random, [vocabulary, size]),
  integers(random, [rows], vocabulary, least),
];

export const linearCrossEntropyCases: KernelCase[] = [
  ...shapes.map(
    (shape): KernelCase => ({
      kernel: 'linearCrossEntropy',
      name: nameOf(shape),
      inputs: inputsOf(shape),
      run: (x: Tensor2D, w: Tensor2D, targets: Tensor1D) => linearCrossEntropy(x, w, targets),
      ...(shape.scale === undefined ? { differentiable: [0, 1] } : {}),
    }),
  ),
  {
    kernel: 'linearCrossEntropy',
    name: '4x8, vocabulary 9, all left out',
    inputs: (random) => [normal(random, [4, 8]), normal(random, [9, 8]), tf.fill([4], -1, 'int32')],
    run: (x: Tensor2D, w: Tensor2D, targets: Tensor1D) => linearCrossEntropy(x, w, targets),
    differentiable: [0, 1],
  },
];

export const tokenNllCases: KernelCase[] = [
  ...shapes.map(
    (shape): KernelCase => ({
      kernel: 'tokenNll',
      name: nameOf(shape),
      inputs: inputsOf(shape),
      run: (x: Tensor2D, w: Tensor2D, targets: Tensor1D) => tokenNll(x, w, targets),
    }),
  ),
  {
    kernel: 'tokenNll',
    name: '5x8, vocabulary 6, NaN in a row',
    inputs: (random) => [normalWith(random, [5, 8], [NaN]), normal(random, [6, 8]), integers(random, [5], 6)],
    run: (x: Tensor2D, w: Tensor2D, targets: Tensor1D) => tokenNll(x, w, targets),
  },
];

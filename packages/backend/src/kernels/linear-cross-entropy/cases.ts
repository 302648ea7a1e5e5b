import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { SeededRandom } from '../../random';
import { integers, normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { type HeadOptions, linearCrossEntropy, tokenNll } from './op';

interface Shape {
  readonly rows: number;
  readonly size: number;
  readonly vocabulary: number;
  /** Targets are drawn from here; negative ones leave rows out. */
  readonly least?: number;
  /** Size of the hidden states: large ones make logits of hundreds. */
  readonly scale?: number;
  readonly softCap?: number;
}

// Around the kernel's block of 64 rows, and the fast product's blocks of 256 in depth and 512 columns.
const shapes: readonly Shape[] = [
  { rows: 1, size: 3, vocabulary: 1 },
  { rows: 1, size: 1, vocabulary: 2 },
  { rows: 2, size: 5, vocabulary: 3 },
  { rows: 5, size: 6, vocabulary: 10 },
  { rows: 64, size: 8, vocabulary: 33 },
  { rows: 65, size: 12, vocabulary: 130 },
  { rows: 131, size: 7, vocabulary: 9 },
  { rows: 4, size: 261, vocabulary: 21 },
  { rows: 7, size: 16, vocabulary: 519 },
  { rows: 3, size: 20, vocabulary: 1030 },
  { rows: 12, size: 8, vocabulary: 5, least: -3 },
  { rows: 9, size: 8, vocabulary: 22, scale: 1000 },
  { rows: 66, size: 8, vocabulary: 35, least: -9, softCap: 1.5 },
];

interface Inputs extends Pick<KernelCase, 'name' | 'inputs'> {
  readonly differentiable: boolean;
  readonly options?: HeadOptions;
}

const inputs: readonly Inputs[] = [
  ...shapes.map(
    ({ rows, size, vocabulary, least = 0, scale = 1, softCap }): Inputs => ({
      name: `${rows}x${size}, vocabulary ${vocabulary}${least < 0 ? ', some left out' : ''}${scale > 1 ? ', large logits' : ''}${softCap ? `, capped at ${softCap}` : ''}`,
      inputs: (random) => [
        normal(random, [rows, size], scale),
        normal(random, [vocabulary, size], size ** -0.5),
        integers(random, [rows], vocabulary, least),
      ],
      differentiable: scale === 1,
      ...(softCap ? { options: { softCap } } : {}),
    }),
  ),
  {
    name: '150x10, vocabulary 37, a whole block of rows left out',
    inputs: (random) => [normal(random, [150, 10]), normal(random, [37, 10], 0.3), targetsWithGap(random)],
    differentiable: true,
  },
  {
    name: '6x5, vocabulary 11, all left out',
    inputs: (random) => [normal(random, [6, 5]), normal(random, [11, 5]), tf.fill([6], -100, 'int32')],
    differentiable: true,
  },
  {
    name: '5x8, vocabulary 6, NaN in a row',
    inputs: (random) => [normalWith(random, [5, 8], [NaN]), normal(random, [6, 8]), integers(random, [5], 6)],
    differentiable: false,
  },
];

function targetsWithGap(random: SeededRandom): Tensor1D {
  const targets = Int32Array.from({ length: 150 }, (_, i) =>
    (i >= 64 && i < 128) || i % 3 === 1 ? -1 - random.nextInt(200) : random.nextInt(37),
  );
  return tf.tensor1d(targets, 'int32');
}

export const cases: KernelCase[] = inputs.flatMap(({ name, inputs, differentiable, options }): KernelCase[] => [
  {
    kernel: 'linearCrossEntropy',
    name,
    inputs,
    run: (x: Tensor2D, w: Tensor2D, targets: Tensor1D) => linearCrossEntropy(x, w, targets, options),
    ...(differentiable ? { differentiable: [0, 1] } : {}),
  },
  {
    kernel: 'tokenNll',
    name,
    inputs,
    run: (x: Tensor2D, w: Tensor2D, targets: Tensor1D) => tokenNll(x, w, targets, options),
  },
]);

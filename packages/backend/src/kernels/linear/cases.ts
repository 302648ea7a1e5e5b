import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { linear } from './op';

// Around the fast product's tile of 4x8, its depth block of 256 and its column block of 512.
const shapes = [
  [1, 1, 1], [1, 3, 2], [2, 256, 8], [3, 5, 7], [4, 8, 8], [5, 257, 9], [6, 24, 513], [7, 515, 17], [9, 16, 1030],
  [17, 33, 31], [64, 64, 64], [130, 20, 12], [259, 6, 5], [300, 9, 520],
] as const;

const variants = [
  { bias: true, relu: false },
  { bias: false, relu: false },
  { bias: true, relu: true },
  { bias: false, relu: true },
];

export const cases: KernelCase[] = [
  ...shapes.flatMap(([rows, inputs, outputs]) =>
    variants.map(({ bias, relu }): KernelCase => ({
      kernel: 'linear',
      name: `${rows}x${inputs} to ${outputs}${bias ? ', bias' : ''}${relu ? ', relu' : ''}`,
      inputs: (random) => {
        // With ReLU every output column lies on one side of the kink: finite differences can't step over it.
        const x = normal(random, [rows, inputs]);
        const parameters = [normal(random, [outputs, inputs]), ...(bias ? [normal(random, [outputs])] : [])];
        return relu ? [positive(x), ...parameters.map(alternating)] : [x, ...parameters];
      },
      run: (...[x, w, b]: Tensor[]) =>
        linear(x as Tensor2D, w as Tensor2D, (b as Tensor1D | undefined) ?? null, relu ? 'relu' : undefined),
      differentiable: bias ? [0, 1, 2] : [0, 1],
      // Linear in each input: a large step is as true as a small one, and less lost in rounding.
      step: 0.05,
    })),
  ),
  {
    kernel: 'linear',
    name: 'relu on both sides of 0',
    inputs: (random) => [normal(random, [13, 21]), normal(random, [11, 21]), normal(random, [11])],
    run: (x: Tensor2D, w: Tensor2D, bias: Tensor1D) => linear(x, w, bias, 'relu'),
  },
  {
    kernel: 'linear',
    name: '9x20 to 11, NaN and infinities',
    inputs: (random) => [
      normalWith(random, [9, 20], [NaN]),
      normal(random, [11, 20]),
      normalWith(random, [11], [Infinity, -Infinity, NaN]),
    ],
    run: (x: Tensor2D, w: Tensor2D, bias: Tensor1D) => linear(x, w, bias, 'relu'),
  },
];

function positive(x: Tensor): Tensor {
  return tf.add(tf.abs(x), 0.5);
}

/** Positive and negative numbers, all of one row (or each element) of one sign. */
function alternating(x: Tensor): Tensor {
  const signs = Array.from({ length: x.shape[0]! }, (_, i) => (i % 2 === 0 ? 1 : -1));
  return tf.mul(positive(x), tf.tensor(signs, x.rank === 1 ? [signs.length] : [signs.length, 1]));
}

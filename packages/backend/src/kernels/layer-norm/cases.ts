import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { layerNorm } from './op';

interface Variant {
  readonly rows: number;
  readonly size: number;
  readonly epsilon?: number;
  /** Added to x: a mean far from 0 must not eat the variance. */
  readonly mean?: number;
  readonly deviation?: number;
}

const variants: readonly Variant[] = [
  { rows: 1, size: 2 },
  { rows: 1, size: 4 },
  { rows: 3, size: 5 },
  { rows: 5, size: 7, deviation: 3 },
  { rows: 17, size: 64 },
  { rows: 65, size: 30 },
  { rows: 4, size: 771 },
  { rows: 9, size: 12, epsilon: 0.5 },
  { rows: 9, size: 12, epsilon: 1e-12 },
  { rows: 6, size: 33, mean: 100 },
  { rows: 6, size: 33, deviation: 1e-3 },
  { rows: 6, size: 33, deviation: 1e6 },
];

const run = (x: Tensor2D, gamma: Tensor1D, beta: Tensor1D) => layerNorm(x, gamma, beta);

export const cases: KernelCase[] = [
  ...variants.map(
    ({ rows, size, epsilon, mean = 0, deviation = 1 }): KernelCase => ({
      kernel: 'layerNorm',
      name:
        `${rows}x${size}${epsilon === undefined ? '' : `, epsilon ${epsilon}`}` +
        `${mean === 0 ? '' : `, mean ${mean}`}${deviation === 1 ? '' : `, deviation ${deviation}`}`,
      inputs: (random) => [
        tf.add(normal(random, [rows, size], deviation), mean),
        normal(random, [size]),
        normal(random, [size]),
      ],
      run: (x: Tensor2D, gamma: Tensor1D, beta: Tensor1D) => layerNorm(x, gamma, beta, epsilon),
      // Two numbers always become ±1, so that the gradient of x is rounding noise.
      differentiable: size === 2 ? [1, 2] : [0, 1, 2],
      // The step is a share of x, and has to be small beside its deviation.
      ...(mean === 0 ? {} : { step: 2e-4 }),
    }),
  ),
  {
    kernel: 'layerNorm',
    name: '3x6, constant',
    inputs: (random) => [tf.fill([3, 6], 2), normal(random, [6]), normal(random, [6])],
    run,
  },
  {
    kernel: 'layerNorm',
    name: '4x9, NaN and infinity in a row each',
    inputs: (random) => [normalWith(random, [4, 9], [1, NaN, 1, 1, 1, 1, 1, 1, 1, Infinity]), normal(random, [9]), normal(random, [9])],
    run,
  },
];

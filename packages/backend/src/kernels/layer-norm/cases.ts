import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { layerNorm } from './op';

const shapes = [[1, 4], [6, 32], [5, 7], [33, 130]] as const;

export const layerNormCases: KernelCase[] = [
  ...shapes.map(
    ([rows, size]): KernelCase => ({
      kernel: 'layerNorm',
      name: `${rows}x${size}`,
      inputs: (random) => [normal(random, [rows, size], 3), normal(random, [size]), normal(random, [size])],
      run: (x: Tensor2D, gamma: Tensor1D, beta: Tensor1D) => layerNorm(x, gamma, beta),
      differentiable: [0, 1, 2],
    }),
  ),
  {
    kernel: 'layerNorm',
    name: '4x16, epsilon 0.1',
    inputs: (random) => [normal(random, [4, 16]), normal(random, [16]), normal(random, [16])],
    run: (x: Tensor2D, gamma: Tensor1D, beta: Tensor1D) => layerNorm(x, gamma, beta, 0.1),
    differentiable: [0, 1, 2],
  },
  {
    kernel: 'layerNorm',
    name: '3x12, a row with NaN',
    inputs: (random) => [normalWith(random, [3, 12], [1, NaN]), normal(random, [12]), normal(random, [12])],
    run: (x: Tensor2D, gamma: Tensor1D, beta: Tensor1D) => layerNorm(x, gamma, beta),
  },
];

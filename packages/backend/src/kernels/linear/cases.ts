import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import type { Activation } from './op';
import { linear } from './op';

// Sizes on, below and above the tiles of the fast product, and single rows and columns.
const shapes = [[1, 1, 1], [1, 8, 5], [4, 8, 8], [17, 33, 9], [64, 96, 40], [5, 3, 130]] as const;
const activations = [undefined, 'relu'] as const;

function withBias(rows: number, inputs: number, outputs: number, activation?: Activation): KernelCase {
  return {
    kernel: 'linear',
    name: `${rows}x${inputs} to ${outputs}, bias${activation ? `, ${activation}` : ''}`,
    inputs: (random) => [normal(random, [rows, inputs]), normal(random, [outputs, inputs]), normal(random, [outputs])],
    run: (x: Tensor2D, w: Tensor2D, bias: Tensor1D) => linear(x, w, bias, activation),
    differentiable: [0, 1, 2],
  };
}

export const linearCases: KernelCase[] = [
  ...shapes.flatMap(([rows, inputs, outputs]) =>
    activations.map((activation) => withBias(rows, inputs, outputs, activation)),
  ),
  {
    kernel: 'linear',
    name: '6x10 to 7, no bias',
    inputs: (random) => [normal(random, [6, 10]), normal(random, [7, 10])],
    run: (x: Tensor2D, w: Tensor2D) => linear(x, w, null),
    differentiable: [0, 1],
  },
  {
    kernel: 'linear',
    name: '9x20 to 11, NaN and infinities in x',
    inputs: (random) => [normalWith(random, [9, 20], [NaN]), normal(random, [11, 20]), normalWith(random, [11], [Infinity, -Infinity])],
    run: (x: Tensor2D, w: Tensor2D, bias: Tensor1D) => linear(x, w, bias, 'relu'),
  },
];

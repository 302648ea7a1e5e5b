import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { integers, normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { embedding } from './op';

const shapes = [[1, 1, 1], [8, 5, 20], [50, 32, 7]] as const;

export const embeddingCases: KernelCase[] = [
  ...shapes.map(
    ([rows, size, count]): KernelCase => ({
      kernel: 'embedding',
      name: `${count} of ${rows}x${size}`,
      inputs: (random) => [normal(random, [rows, size]), integers(random, [count], rows)],
      run: (table: Tensor2D, ids: Tensor1D) => embedding(table, ids),
      differentiable: [0],
    }),
  ),
  {
    kernel: 'embedding',
    name: '12 of 4x6, NaN and infinities in a row',
    inputs: (random) => [normalWith(random, [4, 6], [NaN, Infinity, -Infinity]), integers(random, [12], 4)],
    run: (table: Tensor2D, ids: Tensor1D) => embedding(table, ids),
  },
];

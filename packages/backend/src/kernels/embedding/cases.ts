import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { integers, normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { embedding } from './op';

const shapes = [[1, 1, 1], [1, 5, 9], [3, 4, 1], [7, 6, 40], [50, 16, 33], [260, 3, 11], [11, 131, 5]] as const;

const run = (table: Tensor2D, ids: Tensor1D) => embedding(table, ids);

export const cases: KernelCase[] = [
  ...shapes.map(
    ([rows, size, count]): KernelCase => ({
      kernel: 'embedding',
      name: `${count} of ${rows}x${size}`,
      inputs: (random) => [normal(random, [rows, size]), integers(random, [count], rows)],
      run,
      differentiable: [0],
    }),
  ),
  {
    kernel: 'embedding',
    name: 'first and last row, one id many times, rows without an id',
    inputs: (random) => [normal(random, [9, 5]), tf.tensor1d([8, 0, 3, 3, 3, 3, 8, 3], 'int32')],
    run,
    differentiable: [0],
  },
  {
    kernel: 'embedding',
    name: '12 of 4x6, NaN and infinities in a row',
    inputs: (random) => [normalWith(random, [4, 6], [NaN, Infinity, -Infinity]), integers(random, [12], 4)],
    run,
  },
];

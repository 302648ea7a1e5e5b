import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { integers, normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { groupMean } from './op';

interface Shape {
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  readonly groupSizes: readonly number[];
  /** Experts are drawn from here; −1 is padding. */
  readonly least?: number;
  readonly pooling?: 'mean' | 'root';
}

const shapes: readonly Shape[] = [
  { tokens: 1, heads: 1, headDim: 1, groupSizes: [1] },
  { tokens: 1, heads: 2, headDim: 4, groupSizes: [2] },
  { tokens: 9, heads: 3, headDim: 6, groupSizes: [1, 3] },
  { tokens: 10, heads: 4, headDim: 5, groupSizes: [1, 2, 4] },
  { tokens: 65, heads: 8, headDim: 16, groupSizes: [1, 2, 4, 8] },
  { tokens: 33, heads: 12, headDim: 20, groupSizes: [4, 1, 6, 3] },
  { tokens: 17, heads: 4, headDim: 64, groupSizes: [4, 2] },
  { tokens: 10, heads: 4, headDim: 3, groupSizes: [2, 4], least: -1 },
  { tokens: 11, heads: 4, headDim: 6, groupSizes: [1, 2, 4], least: -1, pooling: 'root' },
];

export const cases: KernelCase[] = [
  ...shapes.map(
    ({ tokens, heads, headDim, groupSizes, least = 0, pooling = 'mean' }): KernelCase => ({
      kernel: 'groupMean',
      name: `${tokens} tokens, ${heads} heads of ${headDim}, groups of ${groupSizes.join(', ')}${least < 0 ? ', padding' : ''}${pooling === 'root' ? ', over the root' : ''}`,
      inputs: (random) => [normal(random, [tokens, heads * headDim]), integers(random, [tokens], groupSizes.length, least)],
      run: (x: Tensor2D, assignment: Tensor1D) => groupMean(x, assignment, { headDim, groupSizes, pooling }),
      differentiable: [0],
    }),
  ),
  {
    kernel: 'groupMean',
    name: '6 tokens, 2 heads of 4, NaN and infinity',
    inputs: (random) => [normalWith(random, [6, 8], [NaN, Infinity, -Infinity]), tf.zeros([6], 'int32')],
    run: (x: Tensor2D, assignment: Tensor1D) => groupMean(x, assignment, { headDim: 4, groupSizes: [2] }),
  },
];

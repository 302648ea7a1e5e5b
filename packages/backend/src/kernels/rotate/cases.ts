import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { rotate } from './op';

const shapes: readonly { batch: number; length: number; heads: number; headDim: number }[] = [
  { batch: 1, length: 1, heads: 1, headDim: 2 },
  { batch: 2, length: 5, heads: 3, headDim: 6 },
  { batch: 3, length: 4, heads: 2, headDim: 8 },
  { batch: 1, length: 33, heads: 4, headDim: 22 },
];

const anglesOf = (length: number, headDim: number): Tensor2D => {
  const turns = tf.mul(tf.reshape(tf.range(0, length), [length, 1]), tf.reshape(tf.range(1, headDim / 2 + 1), [1, headDim / 2]));
  return tf.concat([tf.cos(turns), tf.sin(turns)], 1) as Tensor2D;
};

export const cases: KernelCase[] = [
  ...shapes.map(({ batch, length, heads, headDim }): KernelCase => ({
    kernel: 'rotate',
    name: `${batch} x ${length} tokens, ${heads} heads of ${headDim}`,
    inputs: (random) => [normal(random, [batch * length, heads * headDim]), anglesOf(length, headDim)],
    run: (x: Tensor2D, angles: Tensor2D) => rotate(x, angles),
    differentiable: [0],
  })),
  {
    kernel: 'rotate',
    name: '1 x 3 tokens, 2 heads of 4, NaN in the first',
    inputs: (random) => [normalWith(random, [3, 8], [NaN]), anglesOf(3, 4)],
    run: (x: Tensor2D, angles: Tensor2D) => rotate(x, angles),
  },
];

import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { integers, normal } from '../../testing/inputs';
import * as tf from '@tensorflow/tfjs-core';
import type { KernelCase } from '../../testing/kernel-case';
import { expertChoice } from './op';

const shapes = [
  { batch: 1, length: 1, ratios: [0.3, 0.1, 0.6] },
  { batch: 2, length: 20, ratios: [0.3, 0.1, 0.6] },
  { batch: 3, length: 33, ratios: [0.25, 0.25, 0.5] },
  { batch: 1, length: 17, ratios: [0, 1] },
  { batch: 2, length: 9, ratios: [1] },
];

export const expertChoiceCases: KernelCase[] = [
  ...shapes.map(
    ({ batch, length, ratios }): KernelCase => ({
      kernel: 'expertChoice',
      name: `${batch} x ${length} tokens, ${ratios.join(':')}`,
      inputs: (random) => [normal(random, [batch, length, ratios.length])],
      run: (scores: Tensor3D) => expertChoice(scores, ratios),
    }),
  ),
  {
    kernel: 'expertChoice',
    name: '2 x 24 tokens, ties',
    inputs: (random) => [tf.cast(integers(random, [2, 24, 3], 3), 'float32')],
    run: (scores: Tensor3D) => expertChoice(scores, [0.3, 0.1, 0.6]),
  },
  {
    kernel: 'expertChoice',
    name: '3 x 15 tokens, padding',
    inputs: (random) => [normal(random, [3, 15, 3]), integers(random, [3, 15], 2)],
    run: (scores: Tensor3D, mask: Tensor2D) => expertChoice(scores, [0.3, 0.1, 0.6], mask),
  },
];

import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { rmsNorm } from './op';

const shapes: readonly { rows: number; size: number; epsilon?: number; scale?: number }[] = [
  { rows: 1, size: 2 },
  { rows: 3, size: 5 },
  { rows: 4, size: 16 },
  { rows: 17, size: 67 },
  { rows: 5, size: 768 },
  { rows: 3, size: 10, epsilon: 0.5 },
  { rows: 4, size: 9, scale: 1e-3, epsilon: 1e-5 },
];

export const cases: KernelCase[] = [
  ...shapes.map(({ rows, size, epsilon = 1e-6, scale = 1 }): KernelCase => ({
    kernel: 'rmsNorm',
    name: `${rows}x${size}, epsilon ${epsilon}${scale < 1 ? ', small numbers' : ''}`,
    inputs: (random) => [normal(random, [rows, size], scale), normal(random, [size])],
    run: (x: Tensor2D, gain: Tensor1D) => rmsNorm(x, gain, epsilon),
    differentiable: [0, 1],
  })),
  {
    kernel: 'rmsNorm',
    name: '3x6, NaN and infinity in a row',
    inputs: (random) => [normalWith(random, [3, 6], [NaN, Infinity]), normal(random, [6])],
    run: (x: Tensor2D, gain: Tensor1D) => rmsNorm(x, gain, 1e-6),
  },
];

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { normal } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import type { AdamwOptions } from './reference';
import { adamwStep, sumOfSquares } from './op';

const usual: AdamwOptions = {
  learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, step: 1, gradientScale: 1,
};

const variants: readonly [shape: number[], options: Partial<AdamwOptions>][] = [
  [[], {}],
  [[1], { step: 100 }],
  [[3], { weightDecay: 0 }],
  [[5, 7], { gradientScale: 0.03 }],
  [[16, 8], { step: 10, learningRate: 0.5, weightDecay: 0.5 }],
  [[13], { step: 100_000 }],
  [[13], { epsilon: 0.1 }],
  [[13], { beta2: 0.999, step: 3 }],
];

const adamwCases: KernelCase[] = variants.map(([shape, options]) => ({
  kernel: 'adamwStep',
  name: [shape.join('x') || 'scalar', ...Object.entries(options).map(([option, value]) => `${option} ${value}`)].join(', '),
  inputs: (random) => [
    normal(random, shape),
    normal(random, shape, 0.1),
    normal(random, shape, 0.1),
    tf.square(normal(random, shape, 0.1)),
  ],
  run: (parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor) => {
    // Fresh memory: the step is done in place.
    const variables = [parameter, first, second].map((tensor) => tf.variable(tf.add(tensor, 0)));
    const [p, m, v] = variables as [Variable, Variable, Variable];
    adamwStep(p, gradient, m, v, { ...usual, ...options });
    const results = variables.map((variable) => tf.clone(variable));
    tf.dispose(variables);
    return results;
  },
}));

const sumOfSquaresCases: KernelCase[] = [
  [[1]], [[4]], [[]], [[1], [7], [3, 5], [64, 33]],
].map((shapes): KernelCase => ({
  kernel: 'sumOfSquares',
  name: `${shapes.map((shape) => shape.join('x') || 'scalar').join(', ')}`,
  inputs: (random) => shapes.map((shape) => normal(random, shape)),
  run: (...tensors: Tensor[]) => sumOfSquares(tensors),
}));

export const cases: KernelCase[] = [...adamwCases, ...sumOfSquaresCases];

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { normal } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { adamwStep, sumOfSquares } from './op';

const shapes = [[1], [7], [16, 8], [5, 33]];

export const adamwCases: KernelCase[] = shapes.flatMap((shape) =>
  [1, 100].map(
    (step): KernelCase => ({
      kernel: 'adamwStep',
      name: `${shape.join('x')}, step ${step}`,
      inputs: (random) => [
        normal(random, shape),
        normal(random, shape),
        normal(random, shape, 0.1),
        tf.square(normal(random, shape, 0.1)),
      ],
      run: (parameter, gradient, first, second) => {
        // Fresh memory: the step is done in place.
        const variables = [parameter!, first!, second!].map((tensor) => tf.variable(tf.add(tensor, 0)));
        const [p, m, v] = variables as [tf.Variable, tf.Variable, tf.Variable];
        adamwStep(p, gradient!, m, v, {
          learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, step, gradientScale: 0.5,
        });
        const results = variables.map((variable) => tf.clone(variable));
        tf.dispose(variables);
        return results;
      },
    }),
  ),
);

export const sumOfSquaresCases: KernelCase[] = [
  {
    kernel: 'sumOfSquares',
    name: '1, 7, 3x5 and 64x33 elements',
    inputs: (random) => [[1], [7], [3, 5], [64, 33]].map((shape) => normal(random, shape)),
    run: (...tensors: Tensor[]) => sumOfSquares(tensors),
  },
];

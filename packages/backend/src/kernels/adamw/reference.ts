import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor, Variable } from '@tensorflow/tfjs-core';

export interface AdamwOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled weight decay of this parameter; 0 for biases and norms. */
  readonly weightDecay: number;
  /** Number of this step, from 1. */
  readonly step: number;
  /** The gradient is multiplied by this first: clipping and the mean over accumulated batches. */
  readonly gradientScale: number;
}

export function adamwReference(
  parameter: Variable, gradient: Tensor, first: Variable, second: Variable, options: AdamwOptions,
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = options;
  tf.tidy(() => {
    const g = tf.mul(gradient, gradientScale);
    const m = tf.add(tf.mul(first, beta1), tf.mul(g, 1 - beta1));
    const v = tf.add(tf.mul(second, beta2), tf.mul(tf.square(g), 1 - beta2));
    const direction = tf.div(
      tf.div(m, 1 - beta1 ** step),
      tf.add(tf.sqrt(tf.div(v, 1 - beta2 ** step)), epsilon),
    );
    const decayed = tf.mul(parameter, 1 - learningRate * weightDecay);
    first.assign(m);
    second.assign(v);
    parameter.assign(tf.sub(decayed, tf.mul(direction, learningRate)));
  });
}

export function sumOfSquaresReference(tensors: readonly Tensor[]): Scalar {
  return tensors.map((tensor) => tf.sum(tf.square(tensor)) as Scalar).reduce((a, b) => tf.add(a, b), tf.scalar(0));
}

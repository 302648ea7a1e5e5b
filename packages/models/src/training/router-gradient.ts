// How gradients pass between a router and the rest of the model.
import type { SoftMixture } from '@mixsga/experts';
import { type EstimatorKind, gradientEstimators, softGates } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';

/** The experts as the gates of these scores weigh them, for a gradient that reaches the scores. */
export function softMixture(scores: Tensor3D, ratios: readonly number[], kind: EstimatorKind): SoftMixture {
  return {
    gates: softGates(scores),
    gradient: (along, gates, assignment) => gradientEstimators[kind]({ along, gates, assignment, ratios }),
  };
}

/** The same values, to which no gradient passes back. */
export function withoutGradient<T extends Tensor>(x: T): T {
  const copy = tf.customGrad((x) => ({ value: tf.clone(x as Tensor), gradFunc: (dy: Tensor) => tf.zerosLike(dy) }));
  return copy(x) as T;
}

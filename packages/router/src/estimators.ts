import { expertChoice } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/** Gates are kept as far from 0 where something is divided by them. */
const LEAST_GATE = 1e-6;

/** What an estimator sees of the tokens of one layer, in the backward pass. */
export interface EstimatorInputs {
  /**
   * float32 [tokens, E]: the inner product of the loss's gradient in a token's keys and values with what each expert would make of
   * them, so that the difference of two is, in first order, what the other expert would add to the loss. 0 for padding.
   */
  readonly along: Tensor2D;
  /** float32 [tokens, E], row sum 1, from `softGates`. */
  readonly gates: Tensor2D;
  /** int32 [tokens], the expert that was taken; −1 for padding. */
  readonly assignment: Tensor1D;
  /** Capacity ratios of the E experts. */
  readonly ratios: readonly number[];
}

/** The gradient of the loss in the gates, float32 [tokens, E], where the hard choice of an expert has none. */
export type GradientEstimator = (inputs: EstimatorInputs) => Tensor2D;

/**
 * Distillation of measured importance: the cross-entropy of the gates against the experts that progressive expert choice would give all
 * these tokens by how much loss, in first order, each expert saves over the coarsest one. The sizes of the savings do not matter, only
 * their order: they are noisy, with a long tail.
 */
const importance: GradientEstimator = ({ along, gates, assignment, ratios }) =>
  tf.tidy(() => {
    const [tokens, experts] = gates.shape;
    const real = tf.reshape(tf.cast(tf.greaterEqual(assignment, 0), 'int32'), [1, tokens]) as Tensor2D;
    const saved = tf.reshape(tf.sub(tf.slice(along, [0, experts - 1], [tokens, 1]), along), [1, tokens, experts]) as Tensor3D;
    const target = oneHot(tf.reshape(expertChoice(saved, ratios, real), [tokens]), experts); // 0 for padding
    const count = tf.maximum(tf.sum(real), 1);
    return tf.neg(tf.div(tf.div(target, tf.maximum(gates, LEAST_GATE)), count)) as Tensor2D;
  });

/** How the language-modelling loss can reach routers. A new one is a function here. */
export const gradientEstimators = { importance } satisfies Record<string, GradientEstimator>;

export type EstimatorKind = keyof typeof gradientEstimators;

/** float32 [tokens, E]; a row of zeros for −1. One-hot as int32: as float32 it is wrong on wasm. */
function oneHot(assignment: Tensor1D, experts: number): Tensor2D {
  return tf.cast(tf.oneHot(assignment, experts, 1, 0, 'int32') as Tensor2D, 'float32');
}

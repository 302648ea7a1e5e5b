import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/** Scores are kept as far as this from 0 and 1, where float32 could not tell their log-odds. */
const [LEAST, ROOM] = [1e-37, 6e-8];

/** log(s / (1 − s)): x of s = sigmoid(x). */
export function logOdds(score: number): number {
  return Math.log(Math.max(score, LEAST)) - Math.log(Math.max(1 - score, ROOM));
}

/**
 * The gates of a soft mixture of the experts: the softmax, over the experts, of the scores' log-odds (their logits). What a gradient
 * estimator differentiates where the decision itself passes no gradient.
 *
 * @param scores float32 [B, T, E], from 0 to 1, from `Router.score`
 * @returns float32 [B·T, E] of row sum 1; differentiable
 */
export function softGates(scores: Tensor3D): Tensor2D {
  const [batch, length, experts] = scores.shape;
  return tf.tidy(() => {
    const flat = tf.reshape(scores, [batch * length, experts]);
    const logits = tf.sub(tf.log(tf.maximum(flat, LEAST)), tf.log(tf.maximum(tf.sub(1, flat), ROOM)));
    return tf.softmax(logits) as Tensor2D;
  });
}

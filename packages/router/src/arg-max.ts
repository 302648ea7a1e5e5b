import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/**
 * The expert with the highest score, ties to the lower index. Composed of comparisons and a maximum of small whole
 * numbers, which are exact, since the order in which tfjs's own argMax meets ties is not fixed on webgpu.
 *
 * @param scores float32 [B, T, E]
 * @returns int32 [B, T]
 */
export function argMaxExpert(scores: Tensor3D): Tensor2D {
  const experts = scores.shape[2];
  return tf.tidy(() => {
    const highest = tf.cast(tf.equal(scores, tf.max(scores, 2, true)), 'float32');
    const rank = tf.max(tf.mul(highest, tf.range(experts, 0, -1)), 2); // E for expert 0, …, 1 for the last
    // Scores of NaN equal nothing and have rank 0: they go to the last expert instead of one that is none.
    return tf.cast(tf.minimum(tf.sub(experts, rank), experts - 1), 'int32') as Tensor2D;
  });
}

/**
 * {@link argMaxExpert} of the tokens whose mask is not 0, and −1 for the others: how a causal router assigns.
 * @param mask int32 or bool [B, T]; all tokens are real when left out
 * @returns int32 [B, T]
 */
export function argMaxOfReal(scores: Tensor3D, mask?: Tensor2D): Tensor2D {
  if (!mask) return argMaxExpert(scores);
  return tf.tidy(() => tf.where(tf.notEqual(mask, 0), argMaxExpert(scores), tf.fill(mask.shape, -1, 'int32')) as Tensor2D);
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { expertCapacity } from './capacity';

/**
 * Ranks by counting, for each token, the untaken tokens that come before it: a higher score, or the same and earlier.
 * Comparisons alone, so that ties fall the same way on every backend.
 */
export function expertChoiceReference(scores: Tensor3D, ratios: readonly number[], mask?: Tensor2D): Tensor2D {
  const [batch, length, experts] = scores.shape;
  const real: Tensor = mask ? tf.cast(tf.notEqual(mask, 0), 'float32') : tf.ones([batch, length]);
  const realTokens = tf.cast(tf.sum(real, 1), 'int32'); // [B]
  const positions = tf.range(0, length, 1, 'int32');
  const earlier = tf.less(tf.reshape(positions, [1, 1, length]), tf.reshape(positions, [1, length, 1])); // [1, T, T]
  let free = real;
  let assignment: Tensor = tf.sub(real, 1); // -1 for padding, 0 else
  for (let expert = 0; expert < experts; expert++) {
    let taken = free;
    if (expert < experts - 1) {
      const score = tf.reshape(tf.slice(scores, [0, 0, expert], [batch, length, 1]), [batch, length]);
      const other = tf.expandDims(score, 1); // [B, 1, T]
      const own = tf.expandDims(score, 2); // [B, T, 1]
      const before = tf.logicalOr(tf.greater(other, own), tf.logicalAnd(tf.equal(other, own), earlier));
      const rank = tf.sum(tf.mul(tf.cast(before, 'float32'), tf.expandDims(free, 1)), 2); // [B, T]
      const capacities = Array.from({ length: length + 1 }, (_, tokens) => expertCapacity(ratios[expert]!, tokens));
      const capacity = tf.expandDims(tf.gather(tf.tensor1d(capacities), realTokens), 1); // [B, 1]
      taken = tf.mul(free, tf.cast(tf.less(rank, capacity), 'float32'));
    }
    assignment = tf.add(assignment, tf.mul(taken, expert));
    free = tf.sub(free, taken);
  }
  return tf.cast(assignment, 'int32') as Tensor2D;
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { GroupMeanOptions } from './op';

export function groupMeanReference(
  x: Tensor2D, assignment: Tensor1D, { headDim, groupSizes }: GroupMeanOptions,
): Tensor2D {
  const [tokens, width] = x.shape;
  const chosen = (expert: Tensor) => tf.cast(tf.reshape(expert, [tokens, 1]), 'float32');
  let y: Tensor = tf.mul(x, chosen(tf.less(assignment, 0)));
  groupSizes.forEach((size, expert) => {
    const grouped = tf.reshape(x, [tokens, width / (size * headDim), size, headDim]);
    const spread = tf.mul(tf.mean(grouped, 2, true), tf.ones([1, 1, size, 1]));
    y = tf.add(y, tf.mul(tf.reshape(spread, [tokens, width]), chosen(tf.equal(assignment, expert))));
  });
  return y as Tensor2D;
}

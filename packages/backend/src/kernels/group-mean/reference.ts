import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

export interface GroupMeanOptions {
  readonly headDim: number;
  /** Group size of each expert; each divides the number of heads. */
  readonly groupSizes: readonly number[];
  /**
   * What a run of g heads becomes: its `mean` (the paper, the default), or with `root` its sum over √g, which keeps the
   * variance of heads that are independent of each other.
   */
  readonly pooling?: 'mean' | 'root';
}

export function groupMeanReference(
  x: Tensor2D, assignment: Tensor1D, { headDim, groupSizes, pooling }: GroupMeanOptions,
): Tensor2D {
  const [tokens, width] = x.shape;
  const experts = tf.reshape(assignment, [tokens, 1]);
  let y: Tensor = x;
  groupSizes.forEach((size, expert) => {
    const grouped = tf.reshape(x, [tokens, width / (size * headDim), size, headDim]);
    const factor = pooling === 'root' ? Math.sqrt(size) : 1;
    const spread = tf.mul(tf.mean(grouped, 2, true), tf.fill([1, 1, size, 1], factor));
    // A choice, not a product with 0 and 1, which would turn an infinity of another expert into NaN.
    y = tf.where(tf.equal(experts, expert), tf.reshape(spread, [tokens, width]), y);
  });
  return y as Tensor2D;
}

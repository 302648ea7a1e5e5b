import { ArgumentError, groupMean } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { Expert, KeyValue } from './expert';

export interface MixOptions {
  readonly headDim: number;
  /** Group size of each expert; each divides the number of KV heads. */
  readonly groupSizes: readonly number[];
  /** What g heads become: their `mean` (the paper, the default), or with `root` their sum over √g. */
  readonly pooling?: 'mean' | 'root';
}

/**
 * The keys and values that attention sees when every token is stored by its own grouped expert (paper section 3.3):
 * each run of g heads of a token is replaced by its mean, g being the group size of the token's expert.
 *
 * @param k, v float32 [tokens, KV heads · head dimension], the layer's own projections
 * @param assignment int32 [tokens], the token's expert; negative (padding) leaves the token as it is
 * @returns the same shapes; differentiable in k and v
 * @throws ArgumentError when the shapes do not fit or a group size does not divide the heads
 */
export function mixKv(k: Tensor2D, v: Tensor2D, assignment: Tensor1D, options: MixOptions): KeyValue<Tensor2D> {
  return { k: groupMean(k, assignment, options), v: groupMean(v, assignment, options) };
}

/**
 * {@link mixKv} for experts of any layout: every expert stores and reads back all tokens, and each token takes the
 * result of its own. The meaning of `mixKv`, at the number of experts times the work.
 *
 * @param k, v float32 [tokens, KV heads · head dimension]
 * @param assignment int32 [tokens], an index into `experts`; negative (padding) leaves the token as it is
 * @returns the same shapes; differentiable in k and v
 * @throws ArgumentError when the rows do not hold the experts' KV heads
 */
export function mixKvByExperts(
  k: Tensor2D,
  v: Tensor2D,
  assignment: Tensor1D,
  experts: readonly Expert[],
): KeyValue<Tensor2D> {
  const [tokens, width] = k.shape;
  const misfit = experts.find((expert) => width % expert.kvHeads !== 0);
  if (misfit) {
    throw new ArgumentError(`mixKvByExperts: expected rows of ${misfit.kvHeads} KV heads, got a width of ${width}`);
  }
  const [keys, values] = tf.tidy(() => {
    const choose = (x: Tensor, expert: number) =>
      tf.mul(tf.reshape(x, [tokens, width]), tf.reshape(tf.cast(tf.equal(assignment, expert), 'float32'), [tokens, 1]));
    const padding = tf.reshape(tf.cast(tf.less(assignment, 0), 'float32'), [tokens, 1]);
    let keys: Tensor = tf.mul(k, padding);
    let values: Tensor = tf.mul(v, padding);
    experts.forEach((expert, index) => {
      const shape = [tokens, expert.kvHeads, width / expert.kvHeads];
      const read = expert.expand(expert.compress(tf.reshape(k, shape), tf.reshape(v, shape)));
      keys = tf.add(keys, choose(read.k, index));
      values = tf.add(values, choose(read.v, index));
    });
    return [keys, values];
  }) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';

export interface CausalAttentionOptions {
  /** Sequences in the batch. */
  readonly batch: number;
  /** Query heads. */
  readonly heads: number;
  /** KV heads; each serves heads/kvHeads consecutive query heads. */
  readonly kvHeads: number;
  /** Factor of the scores; default headDim^-0.5. */
  readonly scale?: number;
  /** Tokens that a query sees at most, itself and those before it; default all. */
  readonly window?: number;
  /** Scores s, after their factor, become softCap·tanh(s / softCap); default they don't. */
  readonly softCap?: number;
}

/** With a `softCap` of 0 for none. */
export function causalAttentionReference(
  q: Tensor2D, k: Tensor2D, v: Tensor2D, { batch, heads, kvHeads, scale, window, softCap }: Required<CausalAttentionOptions>,
): Tensor2D {
  const [rows, width] = q.shape;
  const length = rows / batch;
  const group = heads / kvHeads;
  const headDim = width / heads;
  // [B·T, n·d] -> [B, n, T, d]; each KV head is then repeated for its group of query heads.
  const split = (x: Tensor, n: number) => tf.transpose(tf.reshape(x, [batch, length, n, headDim]), [0, 2, 1, 3]);
  const repeat = (x: Tensor) =>
    group === 1
      ? x
      : tf.reshape(
          tf.mul(tf.reshape(x, [batch, kvHeads, 1, length * headDim]), tf.ones([1, 1, group, 1])),
          [batch, heads, length, headDim],
        );
  const products = tf.mul(tf.matMul(split(q, heads), repeat(split(k, kvHeads)), false, true), scale);
  const scores = softCap === 0 ? products : tf.mul(tf.tanh(tf.div(products, softCap)), softCap);
  const positions = tf.range(0, length, 1, 'int32');
  const [key, query] = [tf.reshape(positions, [1, length]), tf.reshape(positions, [length, 1])];
  const later = tf.greater(key, query);
  const hidden = window < length ? tf.logicalOr(later, tf.lessEqual(key, tf.sub(query, window))) : later;
  const masked = tf.add(scores, tf.mul(tf.cast(hidden, 'float32'), -1e9));
  const out = tf.matMul(tf.softmax(masked), repeat(split(v, kvHeads)));
  return tf.reshape(tf.transpose(out, [0, 2, 1, 3]), [rows, width]);
}

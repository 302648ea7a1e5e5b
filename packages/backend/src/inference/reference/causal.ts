// Causal attention over a text in TensorFlow.js operations, for some queries and one KV head at a time.
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

/** Scores that are in memory at a time. */
const SCORES = 2 ** 22;

export interface HeadAttention {
  /** Factor of the scores. */
  readonly scale: number;
  /** Undefined: none. */
  readonly softCap: number | undefined;
  /** Tokens that a query sees at most. */
  readonly window: number;
}

/**
 * Attention of the last tokens of a text.
 * @param q [rows, queries·headDim]: the queries that read the KV head
 * @param k, v [keys, headDim]
 * @returns [rows, queries·headDim], and what each token got, summed over all of q: [keys]
 */
export function attendCausally(q: Tensor2D, k: Tensor2D, v: Tensor2D, options: HeadAttention): { out: Tensor2D; received: Tensor1D } {
  const [rows, keys] = [q.shape[0], k.shape[0]];
  const most = Math.max(1, Math.floor((SCORES * k.shape[1]) / (keys * q.shape[1])));
  const parts = Array.from({ length: Math.ceil(rows / most) }, (_, part) => {
    const [first, end] = [part * most, Math.min(rows, (part + 1) * most)];
    return tf.tidy(() => attendBlock(tf.slice(q, [first, 0], [end - first, -1]), k, v, keys - rows + first, options));
  });
  return { out: tf.concat(parts.map(({ out }) => out), 0), received: tf.addN(parts.map(({ received }) => received)) };
}

/** @param first position of the first query */
function attendBlock(q: Tensor2D, k: Tensor2D, v: Tensor2D, first: number, { scale, softCap, window }: HeadAttention) {
  const [rows, width] = q.shape;
  const [keys, headDim] = k.shape;
  const queries = width / headDim;
  const products = tf.mul(tf.matMul(tf.reshape(q, [rows * queries, headDim]), k, false, true), scale);
  const scores = softCap === undefined ? products : tf.mul(tf.tanh(tf.div(products, softCap)), softCap);
  const key = tf.reshape(tf.range(0, keys, 1, 'int32'), [1, keys]);
  const query = tf.reshape(tf.range(first, first + rows, 1, 'int32'), [rows, 1]);
  const hidden = tf.logicalOr(tf.greater(key, query), tf.lessEqual(key, tf.sub(query, window)));
  const masked = tf.add(tf.reshape(scores, [rows, queries, keys]), tf.reshape(tf.mul(tf.cast(hidden, 'float32'), -1e9), [rows, 1, keys]));
  const shares = tf.reshape(tf.softmax(masked), [rows * queries, keys]);
  return { out: tf.reshape(tf.matMul(shares, v), [rows, width]) as Tensor2D, received: tf.sum(shares, 0) as Tensor1D };
}

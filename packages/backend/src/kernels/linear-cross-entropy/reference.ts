import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

export function tokenNllReference(x: Tensor2D, w: Tensor2D, targets: Tensor1D, softCap?: number): Tensor1D {
  const products = tf.matMul(x, w, false, true);
  const logits = softCap === undefined ? products : tf.mul(tf.tanh(tf.div(products, softCap)), softCap);
  const vocabulary = tf.range(0, w.shape[0], 1, 'int32');
  const isTarget = tf.cast(tf.equal(tf.expandDims(targets, 1), tf.expandDims(vocabulary, 0)), 'float32');
  const correct = tf.sum(tf.mul(logits, isTarget), 1);
  const nll = tf.sub(tf.logSumExp(logits, 1), correct);
  return tf.mul(nll, tf.cast(tf.greaterEqual(targets, 0), 'float32'));
}

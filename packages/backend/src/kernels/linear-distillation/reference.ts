import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { HeadOptions } from '../linear-cross-entropy/op';

/** What a language-model head makes next-token distributions of: softmax(x·wᵀ). */
export interface HeadInputs extends HeadOptions {
  /** float32 [rows, size], final hidden states */
  readonly x: Tensor2D;
  /** float32 [vocabulary, size], the head */
  readonly w: Tensor2D;
}

/** nll and kl of each row, and the gradients of the loss, in closed form: with automatic ones the tape would keep every [rows, V]. */
export function distillationReference(
  student: HeadInputs, teacher: HeadInputs, targets: Tensor1D, weight: number,
): [nll: Tensor1D, kl: Tensor1D, dx: Tensor2D, dw: Tensor2D] {
  return tf.tidy(() => {
    const logits = logitsOf(student);
    const [logQ, logP] = [tf.logSoftmax(logits), tf.logSoftmax(logitsOf(teacher))];
    const p = tf.exp(logP);
    const vocabulary = tf.range(0, student.w.shape[0], 1, 'int32');
    const isTarget = tf.cast(tf.equal(tf.expandDims(targets, 1), tf.expandDims(vocabulary, 0)), 'float32');
    const counts = tf.cast(tf.greaterEqual(targets, 0), 'float32'); // [rows]
    const nll = tf.neg(tf.sum<Tensor1D>(tf.mul(logQ, isTarget), 1)); // no target, no term
    const kl = tf.mul<Tensor1D>(tf.sum(tf.mul(p, tf.sub(logP, logQ)), 1), counts);
    const wanted = tf.add(tf.mul(p, weight), tf.mul(isTarget, 1 - weight));
    const mean = tf.expandDims(tf.div(counts, tf.maximum(tf.sum(counts), 1)), 1);
    const slope = tf.mul<Tensor2D>(tf.mul(tf.sub(tf.exp(logQ), wanted), mean), capSlope(logits, student.softCap));
    return [nll, kl, tf.matMul(slope, student.w), tf.matMul(slope, student.x, true)];
  });
}

function logitsOf({ x, w, softCap }: HeadInputs): Tensor2D {
  const products = tf.matMul<Tensor2D>(x, w, false, true);
  return softCap === undefined ? products : tf.mul<Tensor2D>(tf.tanh(tf.div(products, softCap)), softCap);
}

/** What a product's change makes of a capped logit's: 1 − (logit/cap)². */
function capSlope(logits: Tensor2D, softCap: number | undefined): tf.Tensor {
  return softCap === undefined ? tf.scalar(1) : tf.sub(1, tf.square(tf.div(logits, softCap)));
}

import { ArgumentError } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor, Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/** Keeps the logarithm finite where softmax underflows, which scores between 0 and 1 never make it do. */
const SMALLEST = 1e-37;

/**
 * Consistency loss (paper section 3.2): softmax cross-entropy with the scores as logits against the assigned expert,
 * averaged over the real tokens, so that the arg max of decoding learns what expert choice decided.
 *
 * @param scores float32 [B, T, E]
 * @param assignment int32 [B, T], −1 for padding
 * @param mask int32 or bool [B, T], 0 for tokens to leave out besides
 * @returns float32 scalar in nats, 0 without real tokens; differentiable in `scores`: (softmax − one-hot) / real tokens
 * @throws ArgumentError when the shapes do not fit
 */
export function consistencyLoss(scores: Tensor3D, assignment: Tensor2D, mask?: Tensor2D): Scalar {
  const [batch, length, experts] = scores.shape;
  for (const [name, tensor] of Object.entries({ assignment, mask })) {
    if (tensor && tensor.shape.join() !== `${batch},${length}`) {
      throw new ArgumentError(
        `consistencyLoss: expected ${name} of shape [${batch}, ${length}], got [${tensor.shape.join(', ')}]`,
      );
    }
  }
  if (experts === 1) return tf.tidy(() => tf.mul(tf.sum(scores), 0));
  const tokens = batch * length;
  // The gradient is known with the loss, and needs no more than the loss has computed.
  const loss = tf.customGrad((scores, save) => {
    const probabilities = tf.softmax(tf.reshape(scores as Tensor, [tokens, experts]));
    const ids = tf.reshape(assignment, [tokens]) as Tensor1D;
    // One-hot as int32: as float32 it is wrong on wasm. Rows of padding are 0.
    let target = tf.cast(tf.oneHot(ids, experts, 1, 0, 'int32'), 'float32'); // [tokens, E]
    if (mask) target = tf.mul(target, tf.cast(tf.notEqual(tf.reshape(mask, [tokens, 1]), 0), 'float32'));
    const count = tf.maximum(tf.sum(target), 1);
    const value = tf.neg(tf.div(tf.sum(tf.mul(target, tf.log(tf.maximum(probabilities, SMALLEST)))), count)) as Scalar;
    // The product with ones tells every column whether its token is real; broadcasting does it many times slower on wasm.
    const real = tf.matMul(target as Tensor2D, tf.ones([experts, experts]));
    const gradient = tf.div(tf.sub(tf.mul(probabilities, real), target), count);
    (save as (tensors: Tensor[]) => void)([tf.reshape(gradient, [batch, length, experts])]);
    return { value, gradFunc: (dy: Tensor, saved: Tensor[]) => tf.mul(saved[0]!, dy) };
  });
  return loss(scores) as Scalar;
}

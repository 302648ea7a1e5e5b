import { ArgumentError } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

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
  const tokens = batch * length;
  // The gradient is known with the loss, and needs no more than the loss has computed.
  const loss = tf.customGrad((scores, save) => {
    const logits = tf.reshape(scores as Tensor, [tokens, experts]);
    const ids = tf.range(0, experts, 1, 'int32');
    let target = tf.cast(tf.equal(tf.reshape(assignment, [tokens, 1]), ids), 'float32'); // [tokens, E], rows of padding 0
    if (mask) target = tf.mul(target, tf.cast(tf.notEqual(tf.reshape(mask, [tokens, 1]), 0), 'float32'));
    const perToken = tf.sum(target, 1, true); // 1 for real tokens
    const count = tf.maximum(tf.sum(perToken), 1);
    const logProbabilities = tf.logSoftmax(logits);
    const value = tf.neg(tf.div(tf.sum(tf.mul(target, logProbabilities)), count)) as Scalar;
    const gradient = tf.div(tf.sub(tf.mul(tf.exp(logProbabilities), perToken), target), count);
    (save as (tensors: Tensor[]) => void)([tf.reshape(gradient, [batch, length, experts])]);
    return { value, gradFunc: (dy: Tensor, saved: Tensor[]) => tf.mul(saved[0]!, dy) };
  });
  return loss(scores) as Scalar;
}

import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { expectOptions, type OptionNames } from '../../options';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape, expectSoftCap, expectType } from '../validate';
import { tokenNllReference } from './reference';

/** What a head does to its logits beside the product. */
export interface HeadOptions {
  readonly softCap?: number;
}

export const HEAD_OPTIONS: OptionNames<HeadOptions> = { softCap: true };

/**
 * The language-model head and its loss in one: mean over the rows with a target of −log softmax(x·wᵀ)[target]. On
 * wasm the [rows, vocabulary] logits never exist as a whole.
 *
 * @param x float32 [rows, size], final hidden states
 * @param w float32 [vocabulary, size], the head (tied: the token embeddings)
 * @param targets int32 [rows]; negative ones are left out of loss and mean
 * @param options softCap: logits s become softCap·tanh(s / softCap), as in Gemma 2; default they don't
 * @returns scalar, nats per counted row (0 when there is none); differentiable in x and w
 * @throws ArgumentError when a shape or type does not fit, and on wasm when a target is out of range
 */
export function linearCrossEntropy(x: Tensor2D, w: Tensor2D, targets: Tensor1D, options: HeadOptions = {}): Scalar {
  validate('linearCrossEntropy', x, w, targets, options);
  const { softCap } = options;
  if (!hasKernel('MixsgaLinearCrossEntropy')) {
    return tf.tidy(() => meanOverTargets(tokenNllReference(x, w, targets, softCap), targets));
  }
  return withGradient(
    [x, w],
    (save, [x, w]) => {
      const [nll, dx, dw] = runKernel('MixsgaLinearCrossEntropy', { x: x!, w: w!, targets }, { gradient: true, softCap: softCap ?? 0 });
      save([dx!, dw!]);
      return meanOverTargets(nll as Tensor1D, targets);
    },
    (dy, [dx, dw]) => [tf.mul(dx!, dy), tf.mul(dw!, dy)],
  ) as Scalar;
}

/**
 * −log softmax(x·wᵀ)[target] for each row, in nats; 0 where the target is negative. Arguments as for
 * {@link linearCrossEntropy}; not differentiable.
 *
 * @returns float32 [rows]
 */
export function tokenNll(x: Tensor2D, w: Tensor2D, targets: Tensor1D, options: HeadOptions = {}): Tensor1D {
  validate('tokenNll', x, w, targets, options);
  const { softCap } = options;
  if (!hasKernel('MixsgaLinearCrossEntropy')) return tf.tidy(() => tokenNllReference(x, w, targets, softCap));
  return runKernel('MixsgaLinearCrossEntropy', { x, w, targets }, { gradient: false, softCap: softCap ?? 0 })[0] as Tensor1D;
}

function meanOverTargets(nll: Tensor1D, targets: Tensor1D): Scalar {
  const counted = tf.sum(tf.cast(tf.greaterEqual(targets, 0), 'float32'));
  return tf.div(tf.sum(nll), tf.maximum(counted, 1));
}

function validate(operation: string, x: Tensor2D, w: Tensor2D, targets: Tensor1D, options: HeadOptions): void {
  expectOptions(operation, options, HEAD_OPTIONS);
  expectShape(operation, 'x', x, [null, null]);
  expectShape(operation, 'w', w, [null, x.shape[1]]);
  expectShape(operation, 'targets', targets, [x.shape[0]]);
  expectFloats(operation, { x, w });
  expectType(operation, 'targets', targets, 'int32');
  expectSoftCap(operation, options.softCap);
}

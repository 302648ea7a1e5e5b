import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { expectOptions, type OptionNames } from '../../options';
import { expectBackend } from '../../platform/lifetime';
import { hasKernel, runKernel } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { type AdamwOptions, adamwReference, sumOfSquaresReference } from './reference';

const OPTIONS: OptionNames<AdamwOptions> = {
  learningRate: true, beta1: true, beta2: true, epsilon: true, weightDecay: true, step: true, gradientScale: true,
};

/**
 * One step of AdamW (Loshchilov and Hutter 2019), written into `parameter` and its two moments. On wasm they change
 * in place: do not hand such a parameter to `tf.matMul`, which caches a packed copy of its right-hand side.
 *
 * @param gradient like parameter; not disposed
 * @throws ArgumentError when the shapes differ
 */
export function adamwStep(
  parameter: Variable, gradient: Tensor, first: Variable, second: Variable, options: AdamwOptions,
): void {
  expectOptions('adamwStep', options, OPTIONS);
  for (const [name, tensor] of Object.entries({ gradient, first, second })) {
    expectShape('adamwStep', name, tensor, parameter.shape);
  }
  expectFloats('adamwStep', { parameter, gradient, first, second });
  if (!hasKernel('MixsgaAdamw')) {
    adamwReference(parameter, gradient, first, second, options);
    return;
  }
  runKernel('MixsgaAdamw', { parameter, gradient, first, second }, { ...options });
}

/** Σ x² over all elements of all tensors, as a float32 scalar: the square of the global gradient norm. */
export function sumOfSquares(tensors: readonly Tensor[]): tf.Scalar {
  expectBackend('sumOfSquares');
  return tf.tidy(() => {
    if (!hasKernel('MixsgaSumOfSquares')) return sumOfSquaresReference(tensors);
    const inputs = Object.fromEntries(tensors.map((tensor, i) => [String(i), tensor]));
    return runKernel('MixsgaSumOfSquares', inputs)[0] as tf.Scalar;
  });
}

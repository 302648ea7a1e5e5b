import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { rmsNormReference } from './reference';

/**
 * Root-mean-square normalisation of each row (Zhang and Sennrich 2019): x/√(mean of x² + epsilon)·gain.
 *
 * @param x float32 [rows, size]
 * @param gain float32 [size]
 * @returns float32 [rows, size]; differentiable in x and gain
 * @throws ArgumentError when the shapes do not fit
 */
export function rmsNorm(x: Tensor2D, gain: Tensor1D, epsilon: number): Tensor2D {
  expectShape('rmsNorm', 'x', x, [null, null]);
  expectShape('rmsNorm', 'gain', gain, [x.shape[1]]);
  expectFloats('rmsNorm', { x, gain });
  if (!hasKernel('MixsgaRmsNorm')) return tf.tidy(() => rmsNormReference(x, gain, epsilon));
  return withGradient(
    [x, gain],
    (save, [x, gain]) => {
      save([x!, gain!]);
      return runKernel('MixsgaRmsNorm', { x: x!, gain: gain! }, { epsilon })[0]!;
    },
    (dy, [x, gain]) => runKernel('MixsgaRmsNormGradient', { x: x!, gain: gain!, dy }, { epsilon }),
  ) as Tensor2D;
}

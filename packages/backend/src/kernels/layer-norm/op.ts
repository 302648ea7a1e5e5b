import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { layerNormReference } from './reference';

/**
 * Layer normalisation of each row (Ba et al. 2016), with the variance over `size`, not `size` − 1.
 *
 * @param x float32 [rows, size]
 * @param gamma float32 [size]
 * @param beta float32 [size]
 * @returns float32 [rows, size]; differentiable in x, gamma and beta
 * @throws ArgumentError when the shapes do not fit
 */
export function layerNorm(x: Tensor2D, gamma: Tensor1D, beta: Tensor1D, epsilon = 1e-5): Tensor2D {
  expectShape('layerNorm', 'x', x, [null, null]);
  expectShape('layerNorm', 'gamma', gamma, [x.shape[1]]);
  expectShape('layerNorm', 'beta', beta, [x.shape[1]]);
  expectFloats('layerNorm', { x, gamma, beta });
  if (!hasKernel('MixsgaLayerNorm')) return tf.tidy(() => layerNormReference(x, gamma, beta, epsilon));
  return withGradient(
    [x, gamma, beta],
    (save, [x, gamma, beta]) => {
      const [y, statistics] = runKernel('MixsgaLayerNorm', { x: x!, gamma: gamma!, beta: beta! }, { epsilon });
      save([x!, gamma!, statistics!]);
      return y!;
    },
    (dy, [x, gamma, statistics]) =>
      runKernel('MixsgaLayerNormGradient', { x: x!, gamma: gamma!, statistics: statistics!, dy }),
  ) as Tensor2D;
}

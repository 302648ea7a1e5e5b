import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { type Activation, linearReference } from './reference';

/**
 * A fully connected layer with the weights as checkpoints store them: y = activation(x·wᵀ + bias).
 *
 * @param x float32 [rows, inputs]
 * @param w float32 [outputs, inputs]
 * @param bias float32 [outputs], or null
 * @returns float32 [rows, outputs]; differentiable in x, w and bias. The derivative of ReLU at 0 is 0.
 * @throws ArgumentError when the shapes do not fit
 */
export function linear(x: Tensor2D, w: Tensor2D, bias: Tensor1D | null, activation?: Activation): Tensor2D {
  expectShape('linear', 'x', x, [null, null]);
  expectShape('linear', 'w', w, [null, x.shape[1]]);
  if (bias) expectShape('linear', 'bias', bias, [w.shape[0]]);
  expectFloats('linear', bias ? { x, w, bias } : { x, w });
  if (!hasKernel('MixsgaLinear')) return tf.tidy(() => linearReference(x, w, bias, activation));
  const attributes = { relu: activation === 'relu' };
  const inputs = bias ? [x, w, bias] : [x, w];
  return withGradient(
    inputs,
    (save, args) => {
      const [y] = runKernel('MixsgaLinear', named(args), attributes);
      save(attributes.relu ? [args[0]!, args[1]!, y!] : [args[0]!, args[1]!]);
      return y!;
    },
    (dy, [x, w, y]) =>
      runKernel('MixsgaLinearGradient', { x: x!, w: w!, y: y ?? dy, dy }, { ...attributes, bias: bias !== null }),
  ) as Tensor2D;
}

function named([x, w, bias]: Tensor[]): Record<string, Tensor> {
  return bias ? { x: x!, w: w!, bias } : { x: x!, w: w! };
}

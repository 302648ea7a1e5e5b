import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

export type Activation = 'relu';

export function linearReference(x: Tensor2D, w: Tensor2D, bias: Tensor1D | null, activation?: Activation): Tensor2D {
  const product = tf.matMul(x, w, false, true);
  const sum = bias ? tf.add(product, bias) : product;
  return (activation === 'relu' ? tf.relu(sum) : sum) as Tensor2D;
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';

export function rotateReference(x: Tensor2D, angles: Tensor2D): Tensor2D {
  const [length, headDim] = angles.shape;
  const [rows, width] = x.shape;
  const [batch, heads, half] = [rows / length, width / headDim, headDim / 2];
  const halves = (tensor: Tensor, shape: number[]) => tf.split(tf.reshape(tensor, shape), 2, -1) as [Tensor, Tensor];
  const [a, b] = halves(x, [batch, length, heads, headDim]); // [B, T, heads, headDim/2]
  const [cos, sin] = halves(angles, [1, length, 1, 2 * half]);
  const turned = [tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))];
  return tf.reshape(tf.concat(turned, -1), [rows, width]);
}

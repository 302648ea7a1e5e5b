import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/** See `rotate` of the runtime. @param angles [rows, headDim] */
export function rotated(x: Tensor2D, angles: Tensor2D): Tensor2D {
  const [rows, headDim] = angles.shape;
  const [a, b] = tf.split(tf.reshape(x, [rows, x.shape[1] / headDim, headDim]), 2, 2) as [Tensor3D, Tensor3D];
  const [cos, sin] = tf.split(tf.reshape(angles, [rows, 1, headDim]), 2, 2) as [Tensor3D, Tensor3D];
  const turned = [tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))];
  return tf.reshape(tf.concat(turned, 2), x.shape);
}

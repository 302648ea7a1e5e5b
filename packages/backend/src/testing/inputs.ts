import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { SeededRandom } from '../random';

/** A float32 tensor of normal draws times `scale`. */
export function normal<T extends Tensor>(random: SeededRandom, shape: number[], scale = 1): T {
  const data = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal() * scale);
  return tf.tensor(data, shape) as T;
}

/** An int32 tensor of draws from `least` to `limit` − 1. */
export function integers<T extends Tensor>(random: SeededRandom, shape: number[], limit: number, least = 0): T {
  const data = Int32Array.from({ length: tf.util.sizeFromShape(shape) }, () => least + random.nextInt(limit - least));
  return tf.tensor(data, shape, 'int32') as T;
}

/** Like {@link normal}, with the given values at the first elements: NaN and infinities whose place is checked. */
export function normalWith<T extends Tensor>(random: SeededRandom, shape: number[], values: readonly number[]): T {
  const data = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, (_, i) => values[i] ?? random.normal());
  return tf.tensor(data, shape) as T;
}

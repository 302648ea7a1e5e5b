import * as tf from '@tensorflow/tfjs-core';
import type { Rank, ShapeMap, Tensor, Tensor1D } from '@tensorflow/tfjs-core';
import type { SeededRandom } from '../random';

/** Draws of the normal distribution with mean 0 and standard deviation `deviation`, float32. */
export function normalTensor<R extends Rank>(random: SeededRandom, shape: ShapeMap[R], deviation = 1): Tensor<R> {
  const data = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => deviation * random.normal());
  return tf.tensor(data, shape);
}

/** Uniform integers from `least` to `limit` − 1, int32 [count]. */
export function integerTensor(random: SeededRandom, count: number, limit: number, least = 0): Tensor1D {
  return tf.tensor1d(Int32Array.from({ length: count }, () => least + random.nextInt(limit - least)), 'int32');
}

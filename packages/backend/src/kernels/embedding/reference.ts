import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

export function embeddingReference(table: Tensor2D, ids: Tensor1D): Tensor2D {
  return tf.gather(table, ids);
}

import * as tf from '@tensorflow/tfjs-core';
import type { DenseLayer, LatentLayer } from '../../inference/runtime';
import type { LatentBasis } from '../format';

/**
 * A layer in the basis of its latents, so that decoding makes no keys and values: with x = [k; v] = W·input + w, a latent is
 * Bᵀ·(c ∘ (x − b)), by one product with Bᵀ·diag(c)·W, and what is read back of it is b + B·latent / c.
 *
 * @param k, v projections to all KV heads
 */
export async function layerInBasis({ weight, bias, scale }: LatentBasis, k: DenseLayer, v: DenseLayer, kvHeads: number): Promise<LatentLayer> {
  const [numbers, rank] = weight.shape;
  const half = numbers / 2;
  const made = tf.tidy(() => {
    const projection = (layer: DenseLayer) => tf.tensor2d(layer.weight, [half, layer.inputs]);
    const own = (layer: DenseLayer) => tf.tensor1d(layer.bias ?? new Float32Array(half));
    const scaled = tf.mul(weight, tf.reshape(scale, [numbers, 1])); // B ∘ c, row by row
    const read = tf.div(weight, tf.reshape(scale, [numbers, 1]));
    return {
      weight: tf.matMul(scaled, tf.concat([projection(k), projection(v)], 0), true),
      bias: tf.matMul(tf.reshape(tf.sub(tf.concat([own(k), own(v)], 0), bias), [1, numbers]), scaled),
      k: tf.slice(read, [0, 0], [half, rank]),
      v: tf.slice(read, [half, 0], [half, rank]),
      offset: tf.slice(bias, [half], [half]),
    };
  });
  try {
    const values = async (tensor: tf.Tensor) => (await tensor.data<'float32'>()).slice();
    return {
      latent: { weight: await values(made.weight), bias: await values(made.bias), outputs: rank, inputs: k.inputs },
      k: await values(made.k),
      v: await values(made.v),
      offset: await values(made.offset),
      kvHeads,
    };
  } finally {
    tf.dispose(Object.values(made));
  }
}

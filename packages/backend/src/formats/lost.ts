import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { KeyValue, KvFormat } from './format';

/**
 * What each format would lose of each token: ‖k − k̂‖² and ‖v − v̂‖², with what the format reads back of it.
 *
 * @param k, v float32 [tokens, KV heads · head dimension]
 * @returns float32 [tokens, E] for keys and for values; differentiable in k and v
 */
export function lostByFormats(k: Tensor2D, v: Tensor2D, formats: readonly KvFormat[]): KeyValue<Tensor2D> {
  const [keys, values] = tf.tidy(() => {
    const heads = [k.shape[0], formats[0]!.kvHeads, formats[0]!.headDim];
    const [keyHeads, valueHeads] = [tf.reshape(k, heads), tf.reshape(v, heads)];
    const reads = formats.map((format) => format.decode(format.encode(keyHeads, valueHeads)));
    const lost = (own: Tensor2D, kind: 'k' | 'v') =>
      tf.stack(reads.map((read) => tf.sum(tf.squaredDifference<Tensor>(own, tf.reshape(read[kind], own.shape)), 1)), 1);
    return [lost(k, 'k'), lost(v, 'v')];
  }) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}

/** ‖k‖², then {@link lostByFormats} of the keys, and the same of the values: float32 [tokens, 2·(E + 1)]. */
export function distortionsOf(k: Tensor2D, v: Tensor2D, lost: KeyValue<Tensor2D>): Tensor2D {
  const energy = (x: Tensor2D) => tf.sum(tf.square(x), 1, true);
  return tf.concat([energy(k), lost.k, energy(v), lost.v] as Tensor2D[], 1);
}

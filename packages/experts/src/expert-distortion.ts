import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { Expert, KeyValue } from './expert';
import { expectRows } from './mix';

/**
 * What each expert would lose of each token: ‖k − k̂‖² and ‖v − v̂‖², with what the expert reads back of it.
 *
 * @param k, v float32 [tokens, KV heads · head dimension]
 * @returns float32 [tokens, E] for keys and for values; differentiable in k and v
 * @throws ArgumentError when there is no expert, or the rows do not hold the experts' KV heads
 */
export function distortionsByExperts(k: Tensor2D, v: Tensor2D, experts: readonly Expert[]): KeyValue<Tensor2D> {
  expectRows('distortionsByExperts', k, experts);
  const [keys, values] = tf.tidy(() => {
    const heads = [k.shape[0], experts[0]!.kvHeads, experts[0]!.headDim];
    const [keyHeads, valueHeads] = [tf.reshape(k, heads), tf.reshape(v, heads)];
    const reads = experts.map((expert) => expert.expand(expert.compress(keyHeads, valueHeads)));
    const lost = (own: Tensor2D, kind: 'k' | 'v') =>
      tf.stack(reads.map((read) => tf.sum(tf.squaredDifference<Tensor>(own, tf.reshape(read[kind], own.shape)), 1)), 1);
    return [lost(k, 'k'), lost(v, 'v')];
  }) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}
